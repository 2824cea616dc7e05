/**
 * Fresh access tokens of delegations. One refresh at a time for each, over all replicas, and whoever waits for it: a refresh
 * that was begun is finished and stored, also when its caller has gone, because the answer may hold the only copy of the
 * next refresh token.
 */
import { TtsError } from '../errors.ts'
import { type CustodyStore, type HeldRefreshToken, refreshHeld } from '../grants/custody.ts'
import { renewsUntil } from './delegation-forecast.ts'
import { ledgerEntry } from './delegation-ledger.ts'
import {
  type DelegationDependencies,
  type DelegationProvider,
  giveBack,
  requireProvider,
} from './delegation-provider.ts'
import type {
  Delegation,
  DelegationRecords,
  LedgerEntry,
  LockedCustody,
} from './delegation-records.ts'
import type { RateLimiter } from '../limits/rate-limiter.ts'
import type { Origin } from './records.ts'
import { createRefreshFlights } from './refresh-flights.ts'

/** A fresh access token, and until when there will be more. */
export interface Refreshed {
  /** A secret. */
  readonly accessToken: string
  readonly renewsUntil: Date
}

export interface DelegationRefresher {
  /**
   * Refreshes at the provider, or waits for the refresh that is under way.
   *
   * @throws {TtsError} `delegation_ended`, `grant_refused`, `provider_unavailable`, `store_unavailable`, `overloaded`
   */
  refresh(delegation: Delegation, origin: Origin): Promise<Refreshed>
  /** Stores new refresh tokens that the store did not take when they came; answers whether there are none any more. */
  storeUnsaved(): Promise<boolean>
  /** Waits for what is under way, each within its own deadline, and ends what it was done by. */
  settle(): Promise<void>
}

/** What refreshes are made with. */
export interface RefresherDependencies extends Pick<
  DelegationDependencies,
  'providers' | 'bounds' | 'now' | 'log'
> {
  readonly records: Pick<DelegationRecords, 'withRefreshToken' | 'end'>
  /** How often each delegation may be refreshed; undefined: somebody else sees to that. */
  readonly rate: RateLimiter | undefined
}

/** Beyond its deadline a refresh stores what it got; others wait a little longer than that. */
export const STORING_MS = 15_000

/** Refreshes in this process. */
export function createDelegationRefresher(
  dependencies: RefresherDependencies,
): DelegationRefresher {
  const { records, rate } = dependencies
  const flights = createRefreshFlights<Refreshed>(rate)
  // What stands for one refresh token as long as the process lives: kept while a token waits to be stored.
  const keepers = new Map<string, Keeper>()

  async function fly(delegation: Delegation, origin: Origin): Promise<Refreshed> {
    const { id } = delegation
    const provider = requireProvider(dependencies, delegation.providerId)
    const keeper = keepers.get(id) ?? new Keeper(dependencies, delegation, provider)
    keepers.set(id, keeper)
    try {
      return await records.withRefreshToken(
        id,
        async (custody) => keeper.refresh(custody, origin),
        provider.timeoutMs + STORING_MS,
      )
    } finally {
      if (!keeper.hasUnsaved) keepers.delete(id)
    }
  }

  async function storeUnsaved(): Promise<boolean> {
    for (const [id, keeper] of keepers) {
      if (!keeper.hasUnsaved || flights.has(id)) continue
      if (await storeNow(dependencies, id, keeper)) keepers.delete(id)
    }
    return ![...keepers.values()].some((keeper) => keeper.hasUnsaved)
  }

  return {
    refresh: (delegation, origin) =>
      flights.join(delegation.id, async () => fly(delegation, origin)),
    storeUnsaved,
    async settle() {
      await flights.settled()
      await storeUnsaved()
    },
  }
}

async function storeNow(
  { records, log }: RefresherDependencies,
  id: string,
  keeper: Keeper,
): Promise<boolean> {
  try {
    await records.withRefreshToken(id, async (custody) => keeper.storeUnsaved(custody), STORING_MS)
    return true
  } catch (error) {
    log.error(
      { event: 'delegation.unsaved', delegation: id, err: error },
      'a new refresh token is in memory only: the records do not take it',
    )
    return false
  }
}

/** A token that the provider gave and the store did not take yet, and the one in whose place it came. */
interface Unsaved {
  readonly after: string
  readonly held: HeldRefreshToken
}

/** The refresh token of one delegation, as custody sees it: each save also tells the forecast and the ledger. */
class Keeper implements CustodyStore {
  readonly #dependencies: RefresherDependencies
  readonly #delegation: Delegation
  readonly #provider: DelegationProvider
  #custody: LockedCustody | undefined
  #origin: Origin
  #stored: HeldRefreshToken | undefined
  #over = false
  #unsaved: Unsaved | undefined

  constructor(
    dependencies: RefresherDependencies,
    delegation: Delegation,
    provider: DelegationProvider,
  ) {
    this.#dependencies = dependencies
    this.#delegation = delegation
    this.#provider = provider
    this.#origin = delegation.origin
  }

  get hasUnsaved(): boolean {
    return this.#unsaved !== undefined
  }

  async refresh(custody: LockedCustody, origin: Origin): Promise<Refreshed> {
    const { now } = this.#dependencies
    this.#custody = custody
    this.#origin = origin
    try {
      const granted = await refreshHeld({
        client: this.#provider.client,
        store: this,
        audience: this.#provider.audience,
        now,
        // Its own deadline, and never that of whoever happens to ask.
        signal: new AbortController().signal,
      })
      if (this.#over) throw takenBack()
      return { accessToken: granted.accessToken, renewsUntil: this.#forecast(this.#stored) }
    } catch (error) {
      throw await this.#judge(error)
    }
  }

  async load(): Promise<HeldRefreshToken | undefined> {
    this.#stored = await this.#custody?.load()
    if (this.#stored === undefined) throw takenBack()
    return this.#stored
  }

  async save(held: HeldRefreshToken): Promise<void> {
    const after = this.#stored?.current
    const rotated = after !== undefined && held.current !== after
    if (rotated) this.#unsaved = { after, held }
    const kept = await this.#custody?.save(held, {
      renewsUntil: this.#forecast(held),
      ...(rotated ? { entry: this.#rotation() } : {}),
    })
    if (kept !== true) {
      // Before the refresh: it need not be. After it: what we were given goes back.
      if (held.attemptBegunAt !== undefined) throw takenBack()
      this.#over = true
      if (rotated) await giveBack(this.#provider, [held.current], this.#dependencies.log)
    }
    this.#unsaved = undefined
    this.#stored = held
  }

  async storeUnsaved(custody: LockedCustody): Promise<void> {
    if (this.#unsaved === undefined) return
    const { after, held } = this.#unsaved
    this.#custody = custody
    this.#stored = await custody.load()
    // Another replica may have come further meanwhile.
    if (this.#stored?.current === after) await this.save(held)
    this.#unsaved = undefined
  }

  #forecast(held: HeldRefreshToken | undefined): Date {
    return held === undefined
      ? this.#delegation.renewsUntil
      : renewsUntil(held, this.#delegation, this.#dependencies.bounds)
  }

  #rotation(): LedgerEntry {
    const { identity } = this.#delegation
    const at = this.#dependencies.now()
    const detail = 'the identity provider gave a new refresh token'
    return ledgerEntry({ event: 'rotated', at, origin: this.#origin, identity, detail })
  }

  /** The end is put on record; what another process did meanwhile is not the caller's fault. */
  async #judge(error: unknown): Promise<unknown> {
    if (!(error instanceof TtsError)) return error
    if (error.code === 'conflict') {
      return new TtsError('overloaded', 'another renewal of this delegation is under way', {
        check: 'delegation_busy',
        retryAfterSeconds: 5,
        cause: error,
      })
    }
    if (error.code !== 'delegation_ended' || error.check === TAKEN_BACK) return error
    await this.#end(error)
    return error
  }

  async #end(refusal: TtsError): Promise<void> {
    const { records, now, log } = this.#dependencies
    const { id, identity } = this.#delegation
    const at = now()
    const entry = ledgerEntry({ event: 'ended', at, origin: this.#origin, identity, refusal })
    const current = this.#stored?.current
    await records.end(id, {
      state: 'ended',
      at,
      reason: refusal.message,
      entry,
      ...(current === undefined ? {} : { onlyIfCurrent: current }),
    })
    log.warn(
      { event: 'delegation.ended', delegation: id, check: refusal.check, remedy: refusal.remedy },
      refusal.message,
    )
  }
}

/** The check of a delegation that was over before it could be refreshed. */
export const TAKEN_BACK = 'not_active'

/** The error of a delegation that is active no more. */
export function takenBack(): TtsError {
  return new TtsError('delegation_ended', 'the delegation is over', { check: TAKEN_BACK })
}
