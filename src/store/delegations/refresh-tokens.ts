import type { LedgerEntry, LockedRefreshToken } from '../../domain/delegations/records.ts'
import type { HeldRefreshToken } from '../../grants/refresh-token.ts'
import { writeEntry } from './ledger.ts'
import { rotatesColumn } from './rows.ts'
import type { MasterKeys } from '../encryption/master-keys.ts'
import { seal, type SealedKey, type SealedPlace, unseal } from '../encryption/sealed-key.ts'
import { originalText, storedText } from '../stored-text.ts'
import type { Database, DelegationRow } from '../schema/tables.ts'

/** Whose refresh token it is; bound to the ciphertext. */
export interface RefreshTokenOwner {
  readonly id: string
  readonly identityId: string
}

type SealedColumns = Pick<DelegationRow, 'sealed_custody' | 'master_key_id'>

/** The columns that hold a refresh token, encrypted. */
export function refreshTokenColumns(
  masterKeys: MasterKeys,
  owner: RefreshTokenOwner,
  held: HeldRefreshToken,
): SealedColumns {
  return sealedColumns(seal(masterKeys, placeOf(owner), Buffer.from(JSON.stringify(held))))
}

/**
 * The refresh token of a row; undefined when it holds none any more.
 *
 * @throws TtsError `internal` with check `master_key_unknown` or `held_key_tampered`.
 */
export function heldOf(
  masterKeys: MasterKeys,
  row: SealedColumns & Pick<DelegationRow, 'id' | 'identity_id'>,
): HeldRefreshToken | undefined {
  const { sealed_custody: sealed, master_key_id: masterKeyId } = row
  if (sealed === null || masterKeyId === null) return undefined
  const bytes = unseal(masterKeys, placeOf(ownerOf(row)), { masterKeyId, sealed })
  return JSON.parse(bytes.toString('utf8'), reviveDates) as HeldRefreshToken
}

/** The columns of a row, encrypted under the current master key. */
export function resealedColumns(
  masterKeys: MasterKeys,
  row: Pick<DelegationRow, 'id' | 'identity_id'>,
  sealed: SealedKey,
): SealedColumns {
  const place = placeOf(ownerOf(row))
  return sealedColumns(seal(masterKeys, place, unseal(masterKeys, place, sealed)))
}

/** Reads and replaces the refresh token of one delegation; the caller holds its lock. */
export function lockedRefreshToken(
  database: Database,
  masterKeys: MasterKeys,
  id: string,
): LockedRefreshToken {
  const stored = storedText(id)
  return {
    load: async () => {
      // On the writing connection: SQLite's reader may still look at the state before.
      const row = await database.writes
        .selectFrom('delegations')
        .select(['id', 'identity_id', 'sealed_custody', 'master_key_id'])
        .where('id', '=', stored)
        .where('state', '=', 'active')
        .executeTakeFirst()
      return row && heldOf(masterKeys, row)
    },
    save: (held, { renewsUntil, entry }) =>
      saveRefreshToken(database, masterKeys, { id, held, renewsUntil, entry }),
  }
}

interface RefreshTokenToSave {
  readonly id: string
  readonly held: HeldRefreshToken
  readonly renewsUntil: Date
  readonly entry: LedgerEntry | undefined
}

async function saveRefreshToken(
  { writes }: Database,
  masterKeys: MasterKeys,
  { id, held, renewsUntil, entry }: RefreshTokenToSave,
): Promise<boolean> {
  return await writes.transaction().execute(async (transaction) => {
    const row = await transaction
      .selectFrom('delegations')
      .select(['id', 'identity_id'])
      .where('id', '=', storedText(id))
      .executeTakeFirst()
    if (row === undefined) return false
    const updated = await transaction
      .updateTable('delegations')
      .set({
        ...refreshTokenColumns(masterKeys, ownerOf(row), held),
        renews_until: renewsUntil.getTime(),
        rotates: rotatesColumn(held),
      })
      .where('id', '=', row.id)
      .where('state', '=', 'active')
      .returning('id')
      .execute()
    if (updated.length === 0) return false
    if (entry !== undefined) await writeEntry(transaction, id, entry)
    return true
  })
}

function ownerOf(row: Pick<DelegationRow, 'id' | 'identity_id'>): RefreshTokenOwner {
  return { id: originalText(row.id), identityId: originalText(row.identity_id) }
}

function sealedColumns({ masterKeyId, sealed }: SealedKey): SealedColumns {
  return { sealed_custody: sealed, master_key_id: masterKeyId }
}

function placeOf({ id, identityId }: RefreshTokenOwner): SealedPlace {
  return {
    associatedData: Buffer.from(`tts delegation v1\0${id}\0${identityId}`),
    name: `The refresh token of delegation ${id}`,
    remedy: 'Revoke the delegation.',
  }
}

/** `…At` are dates, and JSON has none. */
function reviveDates(key: string, value: unknown): unknown {
  return key.endsWith('At') && typeof value === 'string' ? new Date(value) : value
}
