/** Bans, and the identities that they hold for. */
import type { Kysely } from 'kysely'
import type { Ban, BanRecords, BansInForce } from '../domain/bans/records.ts'
import { isGroupOf } from '../domain/bans/groups.ts'
import type { AuditRecord, Identity } from '../domain/records.ts'
import type { Ask, BanRow, Database, IdentityRow, Tables } from './schema/tables.ts'
import { auditRow, toIdentity } from './schema/rows.ts'
import { groupsSeen, withGroupsSeen } from './seen-groups.ts'
import { originalOptional, originalText, storedOptional, storedText } from './stored-text.ts'

const MAX_LISTED = 1000
/** Rows of one statement: PostgreSQL and SQLite limit the parameters. */
const ROWS_A_STATEMENT = 500

/** The part of the store that keeps bans. */
export function banRecords(database: Database, ask: Ask): BanRecords {
  const { writes } = database
  return {
    inForce: () => ask(() => bansInForce(database)),
    list: () =>
      ask(async () => {
        const rows = await writes
          .selectFrom('bans')
          .selectAll()
          .orderBy('created_at', 'desc')
          .orderBy('id')
          .limit(MAX_LISTED)
          .execute()
        return rows.map(toBan)
      }),
    find: (id) =>
      ask(async () => {
        const row = await writes
          .selectFrom('bans')
          .selectAll()
          .where('id', '=', storedText(id))
          .executeTakeFirst()
        return row && toBan(row)
      }),
    add: (ban, audit) => ask(() => addBan(database, ban, audit)),
    sweep: (ban) => ask(() => sweep(database, ban)),
    lift: (id, at, audit) => ask(() => liftBan(database, id, { at, audit })),
    rememberGroups: (identityId, groups, at) =>
      ask(() => rememberGroups(database, identityId, { groups, at })),
  }
}

/** Replicas may do this at the same time, so one that finds another value than it has read begins again. */
async function rememberGroups(
  { writes }: Database,
  identityId: string,
  { groups, at }: { readonly groups: readonly string[]; readonly at: Date },
): Promise<void> {
  for (;;) {
    const found = await writes
      .selectFrom('identities')
      .select('groups')
      .where('id', '=', storedText(identityId))
      .executeTakeFirst()
    if (found === undefined) return
    const value = withGroupsSeen(found.groups, groups, at)
    if (value === found.groups) return
    const { numUpdatedRows } = await writes
      .updateTable('identities')
      .set({ groups: value })
      .where('id', '=', storedText(identityId))
      .where('groups', found.groups === null ? 'is' : '=', found.groups)
      .executeTakeFirst()
    if (numUpdatedRows > 0n) return
  }
}

async function bansInForce({ writes }: Database): Promise<BansInForce> {
  // On the writing connection: SQLite's reader may still see the state before the ban.
  const rows = await writes.selectFrom('bans').selectAll().where('lifted_at', 'is', null).execute()
  if (rows.length === 0) return { bans: [], identityIds: new Set() }
  const identities = await writes
    .selectFrom('banned_identities')
    .select('identity_id')
    .distinct()
    .execute()
  const identityIds = new Set(identities.map((row) => originalText(row.identity_id)))
  return { bans: rows.map(toBan), identityIds }
}

async function addBan({ writes }: Database, ban: Ban, audit: AuditRecord): Promise<void> {
  await writes.transaction().execute(async (transaction) => {
    await transaction.insertInto('bans').values(rowOf(ban)).execute()
    await addMembers(transaction, ban)
    await transaction.insertInto('audit').values(auditRow(audit)).execute()
  })
}

async function sweep({ writes }: Database, ban: Ban): Promise<readonly Identity[]> {
  return writes.transaction().execute((transaction) => addMembers(transaction, ban))
}

async function addMembers(db: Kysely<Tables>, ban: Ban): Promise<readonly Identity[]> {
  const members = await membersOf(db, ban)
  for (let start = 0; start < members.length; start += ROWS_A_STATEMENT)
    await db
      .insertInto('banned_identities')
      .values(
        members
          .slice(start, start + ROWS_A_STATEMENT)
          .map(({ id }) => ({ identity_id: id, ban_id: ban.id })),
      )
      .onConflict((conflict) => conflict.doNothing())
      .execute()
  return members.map(toIdentity)
}

async function membersOf(
  db: Kysely<Tables>,
  { target, createdAt }: Ban,
): Promise<readonly IdentityRow[]> {
  const identities = db.selectFrom('identities').selectAll()
  if (target.kind === 'identity')
    return identities
      .where('issuer', '=', storedText(target.issuer))
      .where('sub', '=', storedText(target.sub))
      .execute()
  const known = identities.where('groups', 'is not', null)
  const { issuer, group } = target
  const rows = await known
    .$if(issuer !== undefined, (query) => query.where('issuer', '=', storedText(issuer ?? '')))
    .execute()
  return rows.filter(({ groups }) => isGroupOf(group, groupsSeen(groups, createdAt)))
}

async function liftBan(
  { writes }: Database,
  id: string,
  { at, audit }: { readonly at: Date; readonly audit: AuditRecord },
): Promise<boolean> {
  return writes.transaction().execute(async (transaction) => {
    const lifted = await transaction
      .updateTable('bans')
      .set({ lifted_at: at.getTime() })
      .where('id', '=', storedText(id))
      .where('lifted_at', 'is', null)
      .returning('id')
      .execute()
    if (lifted.length === 0) return false
    await transaction.deleteFrom('banned_identities').where('ban_id', '=', storedText(id)).execute()
    await transaction.insertInto('audit').values(auditRow(audit)).execute()
    return true
  })
}

function rowOf({ id, target, reason, createdAt, createdBy, liftedAt }: Ban): BanRow {
  return {
    id: storedText(id),
    kind: target.kind,
    issuer: storedOptional(target.issuer),
    value: storedText(target.kind === 'identity' ? target.sub : target.group),
    reason: storedText(reason),
    created_at: createdAt.getTime(),
    created_by: storedText(createdBy),
    lifted_at: liftedAt?.getTime() ?? null,
  }
}

function toBan(row: BanRow): Ban {
  const [issuer, value] = [originalOptional(row.issuer), originalText(row.value)]
  return {
    id: originalText(row.id),
    target:
      row.kind === 'identity'
        ? { kind: 'identity', issuer: issuer ?? '', sub: value }
        : { kind: 'group', issuer, group: value },
    reason: originalText(row.reason),
    createdAt: new Date(row.created_at),
    createdBy: originalText(row.created_by),
    liftedAt: row.lifted_at === null ? undefined : new Date(row.lifted_at),
  }
}
