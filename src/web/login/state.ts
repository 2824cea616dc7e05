/**
 * A login under way is known by one cookie: a random secret and what the login is for. State, nonce and PKCE verifier are
 * made of the secret, and the state also of all the rest: what comes back with that state belongs to this browser and to
 * this very login (RFC 9700 section 4.7), and nothing has to be kept here.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { TtsError } from '../../base/errors.ts'
import type { LoginChecks } from './client.ts'

export interface LoginState {
  readonly secret: string
  readonly providerId: string
  /** Where the person is led afterwards: a path of `safeReturnPath`, or RELYING_PATH. */
  readonly returnPath: string
  /** Milliseconds since the epoch. */
  readonly startedAtMs: number
  /** Digest of the session that an additional login is for; undefined for a login that begins a session. */
  readonly sessionDigest: string | undefined
}

/** How long somebody may take to log in at the provider. */
export const LOGIN_SECONDS = 900

/** As the value of a cookie. */
export function formatLoginState(login: LoginState): string {
  const { secret, providerId, returnPath, startedAtMs, sessionDigest = '' } = login
  const path = Buffer.from(returnPath).toString('base64url')
  return [secret, providerId.replaceAll('.', '~'), path, startedAtMs, sessionDigest].join('.')
}

/** @throws {TtsError} `access_denied`, check `login_state`, when there is none, or it is too old */
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

/** State, nonce and PKCE verifier (RFC 7636 section 4.1) of a login. */
export function checksOf(login: LoginState): LoginChecks {
  const derive = (label: string): string =>
    createHmac('sha256', login.secret).update(label).digest('base64url')
  return {
    state: derive(`tts login state v1\0${formatLoginState(login)}`),
    nonce: derive('tts login nonce v1'),
    verifier: derive('tts login verifier v1'),
  }
}

/** @throws {TtsError} `access_denied`, check `login_state`, unless the answer is for this very login */
export function requireState(login: LoginState, given: unknown): void {
  const wanted = Buffer.from(checksOf(login).state)
  const found = Buffer.from(typeof given === 'string' ? given : '')
  if (found.length !== wanted.length || !timingSafeEqual(found, wanted)) throw noLogin()
}

function noLogin(): TtsError {
  return new TtsError(
    'access_denied',
    'this answer belongs to no login that was begun here in the last minutes with this browser: log in again',
    { check: 'login_state' },
  )
}

/** The pages that a login may lead to. Everything else, however it is written, leads to none. */
const RETURN_PATH = /^\/(?:services(?:\/[a-z0-9][a-z0-9_-]{0,31})?|credentials|delegations|audit)$/

/** Where users of relying services are led after a login: a path that no address of a login can name. */
export const RELYING_PATH = '/rsp/request'

function ownReturnPath(path: string): string | undefined {
  return path === RELYING_PATH ? path : safeReturnPath(path)
}

/** The path when it is that of a page of ours, letter by letter. */
export function safeReturnPath(path: unknown): string | undefined {
  return typeof path === 'string' && RETURN_PATH.test(path) ? path : undefined
}
