/** Writes the files and Secrets of one proxy and runs its hook. Writes are sequential; failed ones are tried again. */
import type { Environment } from '../../config/settings-tree.ts'
import { TtsError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { runHook } from './hooks.ts'
import { createKubernetesApi, type KubernetesApi } from './kubernetes/api.ts'
import { inspectSecret, type SecretWriter } from './kubernetes/secret-output.ts'
import { writeSecrets } from './kubernetes/secrets-of-proxy.ts'
import { inspectOutput, writeOutput } from './proxy-output.ts'
import type { HeldProxy, RenewalStatus } from '../proxy-engine.ts'
import type { OutputSettings, ProxySettings } from '../settings/proxy-settings.ts'

export interface ProxyFilesParts {
  readonly now: () => Date
  readonly log: Log
  readonly environment: Environment
  /** Default: that of the cluster that this pod runs in. */
  readonly kubernetesApi?: KubernetesApi
  /** Whether nothing may be written and no hook run. Default false. */
  readonly readOnly?: boolean
}

interface Failure {
  readonly error: unknown
}

export type LastError = NonNullable<RenewalStatus['lastError']>

/** Wait before a failed write is tried again. */
const RETRY_MS = 60_000
/** A Secret that somebody deleted, emptied or rolled back is found within this time. */
const SECRET_CHECK_MS = 300_000

export class ProxyFiles {
  readonly #settings: ProxySettings
  readonly #parts: ProxyFilesParts
  readonly #secretWriter: SecretWriter
  #error: LastError | undefined
  #work: Promise<void> = Promise.resolve()
  #secretsCheckedAt: Date | undefined
  #hookedFor: HeldProxy | undefined

  constructor(settings: ProxySettings, parts: ProxyFilesParts) {
    this.#settings = settings
    this.#parts = parts
    const { kubernetesApi: api = createKubernetesApi(parts), now } = parts
    this.#secretWriter = { api, now }
  }

  /** The error of the newest write; undefined when it succeeded. */
  get error(): LastError | undefined {
    return this.#error
  }

  /**
   * Writes the files, then runs the hook; never rejects.
   *
   * @param isNew false for a proxy from an earlier run: its hook runs only if a file must be written now
   */
  publish(proxy: HeldProxy, isNew: boolean): void {
    if (this.#parts.readOnly === true) return
    this.#work = this.#work.then(async () => {
      const { written, failure } = await this.#write(proxy)
      if (failure) {
        const fields = { event: 'output.failed', proxy: proxy.name, remedy: this.#error?.remedy }
        const message = `cannot write an output of the proxy, which is served from memory: ${this.#error?.message}`
        this.#parts.log.error(fields, message)
      }
      if (isNew || written) await this.#runHook(proxy)
    })
  }

  /**
   * Writes the files and Secrets of this proxy that are not up to date.
   *
   * @throws {TtsError} `configuration` naming the file or Secret that cannot be written
   */
  async ensure(proxy: HeldProxy): Promise<void> {
    await this.#work
    const { failure } = await this.#write(proxy)
    if (failure) throw failure.error
  }

  /** Checks without writing that the outputs are up to date and writable. The result is in `error`. */
  async inspect(proxy: HeldProxy, outputs: readonly OutputSettings[]): Promise<void> {
    this.#error = undefined
    for (const output of outputs) {
      const problem = await inspectOutput(output, proxy)
      if (problem !== undefined) this.#error ??= lastErrorOf(problem, this.#parts.now())
    }
    for (const secret of this.#settings.kubernetes_secrets) {
      const problem = await inspectSecret(this.#secretWriter, secret, proxy)
      if (problem !== undefined) this.#error ??= lastErrorOf(problem, this.#parts.now())
    }
  }

  /** Tries a failed write again, if it failed long enough ago, and looks at the Secrets from time to time. */
  retry(proxy: HeldProxy): void {
    const [lastAt, waitMs] =
      this.#error === undefined
        ? [this.#secretsCheckedAt, SECRET_CHECK_MS]
        : [this.#error.at, RETRY_MS]
    if (lastAt === undefined) return
    const agoMs = this.#parts.now().getTime() - lastAt.getTime()
    // Negative when the clock was set back.
    if (agoMs >= 0 && agoMs < waitMs) return
    const at = this.#parts.now()
    this.#error = this.#error && { ...this.#error, at }
    this.#secretsCheckedAt = at
    this.publish(proxy, false)
  }

  /** Settles when all writes and hooks have ended. */
  async settled(): Promise<void> {
    await this.#work
  }

  /** Tries to write every file and Secret. `failure`: the first error; something else may be written all the same. */
  async #write(
    proxy: HeldProxy,
  ): Promise<{ readonly written: boolean; readonly failure: Failure | undefined }> {
    let failure: Failure | undefined
    let written = false
    for (const output of this.#settings.outputs ?? []) {
      try {
        written = (await writeOutput(output, proxy)) || written
      } catch (error) {
        failure ??= { error }
      }
    }
    try {
      const { kubernetes_secrets: secrets } = this.#settings
      this.#secretsCheckedAt = secrets.length === 0 ? undefined : this.#parts.now()
      // After the files, which must not wait for an API that hangs.
      written = (await writeSecrets(this.#secretWriter, secrets, proxy)) || written
    } catch (error) {
      failure ??= { error }
    }
    this.#error = failure && lastErrorOf(failure.error, this.#parts.now())
    return { written, failure }
  }

  async #runHook(proxy: HeldProxy): Promise<void> {
    const { hook: command, outputs = [] } = this.#settings
    // Only once for each proxy, however often its files are written.
    if (command === undefined || this.#hookedFor?.pem.equals(proxy.pem) === true) return
    this.#hookedFor = proxy
    const { name: proxyName, notAfter } = proxy
    await runHook({ command, proxyName, file: outputs[0]?.path, notAfter }, this.#parts)
  }
}

/** Returns an error in the form of the status. The message of an unknown error is not shown: it may hold secrets. */
export function lastErrorOf(error: unknown, at: Date): LastError {
  if (error instanceof TtsError) {
    const { code, message, remedy } = error
    return { at, code, message, remedy }
  }
  return { at, code: 'internal', message: 'certcache failed internally', remedy: undefined }
}
