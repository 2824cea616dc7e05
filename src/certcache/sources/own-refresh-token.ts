/**
 * The only module that uses certcache's own refresh token. A separate lock is held for each use.
 *
 * A provider that rotates refresh tokens without grace (INDIGO IAM for some clients) forgets the old one the moment
 * it answers. So a refresh helper (`src/refresh-helper/`) makes the request: a kill of certcache does not end it, and
 * its answer stays in the spool until it is in the state.
 */
import { setTimeout as realSleep } from 'node:timers/promises'
import { TtsError } from '../../base/errors.ts'
import {
  type RefreshTokenUse,
  type RefreshTokenStore,
  recoverHeld,
  refreshHeld,
  heldRefreshToken,
} from '../../grants/refresh-token.ts'
import type { GrantClient, Granted } from '../../grants/grant.ts'
import { sourceEnded, unverifiedExpiry } from './start-token.ts'
import {
  type OwnTokenRecord,
  digestOf,
  readState,
  withDigest,
  writeState,
} from '../state/state-records.ts'
import type { StateLock, StateStore } from '../state/state-store.ts'

/** The credential that brings the first refresh token when the state has none that works. */
export type TokenStart =
  | { readonly kind: 'exchange'; readonly token: string }
  | { readonly kind: 'refresh_token'; readonly token: string }
  /** A login replaces the stored refresh token, once. */
  | {
      readonly kind: 'login'
      readonly id: string
      readonly token: string
      readonly granted_at: string
      readonly refresh_expires_at?: string | undefined
      readonly access?: { readonly token: string; readonly expires_at: string } | undefined
    }

/** A request for an access token: its parameters, and what may be used to obtain it. */
export interface AccessTokenRequest {
  readonly issuer: string
  readonly client_id: string
  readonly audience: string | undefined
  readonly scopes: readonly string[]
  readonly start: TokenStart | undefined
  /** An access token in the state is used if its remaining lifetime is longer. */
  readonly fresh_for_seconds: number
  /** Digest of an access token that the service refused; that one is not used. */
  readonly refused: string | undefined
  /** How long to wait while another certcache uses the refresh token. */
  readonly lock_wait_ms: number
}

/** An access token. */
export interface AccessToken {
  readonly token: string
  readonly expiresAt: Date
}

export interface RefreshTokenParts {
  readonly store: StateStore
  readonly client: GrantClient
  readonly now: () => Date
  /** The owner of the token; part of the file name in the spool. */
  readonly owner: string
}

const LOCK_POLL_MS = 100
/** Assumed lifetime of an access token that does not say when it expires. */
const DEFAULT_LIFETIME_MS = 300_000

/**
 * Returns an access token with enough remaining lifetime: from the state, by refresh, or from `start`.
 *
 * @throws {TtsError} `delegation_ended` when there is no credential to renew with; `grant_refused`,
 * `provider_unavailable`, `overloaded` (another certcache uses the token), `configuration`, `store_unavailable`
 */
export async function obtainAccessToken(
  parts: RefreshTokenParts,
  request: AccessTokenRequest,
): Promise<AccessToken> {
  return withLock(parts, request, async (token) => token.accessToken())
}

/**
 * Stores an answer of the provider from the spool, left by a certcache that was killed or could not write the state.
 * Makes no request to the provider.
 *
 * @throws {TtsError} as `obtainAccessToken`
 */
export async function recoverRefreshToken(
  parts: RefreshTokenParts,
  request: AccessTokenRequest,
): Promise<void> {
  await withLock(parts, request, async (token) => token.recover())
}

async function withLock<Answer>(
  parts: RefreshTokenParts,
  request: AccessTokenRequest,
  work: (token: OwnRefreshToken) => Promise<Answer>,
): Promise<Answer> {
  const lock = await lockToken(parts, request)
  try {
    return await work(new OwnRefreshToken(parts, request, lock))
  } finally {
    await lock.release()
  }
}

async function lockToken(
  { store }: RefreshTokenParts,
  request: AccessTokenRequest,
): Promise<StateLock> {
  const end = performance.now() + request.lock_wait_ms
  for (;;) {
    const lock = await store.tryLock('refresh-token')
    if (lock !== undefined) return lock
    if (performance.now() > end)
      throw new TtsError('overloaded', 'another refresh of this token is in progress', {
        check: 'refresh_helper',
        retryAfterSeconds: 5,
      })
    await realSleep(LOCK_POLL_MS)
  }
}

/** The record of the refresh token while its lock is held. */
class OwnRefreshToken {
  readonly #parts: RefreshTokenParts
  readonly #request: AccessTokenRequest
  readonly #lock: StateLock
  #record: OwnTokenRecord | undefined

  constructor(parts: RefreshTokenParts, request: AccessTokenRequest, lock: StateLock) {
    this.#parts = parts
    this.#request = request
    this.#lock = lock
  }

  async accessToken(): Promise<AccessToken> {
    await this.#load()
    const { start } = this.#request
    if (start?.kind === 'login') await this.#adoptLogin(start)
    else if (!this.#isAlive()) {
      const access = await this.#start(start)
      if (access !== undefined) return access
    }
    const stored = this.#record?.access
    const isUsable = stored !== undefined && this.#isUsable(stored.token, stored.expires_at)
    if (isUsable && !outlivesRefreshToken(stored.expires_at, this.#record))
      return { token: stored.token, expiresAt: stored.expires_at }
    return this.#refresh()
  }

  /** Ignores a token of another client: a provider such as IAM deletes a token that the wrong client presents. */
  async #load(): Promise<void> {
    const record = await readState(this.#parts.store, 'custody')
    const { issuer, client_id: clientId } = this.#request
    const isOurs = record?.issuer === issuer && record.client_id === clientId
    this.#record = isOurs ? record : undefined
  }

  #isAlive(): boolean {
    return this.#record !== undefined && this.#record.ended === undefined
  }

  #isUsable(token: string, expiresAt: Date): boolean {
    const leftMs = expiresAt.getTime() - this.#parts.now().getTime()
    return (
      leftMs > this.#request.fresh_for_seconds * 1000 && digestOf(token) !== this.#request.refused
    )
  }

  async #adoptLogin(login: TokenStart & { readonly kind: 'login' }): Promise<void> {
    if (this.#record?.login === login.id) return
    const { issuer, client_id: clientId } = this.#request
    const { access } = login
    const grantedAt = new Date(login.granted_at)
    const end = login.refresh_expires_at
    await this.#write({
      issuer,
      client_id: clientId,
      held: {
        current: login.token,
        grantedAt,
        renewedAt: grantedAt,
        ...(end === undefined ? {} : { refreshExpiresAt: new Date(end) }),
      },
      ...(access && { access: { token: access.token, expires_at: new Date(access.expires_at) } }),
      login: login.id,
      used: this.#record?.used ?? [],
    })
  }

  /** Obtains the first refresh token. Returns the access token that an exchange brings with it. */
  async #start(start: TokenStart | undefined): Promise<AccessToken | undefined> {
    const digest = start && digestOf(start.token)
    const used = this.#record?.used ?? []
    if (start === undefined || digest === undefined || used.includes(digest)) throw this.#ended()
    const { issuer, client_id: clientId } = this.#request
    const identity = { issuer, client_id: clientId, used: withDigest(used, digest) }
    const now = this.#parts.now()
    if (start.kind === 'refresh_token') {
      const held = { current: start.token, grantedAt: now, renewedAt: now }
      await this.#write({ ...identity, held })
      return undefined
    }
    const { audience, scopes } = this.#request
    const granted = await this.#parts.client.exchange({
      subjectToken: start.token,
      audience,
      scopes,
      signal: new AbortController().signal,
    })
    const access = accessOf(granted, now)
    await this.#write({
      ...identity,
      held: heldRefreshToken(granted, now),
      access: { token: access.token, expires_at: access.expiresAt },
    })
    return access
  }

  async #refresh(): Promise<AccessToken> {
    const { now } = this.#parts
    const at = now()
    try {
      const granted = await refreshHeld(this.#use())
      const access = accessOf(granted, at)
      await this.#change({ access: { token: access.token, expires_at: access.expiresAt } })
      return access
    } catch (error) {
      if (error instanceof TtsError && error.code === 'delegation_ended')
        await this.#change({ ended: { at: now(), reason: error.message }, access: undefined })
      throw error
    }
  }

  async recover(): Promise<void> {
    await this.#load()
    if (this.#isAlive()) await recoverHeld(this.#use())
    // An answer for another client stays in the spool: the settings may be wrong today and correct again tomorrow.
    else if (this.#record !== undefined) await this.#parts.client.forget?.(this.#parts.owner)
  }

  #use(): RefreshTokenUse {
    const { client, now, owner } = this.#parts
    const signal = new AbortController().signal
    return {
      client,
      store: this.#tokenStore(),
      owner,
      audience: this.#request.audience,
      now,
      signal,
    }
  }

  /** The record, in the form that `refreshHeld` expects. */
  #tokenStore(): RefreshTokenStore {
    return {
      load: async () => {
        await this.#load()
        const held = this.#record?.held
        if (held === undefined) return undefined
        const { previous, rotates, attemptBegunAt } = held
        return { ...held, previous, rotates, attemptBegunAt }
      },
      save: async (held) => {
        const record = this.#record
        if (record === undefined) throw this.#ended()
        await this.#write({ ...record, held: { ...held } })
      },
    }
  }

  async #change(changes: Partial<OwnTokenRecord>): Promise<void> {
    if (this.#record !== undefined) await this.#write({ ...this.#record, ...changes })
  }

  async #write(record: OwnTokenRecord): Promise<void> {
    await writeState(this.#lock, 'custody', record)
    this.#record = record
  }

  #ended(): TtsError {
    return sourceEnded(
      this.#record?.ended?.reason ?? 'there is no refresh token, and no token to obtain one with',
    )
  }
}

/** Whether an access token outlives the refresh token: only a refresh keeps that one alive, so it is made each time. */
export function outlivesRefreshToken(expiresAt: Date, record: OwnTokenRecord | undefined): boolean {
  const end = record?.held.refreshExpiresAt
  return end !== undefined && expiresAt >= end
}

function accessOf({ accessToken, expiresAt }: Granted, at: Date): AccessToken {
  const end =
    expiresAt ?? unverifiedExpiry(accessToken) ?? new Date(at.getTime() + DEFAULT_LIFETIME_MS)
  return { token: accessToken, expiresAt: end }
}
