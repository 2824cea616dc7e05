/** Faults of a real PostgreSQL: each keeps its cause, in one sentence for the operator, with no secret in it. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { storeSettings } from '../../../src/config/store-schema.ts'
import { openStore } from '../../../src/store/store.ts'
import {
  ask,
  missingPostgresPackage,
  type PostgresCluster,
  startPostgres,
} from '../../support/postgres.ts'
import { newMasterKeys, NOW } from '../support.ts'

const required = process.env['TTS_TEST_REQUIRE_TOOLS'] === '1'
const password = randomBytes(12).toString('hex')

describe.skipIf(missingPostgresPackage !== undefined && !required)('faults of PostgreSQL', () => {
  let cluster: PostgresCluster
  let direct = ''
  beforeAll(async () => {
    cluster = await startPostgres({ passwords: true })
    direct = await cluster.createDatabase()
    const database = new URL(direct).pathname.slice(1)
    for (const sql of [
      `create role owner login password '${password}'`,
      `create role limited login password '${password}'`,
      `create role busy login connection limit 0 password '${password}'`,
      'create database standby owner owner',
      'alter database standby set default_transaction_read_only = on',
      `revoke create on schema public from public`,
      `revoke create on database ${database} from public`,
    ])
      await ask(direct, sql)
  })
  afterAll(async () => cluster.stop())

  const open = async (url: string) =>
    openStore({
      settings: storeSettings.parse({ url, pool_size: 2, timeout_seconds: 2 }),
      masterKeys: newMasterKeys(),
      now: () => NOW,
    })
  const url = (user: string, { secret = password, database = 'postgres', query = '' } = {}) =>
    `postgres://${user}:${secret}@127.0.0.1:${cluster.port}/${database}${query}`

  test.for([
    {
      name: 'a wrong password',
      url: () => url('owner', { secret: `${password}x` }),
      says: 'PostgreSQL refuses the password. Check user and password in store.url.',
    },
    {
      name: 'no password',
      url: () => url('owner', { secret: '' }),
      says: 'PostgreSQL wants a password. Add it to store.url.',
    },
    {
      name: 'a role that does not exist, at the socket',
      url: () => `postgres:///postgres?host=${cluster.directory}&user=nobody1&port=${cluster.port}`,
      says: /^PostgreSQL does not let this user log in from here\. .+pg_hba\.conf/,
    },
    {
      name: 'a database that does not exist',
      url: () => url('owner', { database: 'nowhere' }),
      says: /^PostgreSQL has no database of this name\. /,
    },
    {
      name: 'no right to create tables',
      url: () => url('limited', { database: new URL(direct).pathname.slice(1) }),
      says: /^The user of the database may not create or change tables\. /,
    },
    {
      name: 'a read-only database',
      url: () => url('owner', { database: 'standby' }),
      says: /^The database is read-only: it is probably a standby\. /,
    },
    {
      name: 'no connection left',
      url: () => url('busy'),
      says: /^PostgreSQL has no connection left\. /,
    },
    {
      name: 'a server without TLS',
      url: () => url('owner', { query: '?sslmode=verify-full' }),
      says: /^The database server does not offer TLS\. /,
    },
    {
      name: 'a host that does not exist',
      url: () => 'postgres://owner:secret@nowhere.invalid/x',
      // The second one on a machine without DNS.
      says: /^(The host name of the database does not exist|The DNS of this machine does not answer)/,
    },
    {
      name: 'a port where nothing listens',
      url: () => 'postgres://owner:secret@127.0.0.1:1/x',
      says: /^Nothing listens at the address of the database\. /,
    },
    {
      name: 'a directory without a socket',
      url: () => 'postgres:///x?host=/nonexistent&user=owner',
      says: /^There is no socket of PostgreSQL in the directory that store\.url names\. /,
    },
  ])('$name', async ({ url: from, says }) => {
    const refusal: unknown = await open(from()).catch((error: unknown) => error)
    expect(refusal).toMatchObject({
      code: 'store_unavailable',
      message: 'the database is not available',
      remedy: (typeof says === 'string'
        ? says
        : (expect.stringMatching(says) as string)) satisfies string,
    })
    expect((refusal as { remedy: string }).remedy).not.toMatch(new RegExp(`${password}|secret@`))
  })

  test.for([
    {
      text: 'postgres://u:do-not-show@a,b/x?target_session_attrs=any',
      says: 'target_session_attrs must be read-write or primary',
    },
    {
      text: 'postgres://u:do-not-show@a/x?target_session_attrs=standby',
      says: 'target_session_attrs must be read-write or primary',
    },
    { text: 'postgres:///x?host=/a,/b,/c&port=1,2', says: 'port must name one port' },
    { text: 'postgres://u:do-not-show@a:1,b:port/x', says: 'must be a connection string' },
    { text: 'postgres://u:do-not-show@a:port/x', says: 'must be a connection string' },
    {
      text: 'postgres://u:p@a/x?sslrootcert=/nonexistent.pem',
      says: '/nonexistent.pem cannot be read',
    },
  ])('the connection string $text', async ({ text, says }) => {
    const refusal: unknown = await open(text).catch((error: unknown) => error)
    expect(refusal).toMatchObject({
      code: 'configuration',
      message: expect.stringMatching(new RegExp(`^store\\.url: .*${says}`)) as string,
    })
    expect((refusal as Error).message).not.toContain('do-not-show')
  })
})
