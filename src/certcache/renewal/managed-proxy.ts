/** One proxy that is kept: what is in hand, its renewal (one at a time), its files and its hook. */
import type { KeyObject } from 'node:crypto'
import { createCsr } from '../../../ca/csr.ts'
import { createSigner, generatePrivateKey } from '../../../ca/key.ts'
import type { Environment } from '../../config/settings-tree.ts'
import { createSingleFlight } from '../../base/async.ts'
import { TtsError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { checkNewProxy } from './check-proxy.ts'
import { lastErrorOf, ProxyFiles, type LastError } from '../outputs/proxy-files.ts'
import type { HeldProxy, RenewalStatus } from '../proxy-engine.ts'
import type { ProxySettings } from '../settings/proxy-settings.ts'
import type { Outcome } from './outcomes.ts'
import { type Decision, decide, type Failures, type RenewalPolicy } from './renewal.ts'
import type { Sources } from '../sources/sources.ts'

/** What a kept proxy is handed. */
export interface ManagedProxyOptions {
  readonly now: () => Date
  readonly random: () => number
  readonly log: Log
  readonly environment: Environment
  readonly sources: Pick<Sources, 'obtain'>
  /** Aborted when certcache ends: requests under way are given up. */
  readonly closing: AbortSignal
  /** Writes all proxies into the state; never rejects. */
  readonly save: () => Promise<void>
  /** Only looked at: nothing is written. Default false. */
  readonly readOnly?: boolean
}

export class ManagedProxy {
  readonly name: string
  readonly settings: ProxySettings
  readonly #parts: ManagedProxyOptions
  #held: HeldProxy | undefined
  /** Its place within the jitter. */
  #draw = 0
  /** It is not what the settings ask for any more. */
  #outdated = false
  #failures: Failures | undefined
  #lastSuccessAt: Date | undefined
  #lastError: LastError | undefined
  #failure: TtsError | undefined
  #succeeded = 0
  #failed = 0
  readonly #renewal = createSingleFlight<HeldProxy>()
  #saving: Promise<void> = Promise.resolve()
  readonly #files: ProxyFiles
  /** Kept until a proxy was got for it: keys are what costs most. */
  #key: { readonly privateKey: KeyObject; readonly csr: string } | undefined

  constructor(name: string, settings: ProxySettings, parts: ManagedProxyOptions) {
    this.name = name
    this.settings = settings
    this.#parts = parts
    this.#files = new ProxyFiles(settings, parts)
  }

  /** What is asked of the service, in a form to be compared. */
  get asked(): string {
    const { service, type, lifetime_seconds, path_length, key_type } = this.settings
    return JSON.stringify([service, type, lifetime_seconds ?? null, path_length ?? null, key_type])
  }

  get held(): HeldProxy | undefined {
    return this.#held
  }

  get renewal(): Promise<HeldProxy> | undefined {
    return this.#renewal.current
  }

  /** Why the newest attempt failed; undefined when it did not. */
  get failure(): TtsError | undefined {
    return this.#failure
  }

  current(): HeldProxy | undefined {
    const held = this.#held
    return held !== undefined && held.notAfter > this.#parts.now() ? held : undefined
  }

  /** When it is renewed, as things stand. */
  decision(policy: RenewalPolicy): Decision {
    const now = this.#parts.now()
    const failures = this.#failures
    // A clock that was set back: the wait counts from now, once.
    if (failures && failures.lastAt > now) this.#failures = { ...failures, lastAt: now }
    const held = this.#outdated ? undefined : this.current()
    const proxy = held && { ...held, draw: this.#draw }
    return decide(now, policy, { proxy, failures: this.#failures })
  }

  /** Whether its time has come, failures apart. With a request for how long it shall be good that alone counts. */
  isDue(policy: RenewalPolicy, validForSeconds?: number): boolean {
    if (validForSeconds !== undefined) {
      const leftMs = (this.current()?.notAfter.getTime() ?? 0) - this.#parts.now().getTime()
      return leftMs < validForSeconds * 1000
    }
    const held = this.#outdated ? undefined : this.current()
    const proxy = held && { ...held, draw: this.#draw }
    return decide(this.#parts.now(), policy, { proxy, failures: undefined }).renew
  }

  /**
   * Takes a proxy that was kept, or that another certcache got.
   *
   * @param from `isNew`: nobody's hook ran for it here
   */
  take(proxy: HeldProxy, from: { readonly asked: string; readonly isNew: boolean }): void {
    if (this.#held?.pem.equals(proxy.pem) === true) return
    this.#hold(proxy)
    this.#outdated = from.asked !== this.asked
    this.#failures = undefined
    this.#lastError = undefined
    this.#failure = undefined
    this.#lastSuccessAt = proxy.obtainedAt
    this.#files.publish(proxy, from.isNew)
  }

  /** What went wrong is forgotten: something has changed since. */
  resetBackoff(): void {
    this.#failures = undefined
  }

  /** Renews; whoever asks while it is under way gets the same. Settles when the proxy is in memory. */
  async renew(): Promise<HeldProxy> {
    return this.#renewal.run(async () => this.#attempt())
  }

  /**
   * Settles when the proxy in hand is in the state and in its files.
   *
   * @throws {TtsError} `configuration` naming the file that cannot be written
   */
  async persisted(): Promise<void> {
    await this.#saving
    const held = this.current()
    if (held !== undefined) await this.#files.ensure(held)
  }

  /** Tries files again that could not be written. */
  restoreFiles(): void {
    const held = this.current()
    if (held !== undefined) this.#files.restore(held)
  }

  /** How the newest attempt went, for the state. */
  outcome(): Outcome {
    const error = this.#lastError ?? this.#files.error
    const outputs = [...(this.settings.outputs ?? [])]
    if (error === undefined) return { outputs }
    const { at, code, message, remedy } = error
    const of = this.#lastError === undefined ? 'files' : 'renewal'
    const told = { at, code, message, of } as const
    return { outputs, last_error: remedy === undefined ? told : { ...told, remedy } }
  }

  /**
   * Looks at what an earlier certcache left: how its newest attempt went, and whether the files have the proxy in hand.
   *
   * @param defaultPath of the output where the settings name none
   */
  async inspect(known: Outcome | undefined, defaultPath: string): Promise<void> {
    const error = known?.last_error
    const held = this.current()
    // The clock that told these times is the same one, of whoever wrote the record.
    const isOld = error !== undefined && held !== undefined && error.at < held.obtainedAt
    const told = isOld ? undefined : error
    const kept = told && {
      at: told.at,
      code: told.code,
      message: told.message,
      remedy: told.remedy,
    }
    if (told?.of === 'renewal' || held === undefined) this.#lastError = kept
    if (held === undefined) return
    const outputs = this.settings.outputs ?? []
    // Settings that name no file do not know where the others wrote to.
    const isDefault = outputs.length === 1 && outputs[0]?.path === defaultPath
    await this.#files.inspect(held, isDefault && known ? known.outputs : outputs)
  }

  status(next: Date | undefined): RenewalStatus {
    const held = this.current()
    const { name } = this
    return {
      name,
      proxy: held && withoutPem(held),
      renewing: this.#renewal.current !== undefined,
      nextAttemptAt: this.#renewal.current === undefined ? next : undefined,
      lastSuccessAt: this.#lastSuccessAt,
      lastError: this.#lastError ?? this.#files.error,
      attempts: { succeeded: this.#succeeded, failed: this.#failed },
    }
  }

  /** Settles when nothing is under way any more. */
  async settled(): Promise<void> {
    await this.#renewal.current?.catch(() => undefined)
    await this.#saving
    await this.#files.settled()
  }

  async #attempt(): Promise<HeldProxy> {
    const { sources, now, closing } = this.#parts
    try {
      const { privateKey, csr } = (this.#key ??= await this.#newKey())
      const answer = await sources.obtain({ settings: this.settings, csr }, closing)
      const proxy = checkNewProxy(answer.pem, privateKey, {
        name: this.name,
        type: this.settings.type,
        now: now(),
      })
      this.#succeed(proxy, answer.warning)
      return proxy
    } catch (error) {
      const failure =
        error instanceof TtsError
          ? error
          : new TtsError('internal', 'something failed inside certcache', { cause: error })
      this.#fail(failure)
      throw failure
    }
  }

  async #newKey() {
    const privateKey = await generatePrivateKey(this.settings.key_type)
    return { privateKey, csr: await createCsr([], createSigner(privateKey)) }
  }

  #succeed(proxy: HeldProxy, warning: string | undefined): void {
    this.#key = undefined
    this.#hold(proxy)
    this.#outdated = false
    this.#failures = undefined
    this.#lastError = undefined
    this.#failure = undefined
    this.#lastSuccessAt = proxy.obtainedAt
    this.#succeeded += 1
    const about = { event: 'proxy.renewed', proxy: this.name, subject: proxy.subject }
    this.#parts.log.info({ ...about, not_after: proxy.notAfter, warning }, 'a new proxy')
    this.#saving = this.#saving.then(async () => this.#parts.save())
    this.#files.publish(proxy, true)
  }

  #hold(proxy: HeldProxy): void {
    this.#held = proxy
    this.#draw = this.#parts.random()
  }

  #fail(error: TtsError): void {
    const { now, random, log, closing } = this.#parts
    if (closing.aborted) return
    const at = now()
    this.#failed += 1
    const seconds = error.retryAfterSeconds
    this.#failure = error
    this.#failures = {
      count: (this.#failures?.count ?? 0) + 1,
      lastAt: at,
      draw: random(),
      retryAfterMs: seconds === undefined ? undefined : seconds * 1000,
    }
    this.#lastError = lastErrorOf(error, at)
    const about = { event: 'renewal.failed', proxy: this.name, failures: this.#failures.count }
    log.error({ ...about, err: error, remedy: error.remedy }, 'the renewal failed')
  }
}

function withoutPem(held: HeldProxy): Omit<HeldProxy, 'pem'> {
  const { name, subject, identity, obtainedAt, notAfter } = held
  return { name, subject, identity, obtainedAt, notAfter }
}
