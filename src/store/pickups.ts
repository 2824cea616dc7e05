import type { Kysely } from 'kysely'
import type { Pickup, PickupRecords } from '../domain/records.ts'
import type { MasterKeys } from './encryption/master-keys.ts'
import { seal, type SealedPlace, unknownMasterKey, unseal } from './encryption/sealed-key.ts'
import type { Ask, Database, Tables } from './schema/tables.ts'

/**
 * Answers that wait to be picked up: encrypted, found only by who knows the id of their address, and gone once read.
 */
export function pickupRecords(
  { writes }: Database,
  masterKeys: MasterKeys,
  { ask, now }: { readonly ask: Ask; readonly now: () => Date },
): PickupRecords {
  return {
    keep: (pickup, content, expiresAt) =>
      ask(async () => {
        const { masterKeyId, sealed } = seal(masterKeys, placeOf(pickup), Buffer.from(content))
        // What nobody came for does not lie about until the next upkeep.
        await writes.deleteFrom('pickups').where('expires_at', '<=', now().getTime()).execute()
        await writes
          .insertInto('pickups')
          .values({
            id_digest: pickup.idDigest,
            owner_digest: pickup.ownerDigest,
            expires_at: expiresAt.getTime(),
            master_key_id: masterKeyId,
            sealed,
          })
          .execute()
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
