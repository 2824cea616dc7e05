/** The keys that sign access tokens, encrypted under the master keys. */
import type { Transaction } from 'kysely'
import type { TokenKey, TokenKeyRecords } from '../../domain/access-tokens/records.ts'
import type { MasterKeys } from '../encryption/master-keys.ts'
import { auditRow } from '../schema/rows.ts'
import { seal, type SealedPlace, unseal } from '../encryption/sealed-key.ts'
import type { Ask, Database, DatabaseKind, Tables, TokenKeyRow } from '../schema/tables.ts'

/** The part of the store that keeps the keys. */
export function tokenKeyRecords(
  { writes }: Database,
  masterKeys: MasterKeys,
  ask: Ask,
): TokenKeyRecords {
  return {
    // On the writing connection: a key that another process has just made must be seen.
    list: () =>
      ask(async () => {
        const rows = await writes
          .selectFrom('token_keys')
          .selectAll()
          .orderBy('created_at')
          .orderBy('id')
          .execute()
        return rows.map((row) => openRow(masterKeys, row))
      }),
    add: (key) =>
      ask(async () => {
        await writes.insertInto('token_keys').values(sealedRow(masterKeys, key)).execute()
      }),
    remove: (ids) =>
      ask(async () => {
        await writes
          .deleteFrom('token_keys')
          .where('id', 'in', [...ids])
          .execute()
      }),
    replaceAll: (key, audit) =>
      ask(() =>
        writes.transaction().execute(async (transaction) => {
          await transaction.deleteFrom('token_keys').execute()
          await transaction.insertInto('token_keys').values(sealedRow(masterKeys, key)).execute()
          await transaction.insertInto('audit').values(auditRow(audit)).execute()
        }),
      ),
  }
}

/** Encrypts keys under older master keys under the current one; returns how many. */
export async function reencryptTokenKeys(
  transaction: Transaction<Tables>,
  kind: DatabaseKind,
  masterKeys: MasterKeys,
): Promise<number> {
  const rows = await transaction
    .selectFrom('token_keys')
    .selectAll()
    .where('master_key_id', '!=', masterKeys.currentId)
    .$if(kind === 'postgresql', (query) => query.forUpdate())
    .execute()
  for (const row of rows) {
    const { id, ...columns } = sealedRow(masterKeys, openRow(masterKeys, row))
    await transaction.updateTable('token_keys').set(columns).where('id', '=', id).execute()
  }
  return rows.length
}

function sealedRow(
  masterKeys: MasterKeys,
  { id, createdAt, privateKeyDer }: TokenKey,
): TokenKeyRow {
  const { masterKeyId, sealed } = seal(masterKeys, placeOf(id), privateKeyDer)
  const created_at = createdAt.getTime()
  return { id, created_at, master_key_id: masterKeyId, sealed_key: sealed }
}

function openRow(masterKeys: MasterKeys, row: TokenKeyRow): TokenKey {
  const sealed = { masterKeyId: row.master_key_id, sealed: row.sealed_key }
  const privateKeyDer = unseal(masterKeys, placeOf(row.id), sealed)
  return { id: row.id, createdAt: new Date(row.created_at), privateKeyDer }
}

/** Bound to the id, so that no row's key can be passed off as another's. */
function placeOf(id: string): SealedPlace {
  return {
    associatedData: Buffer.from(`tts access token key v1\0${id}`),
    name: `The key ${id}, which signs access tokens,`,
    remedy: 'Delete the row: the service makes another key.',
  }
}
