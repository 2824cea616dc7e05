import { setTimeout as delay } from 'node:timers/promises'
import { TtsError } from '../base/errors.ts'
import type { GrantClient, Granted, SpooledAttempt } from './grant.ts'
import { endedBy, isFinal, NOTHING_WAS_SENT } from './refusals.ts'

/**
 * A stored refresh token, with the data to avoid losing a rotated token and to forecast its end. All of it is secret.
 */
export interface HeldRefreshToken {
  readonly current: string
  /** The previous token, kept until `current` has worked once. */
  readonly previous: string | undefined
  /** When the first one was granted. */
  readonly grantedAt: Date
  /** When `current` was issued, or an earlier time. */
  readonly renewedAt: Date
  /** Whether the provider rotates the token at each refresh; undefined before the first refresh. */
  readonly rotates: boolean | undefined
  /** Time since which an answer is missing: stored before a refresh, cleared when its answer is stored. */
  readonly attemptBegunAt: Date | undefined
  /** Where that attempt spools its answer; the next attempt looks there first. */
  readonly attempt?: SpooledAttempt | undefined
  /** Expiry of `current`, if the provider states it. */
  readonly refreshExpiresAt?: Date | undefined
}

/** The store of one refresh token. */
export interface RefreshTokenStore {
  load(): Promise<HeldRefreshToken | undefined>
  /** Durable when fulfilled. */
  save(held: HeldRefreshToken): Promise<void>
}

/** What a refresh needs. */
export interface RefreshTokenUse {
  readonly client: GrantClient
  readonly store: RefreshTokenStore
  /** Owner of the token; names its answer in the spool. */
  readonly owner: string
  /** Audience of the access token; undefined: the provider chooses. */
  readonly audience: string | undefined
  readonly now: () => Date
  /**
   * Respected until the request is sent. After that only the client's deadline ends it, because aborting could lose a
   * token.
   */
  readonly signal: AbortSignal
  /** Waits between attempts to store a new token, in milliseconds. Default 100 and 400. */
  readonly storeAgainMs?: readonly number[]
}

const STORE_AGAIN_MS = [100, 400]

/**
 * Returns the state after a first grant. @throws {TtsError} `grant_refused`, check `offline_access_refused` (no
 * refresh token)
 */
export function heldRefreshToken(granted: Granted, grantedAt: Date): HeldRefreshToken {
  if (granted.refreshToken === undefined) {
    throw new TtsError('grant_refused', 'the identity provider gave no refresh token', {
      check: 'offline_access_refused',
      remedy: 'Request the scope offline_access, with a client that may use refresh tokens.',
    })
  }
  return {
    current: granted.refreshToken,
    previous: undefined,
    grantedAt,
    renewedAt: grantedAt,
    rotates: undefined,
    attemptBegunAt: undefined,
    refreshExpiresAt: granted.refreshExpiresAt,
  }
}

/**
 * Refreshes with the stored token and stores the new one before it returns. The caller must hold the lock on the
 * token. If anything fails in between, the store still has a valid token, unless the provider's answer itself was
 * lost; `attemptBegunAt` then says since when.
 *
 * @throws {TtsError} `delegation_ended` (the provider accepts none of our tokens any more)
 * @throws {TtsError} `grant_refused` (something else must be fixed first)
 * @throws {TtsError} `provider_unavailable`, `store_unavailable`, `overloaded` (another attempt may succeed)
 * @throws {TtsError} `conflict`, check `refresh_token_in_use` (another process renewed it without the lock); what the
 * store throws
 * @see RFC 6749 section 6, RFC 9700 section 4.14
 */
export async function refreshHeld(use: RefreshTokenUse): Promise<Granted> {
  const { client, store, now, signal, owner } = use
  if (signal.aborted) throw cancelledRenewal()
  const held = await recoverHeld(use)
  const begunAt = now()
  const attempt = await client.newAttempt?.(owner)
  // This also checks that the store is writable before the provider changes anything.
  await store.save({
    ...held,
    attemptBegunAt: held.attemptBegunAt ?? begunAt,
    ...(attempt && { attempt }),
  })
  const base = { held, begunAt, attempt }
  try {
    return await refreshWith(use, { ...base, shown: held.current })
  } catch (error) {
    if (!isFinal(error)) return settle(use, held, error)
    if (held.previous === undefined) return end(use, held, error)
  }
  try {
    return await refreshWith(use, { ...base, shown: held.previous })
  } catch (error) {
    return isFinal(error) ? end(use, held, error) : settle(use, held, error)
  }
}

/**
 * Stores the spooled answer of an earlier attempt that was not stored because a process was killed or the store was
 * not available. Sends no request to the provider.
 *
 * @throws {TtsError} as `refreshHeld`
 */
export async function recoverHeld(use: RefreshTokenUse): Promise<HeldRefreshToken> {
  const { client, store } = use
  const held = await store.load()
  if (held === undefined) throw noRefreshToken()
  const { attempt, attemptBegunAt: begunAt } = held
  if (attempt === undefined || begunAt === undefined) return held
  const found = await client.recover?.(attempt, { mayRepeat: held.rotates === false })
  // Another process whose lock we took over may have stored the answer while we waited.
  const now = await store.load()
  if (now === undefined) throw noRefreshToken()
  if (now.attempt?.key !== attempt.key) return now
  if (found === undefined) return held
  const { shown, granted } = found
  const next = renewed({ held, shown, begunAt }, granted)
  await saveWithRetries(use, next)
  return next
}

interface Attempt {
  readonly held: HeldRefreshToken
  /** The token that is sent: the current or the previous one. */
  readonly shown: string
  readonly begunAt: Date
  readonly attempt?: SpooledAttempt | undefined
}

async function refreshWith(use: RefreshTokenUse, attempt: Attempt): Promise<Granted> {
  const { client, audience } = use
  const granted = await client.refresh({
    refreshToken: attempt.shown,
    audience,
    signal: new AbortController().signal,
    attempt: attempt.attempt,
  })
  await saveWithRetries(use, renewed(attempt, granted))
  return granted
}

/** Without a new refresh token in the answer, the one that was sent stays valid (RFC 6749 section 6). */
function renewed({ held, shown, begunAt }: Attempt, granted: Granted): HeldRefreshToken {
  const current = granted.refreshToken ?? shown
  const rotated = current !== shown
  const same = current === held.current
  return {
    current,
    previous: rotated ? shown : undefined,
    grantedAt: held.grantedAt,
    renewedAt: rotated ? begunAt : same ? held.renewedAt : held.grantedAt,
    rotates: rotated,
    attemptBegunAt: undefined,
    attempt: undefined,
    refreshExpiresAt: granted.refreshExpiresAt ?? (same ? held.refreshExpiresAt : undefined),
  }
}

/**
 * Stores the new token, with retries: the provider may already have invalidated the old one. If all fail, the new one
 * stays in the spool and the next attempt stores it.
 */
async function saveWithRetries(use: RefreshTokenUse, held: HeldRefreshToken): Promise<void> {
  const { client, store, owner, storeAgainMs = STORE_AGAIN_MS } = use
  for (let attempt = 0; ; attempt += 1) {
    try {
      await store.save(held)
      // A leftover answer is harmless: only the attempt that it belongs to reads it.
      await client.forget?.(owner).catch(() => undefined)
      return
    } catch (error) {
      const waitMs = storeAgainMs[attempt]
      if (waitMs === undefined) throw notStored(error)
      await delay(waitMs)
    }
  }
}

/** The token stays usable. `attemptBegunAt` is reset only if the request certainly was not sent or was refused. */
async function settle(
  use: RefreshTokenUse,
  held: HeldRefreshToken,
  error: unknown,
): Promise<never> {
  const answered =
    error instanceof TtsError &&
    (error.code === 'grant_refused' ||
      error.code === 'overloaded' ||
      error.check === NOTHING_WAS_SENT)
  if (answered) await use.store.save(held).catch(() => undefined)
  throw error
}

/**
 * Reports the end, unless another process renewed without the lock. The tokens stay in the store for the caller to
 * remove.
 */
async function end(
  use: RefreshTokenUse,
  held: HeldRefreshToken,
  refusal: TtsError,
): Promise<never> {
  const { store } = use
  const stored = await store.load()
  if (stored !== undefined && stored.current !== held.current) {
    throw new TtsError('conflict', 'another process renewed the refresh token meanwhile', {
      check: 'refresh_token_in_use',
      remedy: 'Let only one process renew with this refresh token: another one used it, too.',
      cause: refusal,
    })
  }
  await store.save(held).catch(() => undefined)
  throw endedBy(refusal, held.attemptBegunAt)
}

function cancelledRenewal(): TtsError {
  return new TtsError('provider_unavailable', 'the renewal was cancelled before it started', {
    check: NOTHING_WAS_SENT,
    retryAfterSeconds: 5,
  })
}

function noRefreshToken(): TtsError {
  return new TtsError('delegation_ended', 'there is no refresh token to renew with', {
    check: 'refresh_token_dead',
    remedy: 'Start again with a new access token, or log in with `certcache login`.',
  })
}

function notStored(cause: unknown): TtsError {
  const reason = cause instanceof TtsError ? (cause.remedy ?? cause.message) : 'See the cause.'
  return new TtsError('store_unavailable', 'the new refresh token could not be stored', {
    check: 'refresh_token_unsaved',
    retryAfterSeconds: 5,
    remedy: `Repair the database: until the new refresh token is stored, its only copy is in the refresh spool. ${reason}`,
    cause,
  })
}

const DAY_MS = 86_400_000

/**
 * Forecasts when renewal ends without a further refresh: the expiry stated by the provider, or `lifetimeDays` after
 * the issue of the token. Without rotation, or while rotation is unknown, the issue is the first grant.
 */
export function renewableUntil(held: HeldRefreshToken, lifetimeDays: number): Date {
  if (held.refreshExpiresAt !== undefined) return held.refreshExpiresAt
  const from = held.rotates === true ? held.renewedAt : held.grantedAt
  return new Date(from.getTime() + lifetimeDays * DAY_MS)
}
