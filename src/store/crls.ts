/**
 * CRLs. The bytes of one, up to 15 MB at 300,000 revocations, are written in parts, each in a short transaction: in a
 * single one they would hold up every other writer of SQLite for 80 ms. The row of the CRL comes last, so nobody
 * reads an incomplete one.
 */
import { randomUUID } from 'node:crypto'
import { sql, type Transaction } from 'kysely'
import type { CrlRecord } from '../domain/records.ts'
import type { CrlRow, Database, Tables } from './schema/tables.ts'

/** CRLs that stay in the database beside the newest, for a look back. */
const OLD_CRLS = 10
/** Measured on SQLite: larger parts hold up other writers for longer, smaller ones wait for the disk more often. */
const PART_BYTES = 512 * 1024
/** Parts without a CRL this much older than a stored CRL belong to a process that ended while it wrote them. */
const ABANDONED_MS = 3_600_000
/** The advisory lock under which CRLs are made on PostgreSQL: "TTS" and "CRL" in ASCII. */
const CRL_LOCK = { space: 0x545453, object: 0x43524c }

/** The CRL with the highest number; undefined when there is none, or a part of it is missing. */
export async function latestCrl({
  reads,
}: Pick<Database, 'reads'>): Promise<CrlRecord | undefined> {
  let tried = 0
  for (;;) {
    const row = await reads
      .selectFrom('crls')
      .selectAll()
      .orderBy('number', 'desc')
      .limit(1)
      .executeTakeFirst()
    if (row === undefined) return undefined
    const der = await readParts(reads, row.id)
    if (der.length === row.length) return toCrl(row, der)
    // It may have been removed meanwhile, because there are many newer ones.
    if (row.number === tried) return undefined
    tried = row.number
  }
}

async function readParts(reads: Database['reads'], id: string): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for (;;) {
    const part = await reads
      .selectFrom('crl_parts')
      .select('bytes')
      .where('crl_id', '=', id)
      .where('position', '=', parts.length)
      .executeTakeFirst()
    if (part === undefined) return Buffer.concat(parts)
    parts.push(part.bytes)
  }
}

function toCrl(row: CrlRow, der: Buffer): CrlRecord {
  return {
    number: row.number,
    thisUpdate: new Date(row.this_update),
    nextUpdate: new Date(row.next_update),
    der,
    revocations: row.revocations,
  }
}

/** The number of the newest CRL, without reading the CRL; 0 when there is none. */
export async function latestCrlNumber({ reads }: Pick<Database, 'reads'>): Promise<number> {
  const { latest } = await reads
    .selectFrom('crls')
    .select(({ fn }) => fn.max<number | null>('number').as('latest'))
    .executeTakeFirstOrThrow()
  return latest ?? 0
}

/**
 * Stores a CRL when its number is the next one, and answers whether it was: whoever lost the race makes another.
 */
export async function addCrl(database: Database, crl: CrlRecord): Promise<boolean> {
  if ((await latestCrlNumber(database)) !== crl.number - 1) return false
  const id = randomUUID()
  let isStored = false
  try {
    await writeParts(database, id, crl)
    isStored = await addRow(database, id, crl)
    return isStored
  } finally {
    // When the database fails, so may this: the parts are then removed with those of processes that ended.
    if (!isStored) await removeParts(database, id).catch(() => undefined)
  }
}

async function removeParts({ writes }: Database, id: string): Promise<void> {
  await writes.deleteFrom('crl_parts').where('crl_id', '=', id).execute()
}

/** Others write between two parts: each waits for the connection anew. */
async function writeParts(
  { writes }: Database,
  id: string,
  { der, thisUpdate }: CrlRecord,
): Promise<void> {
  for (let position = 0; position * PART_BYTES < der.length; position += 1) {
    // A copy, because a message to the thread of SQLite carries the whole memory behind a view.
    const bytes = Buffer.copyBytesFrom(der, position * PART_BYTES, PART_BYTES)
    await writes
      .insertInto('crl_parts')
      .values({ crl_id: id, position, this_update: thisUpdate.getTime(), bytes })
      .execute()
  }
}

async function addRow(database: Database, id: string, crl: CrlRecord): Promise<boolean> {
  return await database.writes.transaction().execute(async (transaction) => {
    if (database.kind === 'postgresql') {
      const { space, object } = CRL_LOCK
      await sql`select pg_advisory_xact_lock(${sql.lit(space)}, ${sql.lit(object)})`.execute(
        transaction,
      )
    }
    if ((await latestCrlNumber({ reads: transaction })) !== crl.number - 1) return false
    await transaction
      .insertInto('crls')
      .values({
        number: crl.number,
        id,
        this_update: crl.thisUpdate.getTime(),
        next_update: crl.nextUpdate.getTime(),
        length: crl.der.length,
        revocations: crl.revocations,
      })
      .execute()
    await removeOld(transaction, crl)
    return true
  })
}

async function removeOld(transaction: Transaction<Tables>, newest: CrlRecord): Promise<void> {
  const firstKept = newest.number - OLD_CRLS
  await transaction
    .deleteFrom('crl_parts')
    .where('crl_id', 'in', (old) =>
      old.selectFrom('crls').select('id').where('number', '<', firstKept),
    )
    .execute()
  await transaction.deleteFrom('crls').where('number', '<', firstKept).execute()
  await transaction
    .deleteFrom('crl_parts')
    .where('crl_id', 'not in', (stored) => stored.selectFrom('crls').select('id'))
    .where('this_update', '<', newest.thisUpdate.getTime() - ABANDONED_MS)
    .execute()
}
