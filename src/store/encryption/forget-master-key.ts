import type { Transaction } from 'kysely'
import { TtsError } from '../../base/errors.ts'
import type { StoreSettings } from '../../config/store-schema.ts'
import { cliOrigin, operatorRecord } from '../../domain/operator-audit.ts'
import { migrate } from '../schema/migrations.ts'
import { auditRow } from '../schema/rows.ts'
import type { Tables } from '../schema/tables.ts'
import { openDatabase } from '../open-database.ts'
import { storeError } from '../store-error.ts'
import { type MasterKeyFile, type MasterKeys, readMasterKeyFile } from './master-keys.ts'

/** How much was lost with a master key. */
export interface ForgottenKeys {
  readonly endEntityKeys: number
  readonly delegations: number
  readonly sessions: number
}

/**
 * Deletes what only a lost master key can decrypt, and the record of the key itself.
 *
 * @throws {TtsError} `conflict`, check `master_key_known` (the key is not lost); `configuration`, `store_unavailable`
 */
export async function forgetMasterKey(request: {
  /** `path` is absolute. */
  readonly settings: StoreSettings
  readonly source: MasterKeys | MasterKeyFile
  readonly id: string
  readonly now: Date
}): Promise<ForgottenKeys> {
  const { settings, source, id, now } = request
  const keys = 'path' in source ? await readMasterKeyFile(source) : source
  if (keys?.keys.has(id) === true) {
    throw new TtsError(
      'conflict',
      `the master key ${id} is not lost: it is among the master keys`,
      {
        check: 'master_key_known',
        remedy: 'Remove it with `tts master-key prune`, which loses nothing.',
      },
    )
  }
  const database = await openDatabase(settings)
  try {
    await migrate(database)
    return await database.writes
      .transaction()
      .execute((transaction) => forget(transaction, { id, now }))
  } catch (error) {
    throw storeError(error)
  } finally {
    await database.destroy()
  }
}

async function forget(
  transaction: Transaction<Tables>,
  { id, now }: { readonly id: string; readonly now: Date },
): Promise<ForgottenKeys> {
  const remove = async (
    table: 'end_entity_keys' | 'web_sessions' | 'pickups' | 'token_keys',
  ): Promise<number> => {
    const { numDeletedRows } = await transaction
      .deleteFrom(table)
      .where('master_key_id', '=', id)
      .executeTakeFirstOrThrow()
    return Number(numDeletedRows)
  }
  const { numUpdatedRows: delegations } = await transaction
    .updateTable('delegations')
    .set({
      state: 'ended',
      sealed_custody: null,
      master_key_id: null,
      ended_at: now.getTime(),
      end_reason: 'its refresh token was encrypted under a master key that is lost',
    })
    .where('master_key_id', '=', id)
    .executeTakeFirstOrThrow()
  const forgotten = {
    endEntityKeys: await remove('end_entity_keys'),
    delegations: Number(delegations),
    sessions: await remove('web_sessions'),
  }
  await remove('pickups')
  // The service makes another one; tokens under the lost key end within their short life.
  await remove('token_keys')
  await transaction
    .deleteFrom('installation_keys')
    .where('kind', '=', 'master-key')
    .where('key_id', '=', id)
    .execute()
  const action = { at: now, event: 'master-key.forgotten', origin: cliOrigin }
  const audit = operatorRecord({ ...action, detail: `master key ${id}` })
  await transaction.insertInto('audit').values(auditRow(audit)).execute()
  return forgotten
}
