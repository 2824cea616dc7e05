/**
 * The state of a pending login is in one cookie: a random secret and the purpose of the login. State, nonce and PKCE
 * verifier are derived from the secret, the state also from the rest of the cookie. An answer with that state
 * therefore belongs to this browser and to this login (RFC 9700 section 4.7), and the service stores nothing.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { TtsError } from '../../base/errors.ts'
import type { LoginChecks } from './client.ts'

export interface LoginState {
  readonly secret: string
  readonly providerId: string
  /** Path where the user goes after the login: a path that `safeReturnPath` accepts, or RELYING_PATH. */
  readonly returnPath: string
  /** Milliseconds since the epoch. */
  readonly startedAtMs: number
  /** Digest of the session for which an additional login is made; undefined for a login that starts a session. */
  readonly sessionDigest: string | undefined
}

/** Time that a user has to log in at the provider, in seconds. */
export const LOGIN_SECONDS = 900

/** Returns the value of the cookie. */
export function formatLoginState(login: LoginState): string {
  const { secret, providerId, returnPath, startedAtMs, sessionDigest = '' } = login
  const path = Buffer.from(returnPath).toString('base64url')
  return [secret, providerId.replaceAll('.', '~'), path, startedAtMs, sessionDigest].join('.')
}

/** Parses the cookie. @throws {TtsError} `access_denied`, check `login_state` (missing, malformed or too old) */
export function readLoginState(cookie: string | undefined, now: Date): LoginState {
  const [secret = '', provider = '', path = '', started = '', session = ''] =
    cookie?.split('.') ?? []
  const startedAtMs = Number(started)
  const ageMs = now.getTime() - startedAtMs
  const returnPath = ownReturnPath(Buffer.from(path, 'base64url').toString('utf8'))
  if (secret.length < 43 || !/^\d{1,15}$/.test(started) || returnPath === undefined) throw noLogin()
  if (ageMs < 0 || ageMs > LOGIN_SECONDS * 1000) throw noLogin()
  return {
    secret,
    providerId: provider.replaceAll('~', '.'),
    returnPath,
    startedAtMs,
    sessionDigest: session === '' ? undefined : session,
  }
}

/** Returns state, nonce and PKCE verifier (RFC 7636 section 4.1) of a login. */
export function checksOf(login: LoginState): LoginChecks {
  const derive = (label: string): string =>
    createHmac('sha256', login.secret).update(label).digest('base64url')
  return {
    state: derive(`tts login state v1\0${formatLoginState(login)}`),
    nonce: derive('tts login nonce v1'),
    verifier: derive('tts login verifier v1'),
  }
}

/** Checks that the state in an answer is that of the login. @throws {TtsError} `access_denied`, check `login_state` */
export function requireState(login: LoginState, state: unknown): void {
  const expected = Buffer.from(checksOf(login).state)
  const received = Buffer.from(typeof state === 'string' ? state : '')
  if (received.length !== expected.length || !timingSafeEqual(received, expected)) throw noLogin()
}

function noLogin(): TtsError {
  return new TtsError(
    'access_denied',
    'this browser started no such login here in the last minutes: log in again',
    { check: 'login_state' },
  )
}

/** The pages that may follow a login. Any other path is ignored, in whatever spelling. */
const RETURN_PATH =
  /^\/(?:services(?:\/[A-Za-z0-9_][A-Za-z0-9._-]{0,63})?|credentials|delegations|audit)$/

/** Path where users of relying services go after a login. The parameter `return` cannot name it. */
export const RELYING_PATH = '/rsp/request'

function ownReturnPath(path: string): string | undefined {
  return path === RELYING_PATH ? path : safeReturnPath(path)
}

/** Returns the path if it is exactly the path of a page of this service; otherwise undefined. */
export function safeReturnPath(path: unknown): string | undefined {
  return typeof path === 'string' && RETURN_PATH.test(path) ? path : undefined
}
