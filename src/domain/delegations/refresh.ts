/**
 * Fresh access tokens of delegations. One refresh at a time for each, over all replicas, and whoever waits for it: a refresh
 * that was begun is finished and stored, also when its caller has gone, because the answer may hold the only copy of the
 * next refresh token.
 */
import { TtsError } from '../../base/errors.ts'
import {
  type RefreshTokenUse,
  type RefreshTokenStore,
  type HeldRefreshToken,
  recoverHeld,
  refreshHeld,
} from '../../grants/refresh-token.ts'
import type { RefreshHelper } from '../../refresh-helper/helper.ts'
import { renewsUntil } from './forecast.ts'
import { ledgerEntry } from './ledger.ts'
import {
  type DelegationDependencies,
  type DelegationProvider,
  revokeAtProvider,
  requireProvider,
} from './provider.ts'
import type { Delegation, DelegationRecords, LedgerEntry, LockedRefreshToken } from './records.ts'
import type { RateLimiter } from '../../limits/rate-limiter.ts'
import type { Origin } from '../records.ts'
import { createSharedRefreshes } from './shared-refreshes.ts'

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
  /** Stores new refresh tokens that lie in the spool: the store did not take them, or their process was killed. */
  recover(): Promise<void>
  /** Waits for what is under way, each within its own deadline. */
  settle(): Promise<void>
}

/** What refreshes are made with. */
export interface RefresherDependencies extends Pick<
  DelegationDependencies,
  'providers' | 'bounds' | 'now' | 'log'
> {
  readonly records: Pick<DelegationRecords, 'withRefreshToken' | 'end' | 'find'>
  /** How often each delegation may be refreshed. */
  readonly rate: RateLimiter
  /** Keeps the answers of providers until they are stored. */
  readonly helper: Pick<RefreshHelper, 'owners' | 'forget'>
}

/** Beyond its deadline a refresh stores what it got; others wait a little longer than that. */
export const STORING_MS = 15_000

/** Refreshes in this process. */
export function createDelegationRefresher(
  dependencies: RefresherDependencies,
): DelegationRefresher {
  const { records, rate, helper, log } = dependencies
  const refreshes = createSharedRefreshes<Refreshed>(rate)

  /** Works with the refresh token of one delegation while nobody else does. */
  async function withToken<Answer>(
    { delegation, origin }: { readonly delegation: Delegation; readonly origin: Origin },
    work: (token: DelegationToken) => Promise<Answer>,
  ): Promise<Answer> {
    const provider = requireProvider(dependencies, delegation.providerId)
    return records.withRefreshToken(
      delegation.id,
      async (locked) =>
        work(new DelegationToken(dependencies, { delegation, provider, locked, origin })),
      provider.timeoutMs + STORING_MS,
    )
  }

  async function recoverOne(id: string): Promise<void> {
    if (refreshes.has(id)) return
    try {
      const delegation = await records.find(id)
      const isActive = delegation?.state === 'active'
      if (isActive)
        await withToken({ delegation, origin: delegation.origin }, async (token) => token.recover())
      // Nobody will ask for it any more.
      else await helper.forget(id)
    } catch (error) {
      log.error(
        { event: 'delegation.unsaved', delegation: id, err: error },
        'a new refresh token lies in the refresh spool only: the records do not take it',
      )
    }
  }

  return {
    refresh: (delegation, origin) =>
      refreshes.join(delegation.id, async () =>
        withToken({ delegation, origin }, async (token) => token.refresh()),
      ),
    async recover() {
      for (const id of await helper.owners()) await recoverOne(id)
    },
    settle: async () => refreshes.settled(),
  }
}

/** The refresh token of one delegation, as `refreshHeld` sees it: each save also tells the forecast and the ledger. */
class DelegationToken implements RefreshTokenStore {
  readonly #dependencies: RefresherDependencies
  readonly #delegation: Delegation
  readonly #provider: DelegationProvider
  readonly #locked: LockedRefreshToken
  readonly #origin: Origin
  #stored: HeldRefreshToken | undefined
  #over = false

  constructor(
    dependencies: RefresherDependencies,
    about: {
      readonly delegation: Delegation
      readonly provider: DelegationProvider
      readonly locked: LockedRefreshToken
      readonly origin: Origin
    },
  ) {
    this.#dependencies = dependencies
    this.#delegation = about.delegation
    this.#provider = about.provider
    this.#locked = about.locked
    this.#origin = about.origin
  }

  async refresh(): Promise<Refreshed> {
    try {
      const granted = await refreshHeld(this.#parts())
      if (this.#over) throw takenBack()
      return { accessToken: granted.accessToken, renewsUntil: this.#forecast(this.#stored) }
    } catch (error) {
      throw await this.#judge(error)
    }
  }

  async recover(): Promise<void> {
    await recoverHeld(this.#parts())
  }

  #parts(): RefreshTokenUse {
    return {
      client: this.#provider.client,
      store: this,
      owner: this.#delegation.id,
      audience: this.#provider.audience,
      now: this.#dependencies.now,
      // Its own deadline, and never that of whoever happens to ask.
      signal: new AbortController().signal,
    }
  }

  async load(): Promise<HeldRefreshToken | undefined> {
    this.#stored = await this.#locked.load()
    if (this.#stored === undefined) throw takenBack()
    return this.#stored
  }

  async save(held: HeldRefreshToken): Promise<void> {
    const after = this.#stored?.current
    const rotated = after !== undefined && held.current !== after
    const kept = await this.#locked.save(held, {
      renewsUntil: this.#forecast(held),
      ...(rotated ? { entry: this.#rotation() } : {}),
    })
    if (!kept) {
      // Before the refresh: it need not be. After it: what we were given goes back.
      if (held.attemptBegunAt !== undefined) throw takenBack()
      this.#over = true
      if (rotated) await revokeAtProvider(this.#provider, [held.current], this.#dependencies.log)
    }
    this.#stored = held
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
