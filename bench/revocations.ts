/** Revoked EECs on record that have not ended, and more of them one by one, as another replica would record them. */
import { DatabaseSync } from 'node:sqlite'

const DAY_MS = 86_400_000
const EECS_PER_IDENTITY = 100
/** Not yet revoked, for later. */
const SPARE = 1000

/** Fills the file of a service that is stopped: so many EECs, revoked during the last ten days. */
export function fillRevocations(path: string, count: number): void {
  const now = Date.now()
  const database = new DatabaseSync(path, { timeout: 5000 })
  const series = (length: number): string =>
    `(with recursive s(n) as (select 0 union all select n + 1 from s where n < ${length - 1}) select n from s)`
  const identities = Math.ceil((count + SPARE) / EECS_PER_IDENTITY)
  try {
    database.exec('begin')
    database.exec(`insert into identities (id, issuer, sub, subject, comparable, created_at, groups)
      select 'revoked-' || n, 'https://revoked.example', n, '/O=Revoked/CN=' || n, '/o=revoked/cn=' || n, ${now}, '{}'
      from ${series(identities)}`)
    // The first octet below 80: an INTEGER above that would be negative.
    database.exec(`insert into certificates (serial, kind, subject, issuer_serial, not_before, not_after, fingerprint,
        key_kind, identity_id, credential_id, position)
      select '4a' || lower(hex(randomblob(15))), 'eec', '/O=Revoked/CN=' || (n / ${EECS_PER_IDENTITY}), null,
        ${now - DAY_MS}, ${now + 11 * DAY_MS}, lower(hex(randomblob(32))), 'rsa-2048',
        'revoked-' || (n / ${EECS_PER_IDENTITY}), null, 0 from ${series(count + SPARE)}`)
    database.exec(`insert into revocations (serial, revoked_at, reason)
      select serial, ${now - 10 * DAY_MS} + abs(random() % ${9 * DAY_MS}), 'superseded'
      from certificates where identity_id like 'revoked-%' limit ${count}`)
    database.exec('commit')
  } finally {
    database.close()
  }
}

/** The database of a running service, from outside. */
export interface OtherReplica {
  /** Records one more revocation. */
  readonly revoke: () => void
  readonly newestCrl: () => { readonly number: number; readonly bytes: number }
  readonly close: () => void
}

/** Opens the database beside its service. */
export function openOtherReplica(path: string): OtherReplica {
  const database = new DatabaseSync(path, { timeout: 5000 })
  const revoke = database.prepare(`insert into revocations (serial, revoked_at, reason)
    select serial, ?, 'superseded' from certificates where identity_id like 'revoked-%'
      and serial not in (select serial from revocations) limit 1`)
  const newest = database.prepare(
    'select number, length as bytes from crls order by number desc limit 1',
  )
  return {
    revoke: () => void revoke.run(Date.now()),
    newestCrl: () => newest.get() as ReturnType<OtherReplica['newestCrl']>,
    close: () => database.close(),
  }
}
