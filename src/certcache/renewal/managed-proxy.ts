/** One managed proxy: its present version, its renewal (one at a time), its files and its hook. */
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
import {
  type Decision,
  decide,
  type Failures,
  type ProxyLife,
  type RenewalPolicy,
} from './renewal.ts'
import type { Sources } from '../sources/sources.ts'

/** The options of a managed proxy. */
export interface ManagedProxyOptions {
  readonly now: () => Date
  readonly random: () => number
  readonly log: Log
  readonly environment: Environment
  readonly sources: Pick<Sources, 'obtain' | 'renewableUntil'>
  /** Aborted when certcache shuts down: cancels requests in flight. */
  readonly closing: AbortSignal
  /** Writes all proxies into the state; never rejects. */
  readonly save: () => Promise<void>
  /** Whether nothing may be written. Default false. */
  readonly readOnly?: boolean
}

export class ManagedProxy {
  readonly name: string
  readonly settings: ProxySettings
  readonly #parts: ManagedProxyOptions
  #held: HeldProxy | undefined
  /** The position of its renewal within the jitter. */
  #draw = 0
  /** Whether the settings have changed since it was requested. */
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
  /** Used again until a proxy is issued for it, because key generation is expensive. */
  #key: { readonly privateKey: KeyObject; readonly csr: string } | undefined

  constructor(name: string, settings: ProxySettings, parts: ManagedProxyOptions) {
    this.name = name
    this.settings = settings
    this.#parts = parts
    this.#files = new ProxyFiles(settings, parts)
  }

  /** The parameters of the request to the service, for comparison. */
  get requestKey(): string {
    const { service, type, lifetime_seconds, path_length, key_type, key_format } = this.settings
    const key = [service, type, lifetime_seconds ?? null, path_length ?? null, key_type]
    // The default is left out, as in the states of earlier versions: they had no such setting.
    return JSON.stringify(key_format === 'pkcs1' ? key : [...key, key_format])
  }

  get held(): HeldProxy | undefined {
    return this.#held
  }

  get renewal(): Promise<HeldProxy> | undefined {
    return this.#renewal.current
  }

  /** The error of the newest attempt; undefined when it succeeded. */
  get failure(): TtsError | undefined {
    return this.#failure
  }

  current(): HeldProxy | undefined {
    const held = this.#held
    return held !== undefined && held.notAfter > this.#parts.now() ? held : undefined
  }

  /** Decides when to renew it, failures included. */
  decision(policy: RenewalPolicy): Decision {
    const now = this.#parts.now()
    const failures = this.#failures
    // The clock was set back: restart the wait from now, once.
    if (failures && failures.lastAt > now) this.#failures = { ...failures, lastAt: now }
    return decide(now, policy, { proxy: this.#life(), failures: this.#failures })
  }

  /**
   * Whether it must be renewed, failures ignored. If `validForSeconds` is given, only that counts and not the policy.
   */
  isDue(policy: RenewalPolicy, validForSeconds?: number): boolean {
    if (validForSeconds !== undefined) {
      const leftMs = (this.current()?.notAfter.getTime() ?? 0) - this.#parts.now().getTime()
      return leftMs < validForSeconds * 1000
    }
    return decide(this.#parts.now(), policy, { proxy: this.#life(), failures: undefined }).renew
  }

  #life(): ProxyLife | undefined {
    const held = this.#outdated ? undefined : this.current()
    const renewableUntil = this.#parts.sources.renewableUntil()
    return held && { ...held, draw: this.#draw, renewableUntil }
  }

  /**
   * Replaces the present proxy by one from storage or from another certcache.
   *
   * @param from `requestKey` as it was when the proxy was requested; `isNew`: its hook has not run on this machine
   */
  adopt(proxy: HeldProxy, from: { readonly requestKey: string; readonly isNew: boolean }): void {
    if (this.#held?.pem.equals(proxy.pem) === true) return
    this.#hold(proxy)
    this.#outdated = from.requestKey !== this.requestKey
    this.#failures = undefined
    this.#lastError = undefined
    this.#failure = undefined
    this.#lastSuccessAt = proxy.obtainedAt
    this.#files.publish(proxy, from.isNew)
  }

  /** Adopts the present proxy of the same name under the previous settings, if its type still fits. */
  adoptFrom(previous: ManagedProxy | undefined): void {
    const held = previous?.current()
    if (previous && held && previous.settings.type === this.settings.type)
      this.adopt(held, { requestKey: previous.requestKey, isNew: false })
  }

  /** Forgets the failures, so that the next attempt is made without a wait. */
  resetBackoff(): void {
    this.#failures = undefined
  }

  /** Renews; concurrent callers share one renewal. Settles when the proxy is in memory. */
  async renew(): Promise<HeldProxy> {
    return this.#renewal.run(async () => this.#attempt())
  }

  /**
   * Settles when the present proxy has been written into the state and its files.
   *
   * @throws {TtsError} `configuration` naming the file that cannot be written
   */
  async persisted(): Promise<void> {
    await this.#saving
    const held = this.current()
    if (held !== undefined) await this.#files.ensure(held)
  }

  /** Tries again to write files that could not be written. */
  retryFiles(): void {
    const held = this.current()
    if (held !== undefined) this.#files.retry(held)
  }

  /** The result of the newest attempt, for the state. */
  outcome(): Outcome {
    const error = this.#lastError ?? this.#files.error
    const outputs = [...(this.settings.outputs ?? [])]
    if (error === undefined) return { outputs }
    const { at, code, message, remedy } = error
    const of = this.#lastError === undefined ? 'files' : 'renewal'
    const lastError = { at, code, message, of } as const
    return { outputs, last_error: remedy === undefined ? lastError : { ...lastError, remedy } }
  }

  /**
   * Reads what an earlier certcache left: the result of its newest attempt, and whether the files hold the present
   * proxy.
   *
   * @param defaultPath of the output if the settings name none
   */
  async inspect(outcome: Outcome | undefined, defaultPath: string): Promise<void> {
    const held = this.current()
    const recorded = outcome?.last_error
    // Both times are from the machine that wrote the state, so they can be compared.
    const isOld = recorded !== undefined && held !== undefined && recorded.at < held.obtainedAt
    const error = isOld ? undefined : recorded
    if (error?.of === 'renewal' || held === undefined)
      this.#lastError = error && {
        at: error.at,
        code: error.code,
        message: error.message,
        remedy: error.remedy,
      }
    if (held === undefined) return
    const outputs = this.settings.outputs ?? []
    // With default outputs, the certcache that wrote the state may have used other paths.
    const isDefault = outputs.length === 1 && outputs[0]?.path === defaultPath
    await this.#files.inspect(held, isDefault && outcome ? outcome.outputs : outputs)
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

  /** Settles when the renewal and all writes have ended. */
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
      const key = { privateKey, format: this.settings.key_format }
      const proxy = checkNewProxy(answer.pem, key, {
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
          : new TtsError('internal', 'certcache failed internally', { cause: error })
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
    const fields = { event: 'proxy.renewed', proxy: this.name, subject: proxy.subject }
    this.#parts.log.info({ ...fields, not_after: proxy.notAfter, warning }, 'renewed the proxy')
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
    const fields = { event: 'renewal.failed', proxy: this.name, failures: this.#failures.count }
    log.error({ ...fields, err: error, remedy: error.remedy }, 'the renewal failed')
  }
}

function withoutPem(held: HeldProxy): Omit<HeldProxy, 'pem'> {
  const { name, subject, identity, obtainedAt, notAfter } = held
  return { name, subject, identity, obtainedAt, notAfter }
}
