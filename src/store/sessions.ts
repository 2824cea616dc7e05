import { createHash } from 'node:crypto'
import type { SessionContent, SessionRecords, StoredSession } from '../domain/session-records.ts'
import { TtsError } from '../base/errors.ts'
import type { MasterKeys } from './encryption/master-keys.ts'
import { seal, type SealedPlace, unseal } from './encryption/sealed-key.ts'
import type { Ask, Database, WebSessionRow } from './schema/tables.ts'

/**
 * Sessions of the web page. They are short: when the master key changes they are not encrypted anew, and those under
 * a key that is gone have ended.
 */
export function sessionRecords(
  database: Database,
  masterKeys: MasterKeys,
  ask: Ask,
): SessionRecords {
  const { writes } = database
  return {
    create: (session, maximum) => ask(() => create(database, masterKeys, { session, maximum })),
    find: (idDigest, times) =>
      ask(() => find(database, masterKeys, { idDigest, ...times })).catch(endedIfKeyIsGone),
    used: (idDigest, at) =>
      ask(async () => {
        await writes
          .updateTable('web_sessions')
          .set({ last_used_at: at.getTime() })
          .where('id_digest', '=', idDigest)
          .execute()
      }),
    replace: (idDigest, { content, endsAt }) =>
      ask(async () => {
        const updated = await writes
          .updateTable('web_sessions')
          .set({ ...sealedColumns(masterKeys, idDigest, content), ends_at: endsAt.getTime() })
          .where('id_digest', '=', idDigest)
          .returning('id_digest')
          .execute()
        return updated.length > 0
      }),
    end: (idDigest) =>
      ask(async () => {
        await writes.deleteFrom('web_sessions').where('id_digest', '=', idDigest).execute()
      }),
  }
}

async function create(
  { writes }: Database,
  masterKeys: MasterKeys,
  made: { readonly session: Omit<StoredSession, 'lastUsedAt'>; readonly maximum: number },
): Promise<void> {
  const { session, maximum } = made
  const { issuer, sub } = session.content.login
  const owner = createHash('sha256')
    .update(JSON.stringify([issuer, sub]))
    .digest('hex')
  await writes.transaction().execute(async (transaction) => {
    const createdAt = session.createdAt.getTime()
    // Those that ended do not lie about until the next upkeep: they hold tokens.
    await transaction.deleteFrom('web_sessions').where('ends_at', '<=', createdAt).execute()
    await transaction
      .insertInto('web_sessions')
      .values({
        id_digest: session.idDigest,
        owner_digest: owner,
        created_at: createdAt,
        last_used_at: createdAt,
        ends_at: session.endsAt.getTime(),
        ...sealedColumns(masterKeys, session.idDigest, session.content),
      })
      .execute()
    const kept = await transaction
      .selectFrom('web_sessions')
      .select('id_digest')
      .where('owner_digest', '=', owner)
      .orderBy('created_at', 'desc')
      .orderBy('last_used_at', 'desc')
      .limit(maximum)
      .execute()
    await transaction
      .deleteFrom('web_sessions')
      .where('owner_digest', '=', owner)
      .where('id_digest', 'not in', [session.idDigest, ...kept.map((row) => row.id_digest)])
      .execute()
  })
}

async function find(
  { writes }: Database,
  masterKeys: MasterKeys,
  wanted: { readonly idDigest: string; readonly now: Date; readonly usedAfter: Date },
): Promise<StoredSession | undefined> {
  // On the writing connection: SQLite's reader may still see a session that was ended a moment ago.
  const row = await writes
    .selectFrom('web_sessions')
    .selectAll()
    .where('id_digest', '=', wanted.idDigest)
    .where('ends_at', '>', wanted.now.getTime())
    .where('last_used_at', '>', wanted.usedAfter.getTime())
    .executeTakeFirst()
  if (row === undefined) return undefined
  return {
    idDigest: row.id_digest,
    createdAt: new Date(row.created_at),
    lastUsedAt: new Date(row.last_used_at),
    endsAt: new Date(row.ends_at),
    content: contentOf(masterKeys, row),
  }
}

function endedIfKeyIsGone(error: unknown): undefined {
  if (error instanceof TtsError && error.check === 'master_key_unknown') return undefined
  throw error
}

function contentOf(masterKeys: MasterKeys, row: WebSessionRow): SessionContent {
  const sealed = { masterKeyId: row.master_key_id, sealed: row.sealed }
  const text = unseal(masterKeys, placeOf(row.id_digest), sealed).toString('utf8')
  return JSON.parse(text) as SessionContent
}

function sealedColumns(
  masterKeys: MasterKeys,
  idDigest: string,
  content: SessionContent,
): Pick<WebSessionRow, 'master_key_id' | 'sealed'> {
  const text = Buffer.from(JSON.stringify(content))
  const { masterKeyId, sealed } = seal(masterKeys, placeOf(idDigest), text)
  return { master_key_id: masterKeyId, sealed }
}

function placeOf(idDigest: string): SealedPlace {
  return {
    associatedData: Buffer.from(`tts web session v1\0${idDigest}`),
    name: 'A session of the web page',
    remedy: 'Log in again.',
  }
}
