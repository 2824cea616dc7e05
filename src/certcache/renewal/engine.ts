/**
 * The engine: looks at the state, the lock and the clock again and again, and renews what is due. It waits a minute at
 * most and then reads the clock anew, so that neither a step of the clock nor a suspended machine upsets it.
 */
import { TtsError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { EngineParts, EngineSettings } from './engine-parts.ts'
import { createLeadership, type Leadership } from './leadership.ts'
import { notNow, stopping, tooLong } from './refusals.ts'
import { createOutcomes } from './outcomes.ts'
import { askRenewer } from './ask-renewer.ts'
import { createProxiesWatch, takeFromFile, takeFromState, writeProxies } from './proxy-records.ts'
import { ManagedProxy } from './managed-proxy.ts'
import { createLogins } from './logins.ts'
import type { HeldProxy, ProxyEngine } from '../proxy-engine.ts'
import type { StateLock } from '../state/state-store.ts'
import { settledOrAborted } from './waiting.ts'
import { createRenewalRequests } from './renewal-requests.ts'

const LONGEST_SLEEP_MS = 60_000
const SHORTEST_SLEEP_MS = 20
const LOCK_RETRY_MS = 500

export class Engine implements ProxyEngine {
  readonly #parts: EngineParts
  readonly #log: Log
  readonly #leadership: Leadership
  readonly #closing = new AbortController()
  readonly #readProxies: ReturnType<typeof createProxiesWatch>
  readonly #takeLogin: ReturnType<typeof createLogins>
  readonly #outcomes: ReturnType<typeof createOutcomes>
  readonly #requests: ReturnType<typeof createRenewalRequests>
  /** Id of the newest request that was seen to. */
  #answered: string | undefined
  #settings: EngineSettings
  #proxies: ReadonlyMap<string, ManagedProxy> = new Map()
  #stateError: TtsError | undefined
  /** Proxies could not be written into the state; each look tries again. */
  #unsaved = false
  /** Ends the sleep of the loop. */
  #wake = new AbortController()
  /** Settles at the end of the look that is under way or comes next. */
  #nextLook = Promise.withResolvers<void>()
  #looking: Promise<void> | undefined
  #loop: Promise<void> | undefined
  #closed: Promise<void> | undefined

  constructor(parts: EngineParts) {
    this.#parts = parts
    this.#log = parts.log
    this.#leadership = createLeadership(parts.store, parts.log)
    this.#readProxies = createProxiesWatch(parts.store, parts.log)
    this.#takeLogin = createLogins(parts.store, parts.log)
    this.#outcomes = createOutcomes(parts.store, parts.log)
    this.#requests = createRenewalRequests(parts.store, parts.log)
    this.#settings = parts.settings(() => this.#leadership.lock)
    this.#proxies = this.#makeProxies()
  }

  get names(): readonly string[] {
    return [...this.#proxies.keys()]
  }

  /** Takes what was kept, and begins. @throws {TtsError} `configuration` when the state cannot be used */
  async start(): Promise<void> {
    await this.#restore().catch((error: unknown) => {
      // A database that is away will come back; a wrong key or mode will not.
      if (!(error instanceof TtsError) || error.code !== 'store_unavailable') throw error
      this.#failState(error)
    })
    for (const proxy of this.#proxies.values())
      if (await takeFromFile(proxy, this.#now())) this.#unsaved = true
    if (this.#parts.background) this.#loop = this.#run()
  }

  /**
   * Looks at what an earlier certcache left, for the status.
   *
   * @param places `outputOf`: where a proxy goes when the settings name no file; `stateError`: why the state is not writable
   * @throws {TtsError} what the store throws
   */
  async inspect(places: {
    readonly outputOf: (name: string) => string
    readonly stateError: TtsError | undefined
  }): Promise<void> {
    if (places.stateError) this.#stateError = places.stateError
    const outcomes = await this.#outcomes.read()
    for (const proxy of this.#proxies.values())
      await proxy.inspect(outcomes?.proxies[proxy.name], places.outputOf(proxy.name))
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
      if (this.#closing.signal.aborted) throw stopping()
      if (signal.aborted) throw tooLong()
      if (proxy.renewal !== undefined) return settledOrAborted(proxy.renewal, signal)
      if (!this.#parts.background) await this.#look()
      if (this.#leadership.lock === undefined) {
        if (this.#stateError !== undefined) throw this.#stateError
        await (this.#parts.background
          ? settledOrAborted(this.#nextLook.promise, signal)
          : this.#parts.clock.sleep(LOCK_RETRY_MS, signal))
        continue
      }
      const decision = proxy.decision(this.#settings.policy)
      if (!decision.renew) throw notNow(proxy.failure, decision.at, this.#now())
      return settledOrAborted(proxy.renew(), signal)
    }
  }

  async renewIfDue(
    wanted: { readonly name: string | undefined; readonly validForSeconds: number | undefined },
    signal: AbortSignal,
  ): ReturnType<ProxyEngine['renewIfDue']> {
    try {
      return await this.#renewIfDue(wanted, signal)
    } finally {
      await this.#noteOutcomes()
    }
  }

  async #renewIfDue(
    { name, validForSeconds }: Parameters<ProxyEngine['renewIfDue']>[0],
    signal: AbortSignal,
  ): ReturnType<ProxyEngine['renewIfDue']> {
    const proxy = this.#find(name)
    const look = async (): Promise<boolean> => {
      await this.#look()
      return this.#leadership.lock !== undefined
    }
    for (;;) {
      const mayRenew = await look()
      const held = proxy.current()
      if (held !== undefined && !proxy.isDue(this.#settings.policy, validForSeconds)) {
        await this.#persisted(proxy)
        return { renewed: false, proxy: held, elsewhere: !mayRenew }
      }
      if (mayRenew) {
        const renewed = await settledOrAborted(proxy.renew(), signal)
        await this.#persisted(proxy)
        return { renewed: true, proxy: renewed }
      }
      if (this.#stateError !== undefined) throw this.#stateError
      const asking = { ...this.#parts, requests: this.#requests, outcomes: this.#outcomes, look }
      const got = await askRenewer(asking, { proxy, validForSeconds }, signal)
      if (got !== undefined) {
        await this.#persisted(proxy)
        return { renewed: true, proxy: got, elsewhere: true }
      }
    }
  }

  /** @throws {TtsError} `configuration`: a file, or for one who ends now the state, cannot be written */
  async #persisted(proxy: ManagedProxy): Promise<void> {
    await proxy.persisted()
    if (!this.#parts.background && this.#unsaved && this.#stateError) throw this.#stateError
  }

  status(): ReturnType<ProxyEngine['status']> {
    const { policy, sources } = this.#settings
    const at = this.#now()
    const proxies = [...this.#proxies.values()].map((proxy) => {
      const decision = proxy.decision(policy)
      const status = proxy.status(decision.renew ? at : decision.at)
      const error = this.#stateError
      if (status.lastError !== undefined || error === undefined) return status
      const { code, message, remedy } = error
      return { ...status, lastError: { at, code, message, remedy } }
    })
    return { proxies, source: sources.status() }
  }

  /** Takes new settings. Proxies in hand that still are what is wanted stay. */
  async replaceSettings(make: EngineParts['settings']): Promise<void> {
    await this.#looking
    const old = this.#proxies
    this.#settings = make(() => this.#leadership.lock)
    this.#proxies = this.#makeProxies()
    for (const [name, proxy] of this.#proxies) {
      const before = old.get(name)
      const held = before?.current()
      const fits = before?.settings.type === proxy.settings.type
      if (before && held && fits) proxy.take(held, { asked: before.asked, isNew: false })
    }
    await this.#settings.sources.load().catch((error: unknown) => this.#failState(error))
    this.#wake.abort()
  }

  async close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#closing.abort()
    this.#wake.abort()
    await this.#loop
    await this.#looking?.catch(() => undefined)
    await Promise.all([...this.#proxies.values()].map(async (proxy) => proxy.settled()))
    await this.#noteOutcomes()
    await this.#leadership.release().catch(() => undefined)
    await this.#parts.store.close()
    this.#nextLook.resolve()
  }

  async #restore(): Promise<void> {
    await this.#settings.sources.load()
    takeFromState(await this.#readProxies(), [...this.#proxies.values()], {
      now: this.#now(),
      isNew: false,
    })
  }

  async #run(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      await this.#look()
      if (this.#wake.signal.aborted) this.#wake = new AbortController()
      if (this.#closing.signal.aborted) return
      this.#renewDue()
      await this.#parts.clock.sleep(this.#sleepMs(), this.#wake.signal)
    }
  }

  /** One look at a time; it never rejects. */
  async #look(): Promise<void> {
    this.#looking ??= this.#lookOnce()
      .then(() => {
        this.#stateError = undefined
      })
      .catch((error: unknown) => this.#failState(error))
      .finally(() => {
        this.#looking = undefined
        this.#nextLook.resolve()
        this.#nextLook = Promise.withResolvers<void>()
      })
    return this.#looking
  }

  async #lookOnce(): Promise<void> {
    const { sources } = this.#settings
    const taken = await this.#leadership.look()
    await sources.load()
    const { lock } = this.#leadership
    // What could not be written yet is newer than what the state has.
    if (lock === undefined || (taken && !this.#unsaved)) {
      const proxies = [...this.#proxies.values()]
      takeFromState(await this.#readProxies(), proxies, { now: this.#now(), isNew: true })
    }
    if (lock === undefined) return
    if (this.#unsaved) await this.#write(lock)
    await this.#noteOutcomes()
    if (this.#parts.background)
      await this.#requests.grant(lock, { proxies: this.#proxies, now: this.#now() }, (id) => {
        this.#answered = id
        this.#wake.abort()
      })
    if (await this.#takeLogin(lock, sources)) this.#resetBackoff()
    else if (await sources.isRevived()) this.#resetBackoff()
  }

  async #noteOutcomes(): Promise<void> {
    const { lock } = this.#leadership
    if (lock !== undefined && this.#parts.readOnly !== true)
      await this.#outcomes.note(lock, this.#proxies.values(), this.#answered)
  }

  #renewDue(): void {
    for (const proxy of this.#proxies.values()) {
      proxy.restoreFiles()
      const mayRenew = this.#leadership.lock !== undefined && proxy.renewal === undefined
      if (!mayRenew || !proxy.decision(this.#settings.policy).renew) continue
      // Its failure is in the status and in the log.
      proxy.renew().then(
        () => this.#wake.abort(),
        () => this.#wake.abort(),
      )
    }
  }

  #sleepMs(): number {
    const now = this.#now().getTime()
    const waits = [...this.#proxies.values()].flatMap((proxy) => {
      if (this.#leadership.lock === undefined || proxy.renewal !== undefined) return []
      const decision = proxy.decision(this.#settings.policy)
      return decision.renew ? 0 : decision.at.getTime() - now
    })
    const wait = Math.min(this.#parts.pollMs, LONGEST_SLEEP_MS, ...waits)
    return Math.max(wait, SHORTEST_SLEEP_MS)
  }

  /** Something has changed since the failures: they count no more. */
  #resetBackoff(): void {
    for (const proxy of this.#proxies.values()) proxy.resetBackoff()
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
    this.#unsaved = true
    const { lock } = this.#leadership
    if (lock !== undefined)
      await this.#write(lock).catch((error: unknown) => this.#failState(error))
  }

  async #write(lock: StateLock): Promise<void> {
    await writeProxies(lock, [...this.#proxies.values()])
    this.#unsaved = false
  }

  #failState(error: unknown): void {
    const known = error instanceof TtsError
    const shown = known ? error : new TtsError('internal', 'the state failed', { cause: error })
    if (this.#stateError?.message !== shown.message)
      this.#log.error({ event: 'state.failed', err: error, remedy: shown.remedy }, shown.message)
    this.#stateError = shown
  }

  #find(name: string | undefined): ManagedProxy {
    const proxy = name === undefined ? this.#proxies.values().next().value : this.#proxies.get(name)
    if (proxy === undefined) throw new TtsError('not_found', 'there is no proxy of this name')
    return proxy
  }

  #now(): Date {
    return this.#parts.clock.now()
  }
}
