import type { DelegationRecords } from '../../domain/delegations/records.ts'
import { lockedRefreshToken } from './refresh-tokens.ts'
import { addEvent, listEvents, markUsed } from './ledger.ts'
import { claimNotice, delegationsDueForNotice, noticeGiven, overdueDelegations } from './notices.ts'
import {
  createDelegation,
  delegationCensus,
  endDelegation,
  findDelegation,
  listDelegations,
} from './delegations.ts'
import type { MasterKeys } from '../encryption/master-keys.ts'
import { storeError } from '../store-error.ts'
import type { Database } from '../schema/tables.ts'

/** Runs one question with deadline and translated errors. */
export type Ask = <Answer>(question: () => Promise<Answer>) => Promise<Answer>

/** The part of the store that keeps delegations. */
export function delegationRecords(
  database: Database,
  masterKeys: MasterKeys,
  ask: Ask,
): DelegationRecords {
  return {
    create: (delegation, entry, maximum) =>
      ask(() => createDelegation(database, masterKeys, { delegation, entry, maximum })),
    find: (id, identityId) => ask(() => findDelegation(database, id, identityId)),
    list: (filter) => ask(() => listDelegations(database, filter)),
    events: (id, limit) => ask(() => listEvents(database, id, limit)),
    addEvent: (id, entry) => ask(() => addEvent(database, id, entry)),
    used: (id, entry) => ask(() => markUsed(database, id, entry)),
    end: (id, end) => ask(() => endDelegation(database, masterKeys, { id, end })),
    withRefreshToken: async (id, work, waitMs) => {
      const locked = lockedRefreshToken(database, masterKeys, id)
      // Not one question with a deadline: the work waits for the provider. Each question in it has its own.
      return database.refreshLocks
        .run(
          `delegation ${id}`,
          () =>
            work({
              load: () => ask(() => locked.load()),
              save: (held, about) => ask(() => locked.save(held, about)),
            }),
          waitMs,
        )
        .catch((error: unknown) => {
          throw storeError(error)
        })
    },
    census: (now) => ask(() => delegationCensus(database, now)),
    overdue: (bounds) => ask(() => overdueDelegations(database, bounds)),
    dueForNotice: (now, before) => ask(() => delegationsDueForNotice(database, { now, before })),
    claimNotice: (delegation, claim) => ask(() => claimNotice(database, delegation, claim)),
    noticeGiven: (delegation, entry) => ask(() => noticeGiven(database, delegation, entry)),
  }
}
