/**
 * What `certcache refresh` asks of the certcache that runs with the same state: a proxy that is good for longer than the one
 * in hand. It lies in the state, so whoever may read the keys may ask, and nobody else.
 */
import { randomUUID } from 'node:crypto'
import type { Log } from '../../base/log.ts'
import { type StateContent, encodeState, readState } from '../state/state-records.ts'
import type { ManagedProxy } from './managed-proxy.ts'
import type { StateLock, StateStore } from '../state/state-store.ts'

type RenewalRequest = StateContent<'renewal-request'>

/** Whoever asked has given up by then. */
const OLDEST_MS = 600_000

export function createRenewalRequests(store: StateStore, log: Log) {
  return {
    /** Leaves a request; answers its id. @throws {TtsError} what the store throws */
    make: async (request: Omit<RenewalRequest, 'id'>): Promise<string> => {
      const id = randomUUID()
      await store.deposit(encodeState('renewal-request', { ...request, id }), 'renewal-request')
      return id
    },
    /**
     * Takes the request that waits, once, and begins what it asks for; `answer` is called with its id when that has ended.
     *
     * @throws {TtsError} what the store throws
     */
    grant: async (
      lock: StateLock,
      has: { readonly proxies: ReadonlyMap<string, ManagedProxy>; readonly now: Date },
      answer: (id: string) => void,
    ): Promise<void> => {
      if ((await store.version('renewal-request')) === undefined) return
      const request = await readState(store, 'renewal-request')
      await lock.remove('renewal-request')
      if (request === undefined || Math.abs(has.now.getTime() - request.at.getTime()) > OLDEST_MS)
        return
      log.info(
        { event: 'renewal-request.taken', proxy: request.name },
        '`certcache refresh` asks for a renewal',
      )
      const proxy = has.proxies.get(request.name)
      const held = proxy?.current()
      const isGood = request.valid_until && held && held.notAfter >= request.valid_until
      const work = proxy === undefined || isGood ? Promise.resolve() : renewed(proxy)
      void work.then(() => answer(request.id))
    },
  }
}

/** Its failure is in the status, and in the state. */
async function renewed(proxy: ManagedProxy): Promise<void> {
  await proxy
    .renew()
    .then(async () => proxy.persisted())
    .catch(() => undefined)
}
