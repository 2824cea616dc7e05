/** Logins on their way to whoever renews: `certcache login` leaves one in the state, the holder of the lock takes it. */
import { randomUUID } from 'node:crypto'
import { TtsError } from '../errors.ts'
import type { Granted } from '../grants/grant.ts'
import type { Log } from '../log.ts'
import type { Sources } from './sources.ts'
import { encodeState, readState } from './state-records.ts'
import type { StateLock, StateStore } from './state-store.ts'

/** Whose login it is. */
export interface LoginClient {
  readonly issuer: string
  readonly clientId: string
}

/**
 * Leaves what a login brought for whoever renews; a certcache that runs takes it within seconds, else the next start does.
 *
 * @throws {TtsError} `grant_refused` when it has no refresh token; `configuration`, `store_unavailable`
 */
export async function leaveLogin(
  store: StateStore,
  { issuer, clientId }: LoginClient,
  { granted, now }: { readonly granted: Granted; readonly now: Date },
): Promise<void> {
  const { refreshToken, refreshExpiresAt, accessToken, expiresAt } = granted
  if (refreshToken === undefined)
    throw new TtsError('grant_refused', 'the identity provider gave no refresh token', {
      check: 'offline_access_refused',
      remedy: 'ask for the scope offline_access, by a client that may use refresh tokens',
    })
  const login = {
    id: randomUUID(),
    issuer,
    client_id: clientId,
    refresh_token: refreshToken,
    granted_at: now,
    ...(refreshExpiresAt && { refresh_expires_at: refreshExpiresAt }),
    ...(expiresAt && { access: { token: accessToken, expires_at: expiresAt } }),
  }
  await store.deposit(encodeState('incoming', login))
}

/** Takes a login that waits; true when there was one. One that cannot be taken now is tried again at the next look. */
export function createLogins(store: StateStore, log: Log) {
  let refused: string | undefined
  return async (lock: StateLock, sources: Pick<Sources, 'takeLogin'>): Promise<boolean> => {
    const version = await store.version('incoming')
    if (version === undefined || version === refused) return false
    const login = await readState(store, 'incoming')
    if (login === undefined) return false
    const about = { event: 'login.taken', issuer: login.issuer }
    try {
      if (!(await sources.takeLogin(login))) {
        refused = version
        const what = 'a login is for another client than source.issuer and source.client_id name'
        log.error({ ...about, event: 'login.refused' }, what)
        return false
      }
    } catch (error) {
      // Once written it is in custody; whatever else failed is tried again by the renewal.
      log.warn({ ...about, event: 'login.delayed', err: error }, 'the login is not usable yet')
      if (!(error instanceof TtsError) || isTransient(error)) return false
    }
    await lock.remove('incoming')
    log.info(about, 'a login was taken: renewal goes on with it')
    return true
  }
}

/** What does not speak against the login itself. */
const isTransient = (error: TtsError): boolean =>
  ['overloaded', 'configuration', 'store_unavailable', 'internal'].includes(error.code)
