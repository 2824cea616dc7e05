/** Logins on their way to whoever renews: `certcache login` leaves one in the state, the holder of the lock takes it. */
import { TtsError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { Sources } from '../sources/sources.ts'
import { readState } from '../state/state-records.ts'
import type { StateLock, StateStore } from '../state/state-store.ts'

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
      // Once written it is ours; whatever else failed is tried again by the renewal.
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
