import type { Transaction } from 'kysely'
import { resealedColumns } from '../delegations/rows.ts'
import { reencryptTokenKeys } from '../access-tokens/token-keys.ts'
import type { MasterKeys } from './master-keys.ts'
import { openKey, sealKey } from './sealed-key.ts'
import { storeError } from '../store-error.ts'
import { originalText } from '../stored-text.ts'
import type { Database, DatabaseKind, Tables } from '../schema/tables.ts'

const AT_ONCE = 100

/** Encrypts what stands under older master keys under the current one; answers how many keys and refresh tokens. */
export async function reencryptKeys(database: Database, masterKeys: MasterKeys): Promise<number> {
  let total = 0
  for (const reencrypt of [reencryptEndEntityKeys, reencryptRefreshTokens, reencryptTokenKeys]) {
    for (;;) {
      const count = await database.writes
        .transaction()
        .execute((transaction) => reencrypt(transaction, database.kind, masterKeys))
        .catch((error: unknown) => {
          throw storeError(error)
        })
      if (count === 0) break
      total += count
    }
  }
  return total
}

async function reencryptEndEntityKeys(
  transaction: Transaction<Tables>,
  kind: DatabaseKind,
  masterKeys: MasterKeys,
): Promise<number> {
  const rows = await transaction
    .selectFrom('end_entity_keys')
    .select(['serial', 'identity_id', 'master_key_id', 'sealed_key'])
    .where('master_key_id', '!=', masterKeys.currentId)
    .orderBy('serial')
    .limit(AT_ONCE)
    .$if(kind === 'postgresql', (query) => query.forUpdate())
    .execute()
  for (const row of rows) {
    const owner = { serial: originalText(row.serial), identityId: originalText(row.identity_id) }
    const old = { masterKeyId: row.master_key_id, sealed: row.sealed_key }
    const { masterKeyId, sealed } = sealKey(masterKeys, owner, openKey(masterKeys, owner, old))
    await transaction
      .updateTable('end_entity_keys')
      .set({ master_key_id: masterKeyId, sealed_key: sealed })
      .where('serial', '=', row.serial)
      .execute()
  }
  return rows.length
}

/** The rows are locked: a renewal that saves a rotated token meanwhile comes before or after, never between. */
async function reencryptRefreshTokens(
  transaction: Transaction<Tables>,
  kind: DatabaseKind,
  masterKeys: MasterKeys,
): Promise<number> {
  const rows = await transaction
    .selectFrom('delegations')
    .select(['id', 'identity_id', 'master_key_id', 'sealed_custody'])
    .where('master_key_id', '!=', masterKeys.currentId)
    .orderBy('id')
    .limit(AT_ONCE)
    .$if(kind === 'postgresql', (query) => query.forUpdate())
    .execute()
  for (const row of rows) {
    if (row.master_key_id === null || row.sealed_custody === null) continue
    const old = { masterKeyId: row.master_key_id, sealed: row.sealed_custody }
    await transaction
      .updateTable('delegations')
      .set(resealedColumns(masterKeys, row, old))
      .where('id', '=', row.id)
      .execute()
  }
  return rows.length
}
