import type { Kysely } from 'kysely'
import type { Pickup, PickupRecords } from '../domain/records.ts'
import type { MasterKeys } from './encryption/master-keys.ts'
import { seal, type SealedPlace, unknownMasterKey, unseal } from './encryption/sealed-key.ts'
import { GroupCommit } from './group-commit.ts'
import type { Ask, Database, PickupRow, Tables } from './schema/tables.ts'

const MAX_BATCH = 64

interface PickupOptions {
  readonly ask: Ask
  readonly now: () => Date
  /** How many answers may wait for their commit. */
  readonly queueLimit: number
}

/**
 * Answers that wait to be picked up: encrypted, found only by who knows the id of their address, and gone once read.
 */
export function pickupRecords(
  { writes, transact, timeoutMs }: Database,
  masterKeys: MasterKeys,
  { ask, now, queueLimit }: PickupOptions,
): PickupRecords {
  const commits = new GroupCommit<PickupRow>({
    commit: async (rows) => {
      // What nobody came for does not lie about until the next upkeep.
      const expired = writes.deleteFrom('pickups').where('expires_at', '<=', now().getTime())
      const inserts = rows.map((row) => writes.insertInto('pickups').values(row).compile())
      await transact([expired.compile(), ...inserts])
      return []
    },
    maxBatch: MAX_BATCH,
    maxQueued: queueLimit,
    timeoutMs,
  })
  return {
    keep: (pickup, content, expiresAt) =>
      ask(async () => {
        const { masterKeyId, sealed } = seal(masterKeys, placeOf(pickup), Buffer.from(content))
        await commits.submit({
          id_digest: pickup.idDigest,
          owner_digest: pickup.ownerDigest,
          expires_at: expiresAt.getTime(),
          master_key_id: masterKeyId,
          sealed,
        })
      }),
    take: (pickup, at) =>
      ask(async () => {
        await refuseUnknownKey(writes, masterKeys, pickup)
        // One statement: of two who ask at once, on whatever replica, one gets the row.
        const [row] = await writes
          .deleteFrom('pickups')
          .where('id_digest', '=', pickup.idDigest)
          .where('owner_digest', '=', pickup.ownerDigest)
          .where('expires_at', '>', at.getTime())
          .returning(['master_key_id', 'sealed'])
          .execute()
        if (row === undefined) return undefined
        const sealed = { masterKeyId: row.master_key_id, sealed: row.sealed }
        return unseal(masterKeys, placeOf(pickup), sealed).toString('utf8')
      }),
  }
}

/** A row that this process cannot decrypt yet must not be deleted. */
async function refuseUnknownKey(
  writes: Kysely<Tables>,
  { keys }: MasterKeys,
  { idDigest }: Pickup,
): Promise<void> {
  const row = await writes
    .selectFrom('pickups')
    .select('master_key_id')
    .where('id_digest', '=', idDigest)
    .executeTakeFirst()
  if (row !== undefined && !keys.has(row.master_key_id))
    throw unknownMasterKey('internal', row.master_key_id)
}

function placeOf({ idDigest, ownerDigest }: Pickup): SealedPlace {
  return {
    associatedData: Buffer.from(`tts pickup v1\0${idDigest}\0${ownerDigest}`),
    name: 'An answer that waits to be picked up',
    remedy: 'Ask again.',
  }
}
