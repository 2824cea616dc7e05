/**
 * Gets fresh access tokens for delegations. Each delegation has at most one refresh at a time over all replicas. A
 * refresh that was started is finished and stored even if its caller disconnects, because the answer may hold the
 * only copy of the next refresh token.
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

/** A fresh access token and the forecast end of renewal. */
export interface Refreshed {
  /** Secret. */
  readonly accessToken: string
  readonly renewsUntil: Date
}

export interface DelegationRefresher {
  /**
   * Refreshes at the provider, or joins the refresh that is under way.
   *
   * @throws {TtsError} `delegation_ended` (revoked, too old, or refused by the provider for good)
   * @throws {TtsError} `grant_refused` (refused, but a later attempt may succeed), `provider_unavailable`
   * @throws {TtsError} `limit_reached`, check `delegation_rate`; `overloaded`, check `delegation_busy`;
   * `store_unavailable`
   * @see RFC 6749 section 6
   */
  refresh(delegation: Delegation, origin: Origin): Promise<Refreshed>
  /** Stores the refresh tokens in the spool: they are there after the database refused them or a process was killed. */
  recover(): Promise<void>
  /** Waits for the refreshes under way, each of which has its own deadline. */
  settle(): Promise<void>
}

/** What a refresher needs. */
export interface RefresherDependencies extends Pick<
  DelegationDependencies,
  'providers' | 'bounds' | 'now' | 'log'
> {
  readonly records: Pick<DelegationRecords, 'withRefreshToken' | 'end' | 'find'>
  /** How often each delegation may be refreshed. */
  readonly rate: RateLimiter
  /** Holds the providers' answers until they are stored. */
  readonly helper: Pick<RefreshHelper, 'owners' | 'forget'>
}

/** Time for storing the answer after the provider's deadline; waiters for the lock wait this much longer. */
export const STORING_MS = 15_000

/** Creates the refresher of this process. */
export function createDelegationRefresher(
  dependencies: RefresherDependencies,
): DelegationRefresher {
  const { records, rate, helper, log } = dependencies
  const refreshes = createSharedRefreshes<Refreshed>(rate)

  /** Runs `work` while holding the lock on the delegation's refresh token. */
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
      // The delegation ended: its refresh token is of no use.
      else await helper.forget(id)
    } catch (error) {
      log.error(
        { event: 'delegation.unsaved', delegation: id, err: error },
        'could not store a new refresh token: its only copy is in the refresh spool',
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

/** The refresh token of one delegation as the store of `refreshHeld`; each save also updates forecast and ledger. */
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
    token: {
      readonly delegation: Delegation
      readonly provider: DelegationProvider
      readonly locked: LockedRefreshToken
      readonly origin: Origin
    },
  ) {
    this.#dependencies = dependencies
    this.#delegation = token.delegation
    this.#provider = token.provider
    this.#locked = token.locked
    this.#origin = token.origin
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
      // The refresh has its own deadline: a caller that gives up must not abort it.
      signal: new AbortController().signal,
    }
  }

  async load(): Promise<HeldRefreshToken | undefined> {
    this.#stored = await this.#locked.load()
    if (this.#stored === undefined) throw takenBack()
    return this.#stored
  }

  async save(held: HeldRefreshToken): Promise<void> {
    const before = this.#stored?.current
    const rotated = before !== undefined && held.current !== before
    const stored = await this.#locked.save(held, {
      renewsUntil: this.#forecast(held),
      ...(rotated ? { entry: this.#rotation() } : {}),
    })
    if (!stored) {
      // The delegation was revoked meanwhile. Before the request: do not send it. After it: revoke the token that we
      // got.
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

  /**
   * Records the end of the delegation, and turns a conflict with another process into an error that invites a retry.
   */
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

/** Check of the error for a delegation that ended before it could be refreshed. */
export const TAKEN_BACK = 'not_active'

/** Returns the error for a delegation that is no longer active. */
export function takenBack(): TtsError {
  return new TtsError('delegation_ended', 'the delegation is over', { check: TAKEN_BACK })
}
