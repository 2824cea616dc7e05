/**
 * The one place where certcache uses its own refresh token, under a lock of its own, for one use.
 *
 * A provider that rotates refresh tokens without grace (INDIGO IAM for some clients) forgets the old one the moment it
 * answers. So the request is made by a refresh helper (`src/refresh-helper/`), which a kill of certcache does not end: its
 * answer lies in the spool until it stands in the state.
 */
import { setTimeout as realSleep } from 'node:timers/promises'
import { decodeJwt } from 'jose'
import { TtsError } from '../../base/errors.ts'
import {
  type RefreshTokenUse,
  type RefreshTokenStore,
  recoverHeld,
  refreshHeld,
  heldRefreshToken,
} from '../../grants/refresh-token.ts'
import type { GrantClient, Granted } from '../../grants/grant.ts'
import {
  type OwnTokenRecord,
  digestOf,
  readState,
  withDigest,
  writeState,
} from '../state/state-records.ts'
import type { StateLock, StateStore } from '../state/state-store.ts'

/** What the first refresh token is got from, when the state has none that works. */
export type TokenStart =
  | { readonly kind: 'exchange'; readonly token: string }
  | { readonly kind: 'refresh_token'; readonly token: string }
  /** A login takes the place of whatever there is, once. */
  | {
      readonly kind: 'login'
      readonly id: string
      readonly token: string
      readonly granted_at: string
      readonly refresh_expires_at?: string | undefined
      readonly access?: { readonly token: string; readonly expires_at: string } | undefined
    }

/** What access token is wanted, and how it may be got. */
export interface AccessTokenRequest {
  readonly issuer: string
  readonly client_id: string
  readonly audience: string | undefined
  readonly scopes: readonly string[]
  readonly start: TokenStart | undefined
  /** An access token in the state serves when it lives for longer. */
  readonly fresh_for_seconds: number
  /** Digest of an access token that was refused: it does not serve. */
  readonly refused: string | undefined
  /** How long another certcache that uses the token is waited for. */
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
  /** Whose token it is, for the name of its answer in the spool. */
  readonly owner: string
}

const LOCK_POLL_MS = 100
/** For tokens that do not tell their end. */
const UNKNOWN_LIFE_MS = 300_000

/**
 * Answers an access token that lives for a while: the one in the state, or one got by refresh or from the start.
 *
 * @throws {TtsError} `delegation_ended` when there is nothing to renew with; `grant_refused`, `provider_unavailable`,
 * `overloaded` (another certcache is at work), `configuration`, `store_unavailable`
 */
export async function obtainAccessToken(
  parts: RefreshTokenParts,
  task: AccessTokenRequest,
): Promise<AccessToken> {
  return withLock(parts, task, async (token) => token.accessToken())
}

/**
 * Stores an answer of the provider that lies in the spool: of a certcache that was killed, or that could not write it.
 *
 * @throws {TtsError} as `obtainAccessToken`; the provider is not asked
 */
export async function recoverRefreshToken(
  parts: RefreshTokenParts,
  task: AccessTokenRequest,
): Promise<void> {
  await withLock(parts, task, async (token) => token.recover())
}

async function withLock<Answer>(
  parts: RefreshTokenParts,
  task: AccessTokenRequest,
  work: (token: OwnRefreshToken) => Promise<Answer>,
): Promise<Answer> {
  const lock = await lockToken(parts, task)
  try {
    return await work(new OwnRefreshToken(parts, task, lock))
  } finally {
    await lock.release()
  }
}

async function lockToken(
  { store }: RefreshTokenParts,
  task: AccessTokenRequest,
): Promise<StateLock> {
  const end = performance.now() + task.lock_wait_ms
  for (;;) {
    const lock = await store.tryLock('refresh-token')
    if (lock !== undefined) return lock
    if (performance.now() > end)
      throw new TtsError('overloaded', 'another refresh of this token is under way', {
        check: 'refresh_helper',
        retryAfterSeconds: 5,
      })
    await realSleep(LOCK_POLL_MS)
  }
}

/** The record of the refresh token while its lock is held. */
class OwnRefreshToken {
  readonly #parts: RefreshTokenParts
  readonly #task: AccessTokenRequest
  readonly #lock: StateLock
  #record: OwnTokenRecord | undefined

  constructor(parts: RefreshTokenParts, task: AccessTokenRequest, lock: StateLock) {
    this.#parts = parts
    this.#task = task
    this.#lock = lock
  }

  async accessToken(): Promise<AccessToken> {
    await this.#load()
    const { start } = this.#task
    if (start?.kind === 'login') await this.#takeLogin(start)
    else if (!this.#isAlive()) {
      const granted = await this.#begin(start)
      if (granted !== undefined) return granted
    }
    const known = this.#record?.access
    if (known !== undefined && this.#serves(known.token, known.expires_at))
      return { token: known.token, expiresAt: known.expires_at }
    return this.#refresh()
  }

  /** What another client was given is nothing to us, and showing it there would be its end. */
  async #load(): Promise<void> {
    const record = await readState(this.#parts.store, 'custody')
    const { issuer, client_id: clientId } = this.#task
    const ours = record?.issuer === issuer && record.client_id === clientId
    this.#record = ours ? record : undefined
  }

  #isAlive(): boolean {
    return this.#record !== undefined && this.#record.ended === undefined
  }

  #serves(token: string, expiresAt: Date): boolean {
    const leftMs = expiresAt.getTime() - this.#parts.now().getTime()
    return leftMs > this.#task.fresh_for_seconds * 1000 && digestOf(token) !== this.#task.refused
  }

  async #takeLogin(login: TokenStart & { readonly kind: 'login' }): Promise<void> {
    if (this.#record?.login === login.id) return
    const { issuer, client_id: clientId } = this.#task
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

  /** The first refresh token. An exchange brings an access token with it. */
  async #begin(start: TokenStart | undefined): Promise<AccessToken | undefined> {
    const digest = start && digestOf(start.token)
    const used = this.#record?.used ?? []
    if (start === undefined || digest === undefined || used.includes(digest)) throw this.#over()
    const { issuer, client_id: clientId } = this.#task
    const identity = { issuer, client_id: clientId, used: withDigest(used, digest) }
    const now = this.#parts.now()
    if (start.kind === 'refresh_token') {
      const held = { current: start.token, grantedAt: now, renewedAt: now }
      await this.#write({ ...identity, held })
      return undefined
    }
    const { audience, scopes } = this.#task
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
    // Another client's is left: the settings may be wrong, and right again tomorrow.
    else if (this.#record !== undefined) await this.#parts.client.forget?.(this.#parts.owner)
  }

  #use(): RefreshTokenUse {
    const { client, now, owner } = this.#parts
    const signal = new AbortController().signal
    return {
      client,
      store: this.#tokenStore(),
      owner,
      audience: this.#task.audience,
      now,
      signal,
    }
  }

  /** The record as `refreshHeld` sees it. */
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
        if (record === undefined) throw this.#over()
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

  #over(): TtsError {
    const reason = this.#record?.ended?.reason
    return new TtsError(
      'delegation_ended',
      reason ?? 'there is no refresh token to renew with, and no token to get one from',
      {
        check: 'start_token_wanted',
        remedy: 'Give a new access token (source.token_file), or log in with `certcache login`.',
      },
    )
  }
}

function accessOf({ accessToken, expiresAt }: Granted, at: Date): AccessToken {
  const end = expiresAt ?? expiryOf(accessToken) ?? new Date(at.getTime() + UNKNOWN_LIFE_MS)
  return { token: accessToken, expiresAt: end }
}

/** The end of a JWT by its own words, unverified: only to know when it is of no use any more. */
export function expiryOf(token: string): Date | undefined {
  try {
    const { exp } = decodeJwt(token)
    return typeof exp === 'number' ? new Date(exp * 1000) : undefined
  } catch {
    return undefined
  }
}
