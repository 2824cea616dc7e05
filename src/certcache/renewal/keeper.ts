/**
 * The engine: looks at the state, the lock and the clock again and again, and renews what is due. It waits a minute at
 * most and then reads the clock anew, so that neither a step of the clock nor a suspended machine upsets it.
 */
import { TtsError } from '../../errors.ts'
import type { Log } from '../../log.ts'
import { createLeadership, type Leadership } from './leadership.ts'
import { createProxiesWatch, takeFromFile, takeFromState, writeProxies } from './kept-proxies.ts'
import { KeptProxy, type KeptProxyParts } from './kept-proxy.ts'
import { createLogins } from './logins.ts'
import type { Clock, HeldProxy, ProxyKeeper } from '../proxy-keeper.ts'
import type { ProxySettings } from '../settings/proxy-settings.ts'
import type { RenewalPolicy } from './renewal.ts'
import type { Sources } from '../sources/sources.ts'
import type { StateLock, StateStore } from '../state/state-store.ts'
import { settledOrAborted } from './waiting.ts'

/** What the settings decide; replaced as a whole when they change. */
export interface KeeperSettings {
  readonly proxies: Readonly<Record<string, ProxySettings>>
  readonly policy: RenewalPolicy
  readonly sources: Sources
}

export interface EngineParts extends Pick<KeptProxyParts, 'random' | 'log' | 'environment'> {
  readonly clock: Clock
  readonly store: StateStore
  readonly pollMs: number
  /** False: nothing happens but when it is asked for. */
  readonly background: boolean
  /** Made with the lock, by which sources write what they hold. */
  readonly settings: (lock: () => StateLock | undefined) => KeeperSettings
}

const LONGEST_SLEEP_MS = 60_000
const SHORTEST_SLEEP_MS = 20
const LOCK_RETRY_MS = 500

export class Engine implements ProxyKeeper {
  readonly #parts: EngineParts
  readonly #log: Log
  readonly #leadership: Leadership
  readonly #closing = new AbortController()
  readonly #readProxies: ReturnType<typeof createProxiesWatch>
  readonly #takeLogin: ReturnType<typeof createLogins>
  #settings: KeeperSettings
  #proxies: ReadonlyMap<string, KeptProxy> = new Map()
  #stateError: TtsError | undefined
  /** Proxies could not be written into the state; each look tries again. */
  #unsaved = false
  /** Ends the sleep of the loop. */
  #wake = new AbortController()
  /** Settles at the end of the look that is under way or comes next. */
  #nextLook = deferred()
  #looking: Promise<void> | undefined
  #loop: Promise<void> | undefined
  #closed: Promise<void> | undefined

  constructor(parts: EngineParts) {
    this.#parts = parts
    this.#log = parts.log
    this.#leadership = createLeadership(parts.store, parts.log)
    this.#readProxies = createProxiesWatch(parts.store, parts.log)
    this.#takeLogin = createLogins(parts.store, parts.log)
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
    for (const proxy of this.#proxies.values()) await takeFromFile(proxy, this.#now())
    if (this.#parts.background) this.#loop = this.#run()
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
      if (!decision.renew) throw this.#notNow(proxy, decision.at)
      return settledOrAborted(proxy.renew(), signal)
    }
  }

  async renewIfDue(
    wanted: { readonly name: string | undefined; readonly validForSeconds: number | undefined },
    signal: AbortSignal,
  ): Promise<{ readonly renewed: boolean; readonly proxy: HeldProxy }> {
    const proxy = this.#find(wanted.name)
    for (;;) {
      await this.#look()
      const held = proxy.current()
      if (held !== undefined && !this.#isDue(proxy, held, wanted.validForSeconds)) {
        await proxy.persisted()
        return { renewed: false, proxy: held }
      }
      if (this.#leadership.lock !== undefined) {
        const renewed = await settledOrAborted(proxy.renew(), signal)
        await proxy.persisted()
        return { renewed: true, proxy: renewed }
      }
      if (this.#stateError !== undefined) throw this.#stateError
      if (signal.aborted) throw elsewhere()
      await this.#parts.clock.sleep(LOCK_RETRY_MS, signal)
    }
  }

  status(): ReturnType<ProxyKeeper['status']> {
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
        this.#nextLook = deferred()
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
    if (await this.#takeLogin(lock, sources)) this.#forgive()
    else if (await sources.isRevived()) this.#forgive()
  }

  #renewDue(): void {
    for (const proxy of this.#proxies.values()) {
      proxy.mendFiles()
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

  /** With a wish for how long it shall be good that alone counts, without it the policy. */
  #isDue(proxy: KeptProxy, held: HeldProxy, validForSeconds: number | undefined): boolean {
    if (validForSeconds === undefined) return proxy.isDue(this.#settings.policy)
    return held.notAfter.getTime() - this.#now().getTime() < validForSeconds * 1000
  }

  /** Something has changed since the failures: they count no more. */
  #forgive(): void {
    for (const proxy of this.#proxies.values()) proxy.forgive()
  }

  #makeProxies(): ReadonlyMap<string, KeptProxy> {
    const { random, log, environment } = this.#parts
    const { sources, proxies } = this.#settings
    const parts = {
      random,
      log,
      environment,
      sources,
      now: () => this.#now(),
      closing: this.#closing.signal,
      save: async () => this.#save(),
    }
    return new Map(
      Object.entries(proxies).map(([name, proxy]) => [name, new KeptProxy(name, proxy, parts)]),
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

  #notNow(proxy: KeptProxy, at: Date): TtsError {
    const seconds = Math.max(1, Math.ceil((at.getTime() - this.#now().getTime()) / 1000))
    const { code, message, check, remedy } = proxy.failure ?? tooLong()
    return new TtsError(code, message, {
      retryAfterSeconds: seconds,
      ...(check === undefined ? {} : { check }),
      ...(remedy === undefined ? {} : { remedy }),
    })
  }

  #find(name: string | undefined): KeptProxy {
    const proxy = name === undefined ? this.#proxies.values().next().value : this.#proxies.get(name)
    if (proxy === undefined) throw new TtsError('not_found', 'there is no proxy of this name')
    return proxy
  }

  #now(): Date {
    return this.#parts.clock.now()
  }
}

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => undefined
  const promise = new Promise<void>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}

const stopping = (): TtsError =>
  new TtsError('shutting_down', 'this certcache is stopping', { retryAfterSeconds: 5 })
const tooLong = (): TtsError =>
  new TtsError('overloaded', 'the first proxy is still being obtained', { retryAfterSeconds: 5 })
const elsewhere = (): TtsError =>
  new TtsError('overloaded', 'another certcache renews with this state, and has not yet', {
    check: 'lock_elsewhere',
    retryAfterSeconds: 5,
    remedy: '`certcache status` asks it why',
  })
