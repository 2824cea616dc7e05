import { randomUUID } from 'node:crypto'
import type { Kysely } from 'kysely'
import type { Identity, SubjectCandidate } from '../domain/records.ts'
import { TtsError } from '../base/errors.ts'
import { toIdentity } from './schema/rows.ts'
import { storedText } from './stored-text.ts'
import type { Database, Tables } from './schema/tables.ts'

/** Who a token speaks for. */
export interface IssuerAndSubject {
  readonly issuer: string
  readonly sub: string
}

/** An entry of a PostgreSQL index takes 2,704 bytes; the same bound holds on both databases. */
const MAX_INDEXED_BYTES = 2600

/** The identity's record, if there is one. */
export async function findIdentity(
  db: Kysely<Tables>,
  key: IssuerAndSubject,
): Promise<Identity | undefined> {
  const row = await db
    .selectFrom('identities')
    .selectAll()
    .where('issuer', '=', storedText(key.issuer))
    .where('sub', '=', storedText(key.sub))
    .executeTakeFirst()
  return row === undefined ? undefined : toIdentity(row)
}

/** Returns whether an identity has a subject with this comparable form. */
export async function isSubjectTaken(db: Kysely<Tables>, comparable: string): Promise<boolean> {
  const row = await db
    .selectFrom('identities')
    .select('id')
    .where('comparable', '=', storedText(comparable))
    .executeTakeFirst()
  return row !== undefined
}

/**
 * The identity's record, made with the first free candidate if there is none. Uniqueness is the database's: no lock is
 * held between the statements, and none is needed, since a row once there never changes.
 *
 * @throws TtsError `conflict` with check `subject_taken`; `invalid_request` when key or name is too long to index.
 */
export async function ensureIdentity(
  { reads, writes }: Database,
  key: IssuerAndSubject,
  { candidates, now }: { readonly candidates: readonly SubjectCandidate[]; readonly now: Date },
): Promise<Identity> {
  const known = await findIdentity(reads, key)
  if (known !== undefined) return known
  refuseLong('identity', key.issuer, key.sub)
  for (const candidate of candidates) {
    refuseLong('subject name', candidate.comparable)
    const made = await insertIdentity(writes, { key, candidate, now })
    // Not inserted: either this identity was made meanwhile, or the name belongs to another.
    const identity = made ?? (await findIdentity(writes, key))
    if (identity !== undefined) return identity
  }
  throw new TtsError(
    'conflict',
    'every subject name for this identity belongs to another identity',
    {
      check: 'subject_taken',
    },
  )
}

interface NewIdentity {
  readonly key: IssuerAndSubject
  readonly candidate: SubjectCandidate
  readonly now: Date
}

async function insertIdentity(
  db: Kysely<Tables>,
  { key, candidate, now }: NewIdentity,
): Promise<Identity | undefined> {
  const row = await db
    .insertInto('identities')
    .values({
      id: randomUUID(),
      issuer: storedText(key.issuer),
      sub: storedText(key.sub),
      subject: storedText(candidate.subject),
      comparable: storedText(candidate.comparable),
      created_at: now.getTime(),
      groups: null,
    })
    .onConflict((conflict) => conflict.doNothing())
    .returningAll()
    .executeTakeFirst()
  return row === undefined ? undefined : toIdentity(row)
}

function refuseLong(what: string, ...texts: readonly string[]): void {
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(storedText(text)), 0)
  if (bytes <= MAX_INDEXED_BYTES) return
  throw new TtsError('invalid_request', `the ${what} is too long to be stored`, {
    check: 'identity_length',
  })
}
