/** The files of one proxy, and its hook: one write after the other, tried again when one failed. */
import type { Environment } from '../../config/settings-tree.ts'
import { TtsError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { runHook } from './hooks.ts'
import { inspectOutput, writeOutput } from './proxy-output.ts'
import type { HeldProxy, RenewalStatus } from '../proxy-engine.ts'
import type { OutputSettings, ProxySettings } from '../settings/proxy-settings.ts'

export interface ProxyFilesParts {
  readonly now: () => Date
  readonly log: Log
  readonly environment: Environment
  /** Nothing is written and no hook is run. Default false. */
  readonly readOnly?: boolean
}

export type LastError = NonNullable<RenewalStatus['lastError']>

/** Files that could not be written are tried again after this. */
const RETRY_MS = 60_000

export class ProxyFiles {
  readonly #settings: ProxySettings
  readonly #parts: ProxyFilesParts
  #error: LastError | undefined
  #work: Promise<void> = Promise.resolve()
  #hookedFor: HeldProxy | undefined

  constructor(settings: ProxySettings, parts: ProxyFilesParts) {
    this.#settings = settings
    this.#parts = parts
  }

  /** Of the newest write; undefined when it succeeded. */
  get error(): LastError | undefined {
    return this.#error
  }

  /**
   * Writes the files, then runs the hook; never rejects.
   *
   * @param isNew false for a proxy of an earlier run: its hook runs only if its files were not written then
   */
  publish(proxy: HeldProxy, isNew: boolean): void {
    if (this.#parts.readOnly === true) return
    this.#work = this.#work.then(async () => {
      const written = await this.#write(proxy).catch(() => {
        const fields = { event: 'output.failed', proxy: proxy.name, remedy: this.#error?.remedy }
        const what = `the proxy is served from memory only: ${this.#error?.message}`
        this.#parts.log.error(fields, what)
        return false
      })
      if (isNew || written) await this.#hook(proxy)
    })
  }

  /**
   * Settles when the files have this proxy.
   *
   * @throws {TtsError} `configuration` naming the file that cannot be written
   */
  async ensure(proxy: HeldProxy): Promise<void> {
    await this.#work
    await this.#write(proxy)
  }

  /** Looks whether these files have this proxy and could be written again; what `error` then tells. */
  async inspect(proxy: HeldProxy, outputs: readonly OutputSettings[]): Promise<void> {
    this.#error = undefined
    for (const output of outputs) {
      const found = await inspectOutput(output, proxy)
      if (found !== undefined) this.#error ??= lastErrorOf(found, this.#parts.now())
    }
  }

  /** Tries again what failed a while ago. */
  restore(proxy: HeldProxy): void {
    if (this.#error === undefined) return
    const agoMs = this.#parts.now().getTime() - this.#error.at.getTime()
    // A negative time: the clock was set back.
    if (agoMs >= 0 && agoMs < RETRY_MS) return
    this.#error = { ...this.#error, at: this.#parts.now() }
    this.publish(proxy, false)
  }

  /** Settles when nothing is under way. */
  async settled(): Promise<void> {
    await this.#work
  }

  /** All files are tried; the first error is thrown. */
  async #write(proxy: HeldProxy): Promise<boolean> {
    let failure: { readonly error: unknown } | undefined
    let written = false
    for (const output of this.#settings.outputs ?? []) {
      try {
        written = (await writeOutput(output, proxy)) || written
      } catch (error) {
        failure ??= { error }
      }
    }
    this.#error = failure && lastErrorOf(failure.error, this.#parts.now())
    if (failure) throw failure.error
    return written
  }

  async #hook(proxy: HeldProxy): Promise<void> {
    const { hook: command, outputs = [] } = this.#settings
    // Once for each proxy, however often its files are restored.
    if (command === undefined || this.#hookedFor?.pem.equals(proxy.pem) === true) return
    this.#hookedFor = proxy
    const { name: proxyName, notAfter } = proxy
    await runHook({ command, proxyName, file: outputs[0]?.path, notAfter }, this.#parts)
  }
}

/** An error as the status shows it. */
export function lastErrorOf(error: unknown, at: Date): LastError {
  if (error instanceof TtsError) {
    const { code, message, remedy } = error
    return { at, code, message, remedy }
  }
  return { at, code: 'internal', message: 'something failed inside certcache', remedy: undefined }
}
