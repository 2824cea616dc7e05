/**
 * Requests of `certcache refresh` to the running certcache with the same state, for a proxy that is valid for longer
 * than the present one. A request is a record in the state, so only a user who can read the state key can make one.
 */
import { randomUUID } from 'node:crypto'
import type { Log } from '../../base/log.ts'
import { type StateContent, encodeState, readState } from '../state/state-records.ts'
import type { ManagedProxy } from './managed-proxy.ts'
import type { StateLock, StateStore } from '../state/state-store.ts'

type RenewalRequest = StateContent<'renewal-request'>

/** The caller of an older request has given up. */
const MAX_AGE_MS = 600_000

export function createRenewalRequests(store: StateStore, log: Log) {
  return {
    /** Leaves a request in the state and returns its id. @throws {TtsError} what the store throws */
    submit: async (request: Omit<RenewalRequest, 'id'>): Promise<string> => {
      const id = randomUUID()
      await store.deposit(encodeState('renewal-request', { ...request, id }), 'renewal-request')
      return id
    },
    /**
     * Removes the waiting request and starts its renewal; calls `onDone` with the id of the request when the renewal
     * has ended.
     *
     * @throws {TtsError} what the store throws
     */
    serve: async (
      lock: StateLock,
      { proxies, now }: { readonly proxies: ReadonlyMap<string, ManagedProxy>; readonly now: Date },
      onDone: (id: string) => void,
    ): Promise<void> => {
      if ((await store.version('renewal-request')) === undefined) return
      const request = await readState(store, 'renewal-request')
      await lock.remove('renewal-request')
      if (request === undefined || Math.abs(now.getTime() - request.at.getTime()) > MAX_AGE_MS)
        return
      log.info(
        { event: 'renewal-request.taken', proxy: request.name },
        '`certcache refresh` requests a renewal',
      )
      const proxy = proxies.get(request.name)
      const held = proxy?.current()
      const isGood = request.valid_until && held && held.notAfter >= request.valid_until
      const work = proxy === undefined || isGood ? Promise.resolve() : renewAndPersist(proxy)
      void work.then(() => onDone(request.id))
    },
  }
}

/** Never rejects: a failure is shown in the status and written into the state. */
async function renewAndPersist(proxy: ManagedProxy): Promise<void> {
  await proxy
    .renew()
    .then(async () => proxy.persisted())
    .catch(() => undefined)
}
