import { setTimeout as delay } from 'node:timers/promises'
import { TtsError } from '../base/errors.ts'
import type { GrantClient, Granted, SpooledAttempt } from './grant.ts'
import { endedBy, isForGood, NOTHING_WAS_SENT } from './refusals.ts'

/** A refresh token in our keeping, with what is needed to lose none and to foretell its end. All of it is secret. */
export interface HeldRefreshToken {
  readonly current: string
  /** The one before, kept until `current` has worked once. */
  readonly previous: string | undefined
  /** When the first one was granted. */
  readonly grantedAt: Date
  /** When `current` was issued; never later than that. */
  readonly renewedAt: Date
  /** Whether the provider was seen to give a new one at each refresh. Undefined: never refreshed yet. */
  readonly rotates: boolean | undefined
  /** Since when an answer is missing: set durably before a refresh, cleared with its answer. */
  readonly attemptBegunAt: Date | undefined
  /** Where the answer to that attempt goes: whoever finds it begun looks there. */
  readonly attempt?: SpooledAttempt | undefined
  /** When the provider says that `current` ends; few say it. */
  readonly refreshExpiresAt?: Date | undefined
}

/** Where a refresh token is kept. */
export interface RefreshTokenStore {
  load(): Promise<HeldRefreshToken | undefined>
  /** Durable when fulfilled. */
  save(held: HeldRefreshToken): Promise<void>
}

/** What a refresh is made with. */
export interface RefreshTokenUse {
  readonly client: GrantClient
  readonly store: RefreshTokenStore
  /** Whose token it is, for the name of its answer in the spool. */
  readonly owner: string
  /** Audience of the access token; undefined: the provider's choice. */
  readonly audience: string | undefined
  readonly now: () => Date
  /** Heard until the request is sent. After that only the client's deadline ends it: an answer cut off is a token lost. */
  readonly signal: AbortSignal
  /** Waits between attempts to store a new token, in milliseconds. Default 100 and 400. */
  readonly storeAgainMs?: readonly number[]
}

const STORE_AGAIN_MS = [100, 400]

/** The state that follows a first grant. Throws TtsError `grant_refused` for one without refresh token. */
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
 * Refreshes with the token in the store, and has the new one stored before it answers. The caller holds the lock that
 * keeps everybody else away. Whatever happens in between, the store has a token that works unless the provider's answer itself was lost: then `attemptBegunAt` tells since when.
 *
 * @throws {TtsError} `delegation_ended` when no token of ours is taken any more; `grant_refused` when something else has to
 * be fixed first; `provider_unavailable` or `store_unavailable` when another attempt may help; what the store throws
 * @see RFC 6749 section 6, RFC 9700 section 4.14
 */
export async function refreshHeld(use: RefreshTokenUse): Promise<Granted> {
  const { client, store, now, signal, owner } = use
  if (signal.aborted) throw interrupted()
  const held = await recoverHeld(use)
  const begunAt = now()
  const attempt = await client.newAttempt?.(owner)
  // Also shows, before the provider changes anything, that the store can be written.
  await store.save({
    ...held,
    attemptBegunAt: held.attemptBegunAt ?? begunAt,
    ...(attempt && { attempt }),
  })
  const about = { held, begunAt, attempt }
  try {
    return await refreshWith(use, { ...about, shown: held.current })
  } catch (error) {
    if (!isForGood(error)) return settle(use, held, error)
    if (held.previous === undefined || error.check !== 'refresh_token_dead') {
      return end(use, held, error)
    }
  }
  try {
    return await refreshWith(use, { ...about, shown: held.previous })
  } catch (error) {
    return isForGood(error) ? end(use, held, error) : settle(use, held, error)
  }
}

/**
 * Stores what an earlier attempt got and nobody stored: of a process that was killed, or of ours while the store took nothing.
 *
 * @throws {TtsError} as `refreshHeld`; nothing is asked of the provider
 */
export async function recoverHeld(use: RefreshTokenUse): Promise<HeldRefreshToken> {
  const { client, store } = use
  const held = await store.load()
  if (held === undefined) throw nothingHeld()
  const { attempt, attemptBegunAt: begunAt } = held
  if (attempt === undefined || begunAt === undefined) return held
  const found = await client.recover?.(attempt, { mayRepeat: held.rotates === false })
  // Whoever made the attempt may have stored its answer while we waited, if it lost its lock to us.
  const now = await store.load()
  if (now === undefined) throw nothingHeld()
  if (now.attempt?.key !== attempt.key) return now
  if (found === undefined) return held
  const { shown, granted } = found
  const next = renewed({ held, shown, begunAt }, granted)
  await saveSurely(use, next)
  return next
}

interface Attempt {
  readonly held: HeldRefreshToken
  /** The token that is shown: the current or the previous one. */
  readonly shown: string
  readonly begunAt: Date
  readonly attempt?: SpooledAttempt | undefined
}

async function refreshWith(use: RefreshTokenUse, made: Attempt): Promise<Granted> {
  const { client, audience } = use
  const granted = await client.refresh({
    refreshToken: made.shown,
    audience,
    signal: new AbortController().signal,
    attempt: made.attempt,
  })
  await saveSurely(use, renewed(made, granted))
  return granted
}

/** A token that repeats itself, or an answer without one, means: the one that was shown stays (RFC 6749 section 6). */
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
 * The provider may have forgotten the old token by now. While the store does not take the new one it lies in the spool, and
 * the next attempt stores it.
 */
async function saveSurely(use: RefreshTokenUse, held: HeldRefreshToken): Promise<void> {
  const { client, store, owner, storeAgainMs = STORE_AGAIN_MS } = use
  for (let attempt = 0; ; attempt += 1) {
    try {
      await store.save(held)
      // What is left over is only looked at by the attempt that it belongs to.
      await client.forget?.(owner).catch(() => undefined)
      return
    } catch (error) {
      const waitMs = storeAgainMs[attempt]
      if (waitMs === undefined) throw notStored(error)
      await delay(waitMs)
    }
  }
}

/** Not the end: everything stays. Only what was surely not sent, or surely refused, leaves no answer missing. */
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

/** The end, unless somebody else has renewed meanwhile against the rules. The tokens stay for the caller to remove. */
async function end(
  use: RefreshTokenUse,
  held: HeldRefreshToken,
  refusal: TtsError,
): Promise<never> {
  const { store } = use
  const found = await store.load()
  if (found !== undefined && found.current !== held.current) {
    throw new TtsError('conflict', 'the refresh token was renewed by somebody else meanwhile', {
      check: 'refresh_token_in_use',
      remedy: 'Let only one process renew with this refresh token: another one used it, too.',
      cause: refusal,
    })
  }
  await store.save(held).catch(() => undefined)
  throw endedBy(refusal, held.attemptBegunAt)
}

function interrupted(): TtsError {
  return new TtsError('provider_unavailable', 'the renewal was given up before it began', {
    check: NOTHING_WAS_SENT,
    retryAfterSeconds: 5,
  })
}

function nothingHeld(): TtsError {
  return new TtsError('delegation_ended', 'there is no refresh token to renew with', {
    check: 'refresh_token_dead',
    remedy: 'Start again with a new access token, or log in with `certcache login`.',
  })
}

function notStored(cause: unknown): TtsError {
  const told = cause instanceof TtsError ? (cause.remedy ?? cause.message) : 'See the cause.'
  return new TtsError('store_unavailable', 'the new refresh token could not be stored', {
    check: 'refresh_token_unsaved',
    retryAfterSeconds: 5,
    remedy: `Repair the database: until the new refresh token is stored, its only copy is in the refresh spool. ${told}`,
    cause,
  })
}

const DAY_MS = 86_400_000

/**
 * Until when renewal goes on if nothing is done: what the provider says; else, with rotation, a life of the token (in
 * days) from its issue, and without or while nobody knows, from the first grant.
 */
export function renewableUntil(held: HeldRefreshToken, lifetimeDays: number): Date {
  if (held.refreshExpiresAt !== undefined) return held.refreshExpiresAt
  const from = held.rotates === true ? held.renewedAt : held.grantedAt
  return new Date(from.getTime() + lifetimeDays * DAY_MS)
}
