/**
 * What `certcache refresh` asks of the certcache that runs with the same state: a proxy that is good for longer than the one
 * in hand. It lies in the state, so whoever may read the keys may ask, and nobody else.
 */
import { randomUUID } from 'node:crypto'
import type { Log } from '../../log.ts'
import { type Content, encodeState, readState } from '../state/state-records.ts'
import type { ManagedProxy } from './managed-proxy.ts'
import type { StateLock, StateStore } from '../state/state-store.ts'

type Wish = Content<'wish'>

/** Whoever asked has given up by then. */
const OLDEST_MS = 600_000

export function createWishes(store: StateStore, log: Log) {
  return {
    /** Leaves a wish; answers its id. @throws {TtsError} what the store throws */
    make: async (wish: Omit<Wish, 'id'>): Promise<string> => {
      const id = randomUUID()
      await store.deposit(encodeState('wish', { ...wish, id }), 'wish')
      return id
    },
    /**
     * Takes the wish that waits, once, and begins what it asks for; `answer` is called with its id when that has ended.
     *
     * @throws {TtsError} what the store throws
     */
    grant: async (
      lock: StateLock,
      has: { readonly proxies: ReadonlyMap<string, ManagedProxy>; readonly now: Date },
      answer: (id: string) => void,
    ): Promise<void> => {
      if ((await store.version('wish')) === undefined) return
      const wish = await readState(store, 'wish')
      await lock.remove('wish')
      if (wish === undefined || Math.abs(has.now.getTime() - wish.at.getTime()) > OLDEST_MS) return
      log.info({ event: 'wish.taken', proxy: wish.name }, '`certcache refresh` asks for a renewal')
      const proxy = has.proxies.get(wish.name)
      const held = proxy?.current()
      const isGood = wish.valid_until && held && held.notAfter >= wish.valid_until
      const work = proxy === undefined || isGood ? Promise.resolve() : renewed(proxy)
      void work.then(() => answer(wish.id))
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
