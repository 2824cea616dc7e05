/** The engine: polls the state, the lock and the clock in a loop, and renews the proxies that are due. */
import { TtsError } from '../../base/errors.ts'
import type { EngineParts, EngineSettings } from './engine-parts.ts'
import { createLeadership, type Leadership } from './leadership.ts'
import { createOutcomes } from './outcomes.ts'
import { askRenewer } from './ask-renewer.ts'
import { sleepMs, startDueRenewals } from './due-renewals.ts'
import { createProxyRecords, type ProxyRecords } from './proxy-records.ts'
import { awaitRenewal, firstProxyPending, retryLater, shuttingDown } from './refusals.ts'
import { ManagedProxy } from './managed-proxy.ts'
import { lastErrorOf } from '../outputs/proxy-files.ts'
import { createLoginPickup } from './logins.ts'
import type { HeldProxy, ProxyEngine } from '../proxy-engine.ts'
import { createRenewalRequests } from './renewal-requests.ts'

const LOCK_RETRY_MS = 500

export class Engine implements ProxyEngine {
  readonly #parts: EngineParts
  readonly #leadership: Leadership
  readonly #closing = new AbortController()
  readonly #records: ProxyRecords
  readonly #pickUpLogin: ReturnType<typeof createLoginPickup>
  readonly #outcomes: ReturnType<typeof createOutcomes>
  readonly #requests: ReturnType<typeof createRenewalRequests>
  /** Id of the newest request that was answered. */
  #answered: string | undefined
  #settings: EngineSettings
  #proxies: ReadonlyMap<string, ManagedProxy> = new Map()
  #stateError: TtsError | undefined
  /** Ends the sleep of the loop. */
  #wake = new AbortController()
  /** Settles at the end of the present poll, or of the next one if none is running. */
  #nextPoll = Promise.withResolvers<void>()
  #polling: Promise<void> | undefined
  #loop: Promise<void> | undefined
  #closed: Promise<void> | undefined

  constructor(parts: EngineParts) {
    this.#parts = parts
    this.#leadership = createLeadership(parts.store, parts.log)
    this.#records = createProxyRecords({
      store: parts.store,
      log: parts.log,
      now: () => this.#now(),
      proxies: () => [...this.#proxies.values()],
    })
    this.#pickUpLogin = createLoginPickup(parts.store, parts.log)
    this.#outcomes = createOutcomes(parts.store, parts.log)
    this.#requests = createRenewalRequests(parts.store, parts.log)
    this.#settings = parts.settings(() => this.#leadership.lock)
    this.#proxies = this.#makeProxies()
  }

  get names(): readonly string[] {
    return [...this.#proxies.keys()]
  }

  /** Loads the state and starts the loop. @throws {TtsError} `configuration` when the state cannot be used */
  async start(): Promise<void> {
    try {
      await this.#settings.sources.load()
      await this.#records.readState(false)
    } catch (error) {
      // A database that is down comes back. A wrong key or file mode does not fix itself.
      if (!(error instanceof TtsError) || error.code !== 'store_unavailable') throw error
      this.#failState(error)
    }
    await this.#records.readFiles()
    if (this.#parts.background) this.#loop = this.#run()
  }

  /**
   * Reads what an earlier certcache left, for the status.
   *
   * @param options `defaultOutput`: path of a proxy without configured outputs; `stateError`: why the state cannot be
   * written
   * @throws {TtsError} what the store throws
   */
  async inspect(options: {
    readonly defaultOutput: (name: string) => string
    readonly stateError: TtsError | undefined
  }): Promise<void> {
    if (options.stateError) this.#stateError = options.stateError
    const outcomes = await this.#outcomes.read()
    for (const proxy of this.#proxies.values())
      await proxy.inspect(outcomes?.proxies[proxy.name], options.defaultOutput(proxy.name))
  }

  current(name?: string): HeldProxy | undefined {
    const proxy = name === undefined ? this.#proxies.values().next().value : this.#proxies.get(name)
    return proxy?.current()
  }

  async obtain(name: string | undefined, signal: AbortSignal): Promise<HeldProxy> {
    for (;;) {
      const proxy = this.#find(name)
      const held = proxy.current()
      if (held !== undefined) return held
      if (this.#closing.signal.aborted) throw shuttingDown()
      if (signal.aborted) throw firstProxyPending()
      if (proxy.renewal !== undefined) return awaitRenewal(proxy.renewal, signal)
      if (!this.#parts.background) await this.#poll()
      if (this.#leadership.lock === undefined) {
        if (this.#stateError !== undefined) throw this.#stateError
        await (this.#parts.background
          ? awaitRenewal(this.#nextPoll.promise, signal)
          : this.#parts.clock.sleep(LOCK_RETRY_MS, signal))
        continue
      }
      const decision = proxy.decision(this.#settings.policy)
      if (!decision.renew) throw retryLater(proxy.failure, decision.at, this.#now())
      return awaitRenewal(proxy.renew(), signal)
    }
  }

  async renewIfDue(
    { name, validForSeconds }: Parameters<ProxyEngine['renewIfDue']>[0],
    signal: AbortSignal,
  ): ReturnType<ProxyEngine['renewIfDue']> {
    const poll = async (): Promise<boolean> => {
      await this.#poll()
      return this.#leadership.lock !== undefined
    }
    const askParts = { ...this.#parts, requests: this.#requests, outcomes: this.#outcomes, poll }
    try {
      const proxy = this.#find(name)
      for (;;) {
        const mayRenew = await poll()
        const held = proxy.current()
        if (held !== undefined && !proxy.isDue(this.#settings.policy, validForSeconds)) {
          await this.#persisted(proxy)
          return { renewed: false, proxy: held, hasOtherRenewer: !mayRenew }
        }
        if (!mayRenew && this.#stateError !== undefined) throw this.#stateError
        const renewed = mayRenew
          ? await awaitRenewal(proxy.renew(), signal)
          : await askRenewer(askParts, { proxy, validForSeconds }, signal)
        if (renewed === undefined) continue
        await this.#persisted(proxy)
        return { renewed: true, proxy: renewed, hasOtherRenewer: !mayRenew }
      }
    } finally {
      await this.#writeOutcomes()
    }
  }

  /**
   * @throws {TtsError} `configuration`: a file cannot be written, or (without a loop that would try again) the state
   */
  async #persisted(proxy: ManagedProxy): Promise<void> {
    await proxy.persisted()
    if (!this.#parts.background && this.#records.isUnsaved && this.#stateError)
      throw this.#stateError
  }

  status(): ReturnType<ProxyEngine['status']> {
    const { policy, sources } = this.#settings
    const at = this.#now()
    const stateError = this.#stateError && lastErrorOf(this.#stateError, at)
    const proxies = [...this.#proxies.values()].map((proxy) => {
      const decision = proxy.decision(policy)
      const status = proxy.status(decision.renew ? at : decision.at)
      return { ...status, lastError: status.lastError ?? stateError }
    })
    return { proxies, source: sources.status() }
  }

  /** Replaces the settings. Present proxies whose type still fits stay. */
  async replaceSettings(make: EngineParts['settings']): Promise<void> {
    await this.#polling
    const old = this.#proxies
    this.#settings = make(() => this.#leadership.lock)
    this.#proxies = this.#makeProxies()
    for (const [name, proxy] of this.#proxies) proxy.adoptFrom(old.get(name))
    await this.#settings.sources.load().catch((error: unknown) => this.#failState(error))
    this.#wake.abort()
  }

  async close(): Promise<void> {
    return (this.#closed ??= this.#close())
  }

  async #close(): Promise<void> {
    this.#closing.abort()
    this.#wake.abort()
    await this.#loop
    await this.#polling?.catch(() => undefined)
    await Promise.all([...this.#proxies.values()].map(async (proxy) => proxy.settled()))
    await this.#writeOutcomes()
    await this.#leadership.release().catch(() => undefined)
    await this.#parts.store.close()
    this.#nextPoll.resolve()
  }

  async #run(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      await this.#poll()
      if (this.#wake.signal.aborted) this.#wake = new AbortController()
      if (this.#closing.signal.aborted) return
      await this.#parts.clock.sleep(this.#renewDue(), this.#wake.signal)
    }
  }

  /** Concurrent callers share one poll. Never rejects. */
  async #poll(): Promise<void> {
    this.#polling ??= this.#pollOnce()
      .then(() => {
        this.#stateError = undefined
      })
      .catch((error: unknown) => this.#failState(error))
      .finally(() => {
        this.#polling = undefined
        this.#nextPoll.resolve()
        this.#nextPoll = Promise.withResolvers<void>()
      })
    return this.#polling
  }

  async #pollOnce(): Promise<void> {
    const { sources } = this.#settings
    const isNewLeader = await this.#leadership.checkOrAcquire()
    await sources.load()
    const { lock } = this.#leadership
    // Unsaved proxies are newer than the state.
    if (lock === undefined || (isNewLeader && !this.#records.isUnsaved))
      await this.#records.readState(true)
    if (lock === undefined) return
    if (this.#records.isUnsaved) await this.#records.write(lock)
    await this.#writeOutcomes()
    if (this.#parts.background)
      await this.#requests.serve(lock, { proxies: this.#proxies, now: this.#now() }, (id) => {
        this.#answered = id
        this.#wake.abort()
      })
    // A new login or token makes earlier failures irrelevant.
    if ((await this.#pickUpLogin(lock, sources)) || (await sources.hasNewStartToken()))
      for (const proxy of this.#proxies.values()) proxy.resetBackoff()
  }

  async #writeOutcomes(): Promise<void> {
    const { lock } = this.#leadership
    if (lock !== undefined && this.#parts.readOnly !== true)
      await this.#outcomes.write(lock, this.#proxies.values(), this.#answered)
  }

  /** Starts what is due. Returns how long the loop may sleep, in milliseconds. */
  #renewDue(): number {
    const { policy } = this.#settings
    for (const proxy of this.#proxies.values()) proxy.retryFiles()
    const proxies = this.#leadership.lock === undefined ? [] : [...this.#proxies.values()]
    startDueRenewals(proxies, policy, () => this.#wake.abort())
    return sleepMs(proxies, policy, { nowMs: this.#now().getTime(), pollMs: this.#parts.pollMs })
  }

  #makeProxies(): ReadonlyMap<string, ManagedProxy> {
    const { random, log, environment, readOnly = false } = this.#parts
    const { sources, proxies } = this.#settings
    const parts = {
      random,
      log,
      environment,
      readOnly,
      sources,
      now: () => this.#now(),
      closing: this.#closing.signal,
      save: async () => this.#save(),
    }
    return new Map(
      Object.entries(proxies).map(([name, proxy]) => [name, new ManagedProxy(name, proxy, parts)]),
    )
  }

  async #save(): Promise<void> {
    this.#records.markUnsaved()
    const { lock } = this.#leadership
    if (lock !== undefined)
      await this.#records.write(lock).catch((error: unknown) => this.#failState(error))
  }

  #failState(error: unknown): void {
    const shown =
      error instanceof TtsError
        ? error
        : new TtsError('internal', 'certcache failed to use the state', { cause: error })
    if (this.#stateError?.message !== shown.message)
      this.#parts.log.error(
        { event: 'state.failed', err: error, remedy: shown.remedy },
        shown.message,
      )
    this.#stateError = shown
  }

  #find(name: string | undefined): ManagedProxy {
    const proxy = name === undefined ? this.#proxies.values().next().value : this.#proxies.get(name)
    if (proxy === undefined) throw new TtsError('not_found', 'no proxy has this name')
    return proxy
  }

  #now(): Date {
    return this.#parts.clock.now()
  }
}
