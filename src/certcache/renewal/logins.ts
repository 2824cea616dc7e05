/** Picks up logins: `certcache login` leaves one in the state, and the certcache that holds the lock accepts it. */
import { TtsError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { Sources } from '../sources/sources.ts'
import { readState } from '../state/state-records.ts'
import type { StateLock, StateStore } from '../state/state-store.ts'

/**
 * Returns a function that picks up a waiting login and tells whether there was one. A login that cannot be used yet
 * stays in the state, and the next call tries it again.
 */
export function createLoginPickup(store: StateStore, log: Log) {
  let refusedVersion: string | undefined
  return async (lock: StateLock, sources: Pick<Sources, 'acceptLogin'>): Promise<boolean> => {
    const version = await store.version('incoming')
    if (version === undefined || version === refusedVersion) return false
    const login = await readState(store, 'incoming')
    if (login === undefined) return false
    const fields = { event: 'login.taken', issuer: login.issuer }
    try {
      if (!(await sources.acceptLogin(login))) {
        refusedVersion = version
        const message =
          'the login is for another client: its issuer and client_id must match source.issuer and source.client_id'
        log.error({ ...fields, event: 'login.refused' }, message)
        return false
      }
    } catch (error) {
      log.warn({ ...fields, event: 'login.delayed', err: error }, 'the login cannot be used yet')
      // After any other error the login is stored already, and the renewal tries again.
      if (!(error instanceof TtsError) || isTransient(error)) return false
    }
    await lock.remove('incoming')
    log.info(fields, 'accepted a login; renewal continues with it')
    return true
  }
}

/** Whether the error says nothing about the login itself. */
const isTransient = (error: TtsError): boolean =>
  ['overloaded', 'configuration', 'store_unavailable', 'internal'].includes(error.code)
