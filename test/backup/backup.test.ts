/** The drill: everything is destroyed, restored from one file, and goes on; also in the other kind of database. */
import { randomBytes } from 'node:crypto'
import { cp, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { beforeEach, describe, expect, test } from 'vitest'
import { readCrl } from '../../ca/crl.ts'
import type { StoreSettings } from '../../src/config/store-schema.ts'
import { delegate, providerSettings, renew } from '../api/delegation-support.ts'
import { proxyJson } from '../api/support.ts'
import { describeStores } from '../store/support.ts'
import { missingPostgresPackage, startPostgres } from '../support/postgres.ts'
import { type TestService, testConfiguration } from '../support/service.ts'
import { useStoredServices } from '../support/stored-services.ts'

const installation = useStoredServices({ tokens: { includeAuthnInfo: true } })
const { path, start, stop } = installation
beforeEach(async () => {
  await writeFile(path('passphrase'), `${randomBytes(18).toString('base64')}\n`, { mode: 0o600 })
})

const tts = async (...words: readonly string[]) => installation.tts(words)
const backup = async (file = 'backup') =>
  tts('backup', '--passphrase-file', path('passphrase'), path(file))
const restore = async (file = 'backup', ...words: readonly string[]) =>
  tts('restore', '--passphrase-file', path('passphrase'), ...words, path(file))

async function configure(settings: StoreSettings): Promise<void> {
  const { provider } = installation
  const { services } = testConfiguration(provider)
  await installation.configure(settings, {
    services: { ...services, ssh: { plugin: 'ssh-certificate' } },
    providers: { iam: providerSettings(provider) },
  })
}

async function revokedSerials({ url }: TestService): Promise<readonly string[]> {
  const answer = await fetch(`${url}/ca/crl.der`)
  return [...readCrl(Buffer.from(await answer.arrayBuffer())).revoked.keys()]
}

const text = async (service: TestService, file: string): Promise<string> =>
  (await fetch(`${service.url}/ca/${file}`)).text()

/** Uses the installation, backs it up, and returns what must be the same after a restore. */
async function usedInstallation() {
  const service = await start()
  const issued = await proxyJson(service)
  const delegation = await delegate(service)
  expect((await renew(service, delegation)).status).toBe(200)
  const state = {
    issued,
    delegation,
    ca: await text(service, 'ca.pem'),
    sshCa: await text(service, 'ssh/ca.pub'),
    audit: (await service.running.service.store.listAudit({ limit: 1000 })).length,
    crlNumber: await service.running.service.store.latestCrlNumber(),
  }
  // While the service runs.
  const made = await backup()
  expect(made.notes).toMatch(/^Backed up to .*: the state of 20.*, with 1 user\(s\), 2 credential/)
  expect(made.code).toBe(0)
  expect((await stat(path('backup'))).mode & 0o777).toBe(0o600)
  await stop()
  return state
}

async function expectSame(state: Awaited<ReturnType<typeof usedInstallation>>): Promise<void> {
  const service = await start()
  expect(await text(service, 'ca.pem')).toBe(state.ca)
  expect(await text(service, 'ssh/ca.pub')).toBe(state.sshCa)
  const { store } = service.running.service
  expect((await store.listAudit({ limit: 1000 })).length).toBe(state.audit)
  // Something that was issued before is revoked, under the same CA, with a higher number.
  expect(await revokedSerials(service)).toEqual([])
  expect((await tts('credential', 'revoke', state.issued.id)).code).toBe(0)
  await expect.poll(async () => revokedSerials(service)).toEqual([state.issued.end_entity_serial])
  expect(await store.latestCrlNumber()).toBeGreaterThan(state.crlNumber)
  // The delegation renews, and the person has the same name.
  expect((await renew(service, state.delegation)).status).toBe(200)
  expect(state.issued.identity).toContain('/CN=')
  expect((await proxyJson(service)).identity).toBe(state.issued.identity)
  expect(await store.listAudit({ limit: 1 })).toMatchObject([
    { event: expect.any(String) as string },
  ])
}

describeStores('the drill', ({ newDatabase }) => {
  test('destroy, restore, revoke something issued before, renew', async () => {
    await configure(await newDatabase())
    const state = await usedInstallation()
    await rm(path('data'), { recursive: true })
    await configure(await newDatabase())
    const restored = await restore()
    expect(restored).toMatchObject({ code: 0 })
    expect(restored.notes).toMatch(/^Restored: the state of 20.*\n(.*chown.*\n)?Run `tts check`/)
    expect((await tts('check')).out).toMatch(/^ok {7}records: /m)
    await expectSame(state)
  })

  test('nothing is overwritten', async () => {
    await configure(await newDatabase())
    await usedInstallation()
    const before = await readFile(path('data/master-keys'), 'utf8')
    const files = await restore()
    expect(files).toMatchObject({ code: 1 })
    expect(files.notes).toMatch(/there is .*\/ca and .*\/ssh-ca already/)
    await mkdir(path('saved'))
    for (const name of ['ca', 'ssh-ca', 'master-keys']) {
      await cp(path(`data/${name}`), path(`saved/${name}`), { recursive: true })
      await rm(path(`data/${name}`), { recursive: true })
    }
    const records = await restore()
    expect(records).toMatchObject({ code: 1 })
    expect(records.notes).toContain('the database is not empty; nothing was restored')
    expect(await readdir(path('data'))).not.toContain('ca')
    expect(before).not.toBe('')
  })
  test('master keys that are a value of the configuration are not written, and that is said', async () => {
    const settings = await newDatabase()
    await configure(settings)
    await usedInstallation()
    const master_key = await readFile(path('data/master-keys'), 'utf8')
    await rm(path('data'), { recursive: true })
    await installation.configure(await newDatabase(), { master_key })
    const { code, notes } = await restore()
    expect(code).toBe(0)
    expect(notes).toContain('The master keys of the backup were not written')
    expect(await readdir(path('data'))).not.toContain('master-keys')
    await start()
  })
})

describe('master keys that are there already', () => {
  const database = () => ({ path: path('data/tts.db') }) as StoreSettings
  const lost = async (): Promise<string> => {
    const keys = await readFile(path('data/master-keys'), 'utf8')
    await rm(path('data'), { recursive: true })
    return keys
  }

  test('with master_key_file they are kept, and that is said', async () => {
    await configure(database())
    const state = await usedInstallation()
    await writeFile(path('keys'), await lost(), { mode: 0o600 })
    const { provider } = installation
    const { services } = testConfiguration(provider)
    await installation.configure(database(), {
      services: { ...services, ssh: { plugin: 'ssh-certificate' } },
      providers: { iam: providerSettings(provider) },
      master_key_file: path('keys'),
    })
    const { code, notes } = await restore()
    expect(notes).toContain(`The master keys of the backup are in ${path('keys')} already.`)
    expect(code).toBe(0)
    expect(await readdir(path('data'))).not.toContain('master-keys')
    await expectSame(state)
  })

  test('a file that lacks some refuses the restore, and shows no key', async () => {
    await configure(database())
    await usedInstallation()
    const keys = await lost()
    const other = `other:${randomBytes(32).toString('base64')}\n`
    await mkdir(path('data'), { mode: 0o700 })
    await writeFile(path('data/master-keys'), other, { mode: 0o600 })
    const { code, notes } = await restore()
    expect(code).toBe(1)
    const [id = '', key = ''] = keys.trim().split(':')
    expect(notes).toContain(`does not have all master keys of the backup: ${id} is missing`)
    expect(notes).not.toContain(key)
    expect(await readdir(path('data'))).toEqual(['master-keys'])
    await writeFile(path('data/master-keys'), `${other}${keys}`, { mode: 0o600 })
    expect((await restore()).code).toBe(0)
    expect(await readFile(path('data/master-keys'), 'utf8')).toBe(`${other}${keys}`)
  })
})

test.skipIf(process.getuid?.() !== 0)('a data directory that root creates is named', async () => {
  await configure({ path: path('data/tts.db') } as StoreSettings)
  await usedInstallation()
  for (const isThere of [false, true]) {
    await rm(path('data'), { recursive: true })
    if (isThere) await mkdir(path('data'))
    const { code, notes } = await restore()
    expect(code).toBe(0)
    const says = `it belongs to root, with its files. If the service runs as another user, run first: chown -R USER '${path('data')}'`
    expect(notes.includes(says)).toBe(!isThere)
  }
})

const required = process.env['TTS_TEST_REQUIRE_TOOLS'] === '1'

describe.skipIf(missingPostgresPackage !== undefined && !required)('from one to the other', () => {
  test('from SQLite to PostgreSQL and back', async () => {
    const cluster = await startPostgres()
    try {
      const sqlite = { path: path('data/tts.db') } as StoreSettings
      await configure(sqlite)
      const state = await usedInstallation()
      await rm(path('data'), { recursive: true })
      await configure({ ...sqlite, url: await cluster.createDatabase() })
      expect((await restore()).code).toBe(0)
      await start()
      await stop()
      expect((await backup('second')).code).toBe(0)
      await rm(path('data'), { recursive: true })
      await configure(sqlite)
      expect((await restore('second')).code).toBe(0)
      await expectSame(state)
    } finally {
      await stop()
      await cluster.stop()
    }
  })
})

describe('a backup that cannot be used', () => {
  beforeEach(async () => {
    await configure({ path: path('data/tts.db') } as StoreSettings)
  })

  test('is refused, and nothing is changed', async () => {
    await usedInstallation()
    await rm(path('data'), { recursive: true })
    const whole = await readFile(path('backup'))
    const flipped = Buffer.from(whole)
    flipped[whole.length - 100]! ^= 1
    const first = Buffer.from(whole)
    first[250]! ^= 1
    const cases = {
      cut: { content: whole.subarray(0, whole.length - 1), says: 'damaged or incomplete' },
      short: { content: whole.subarray(0, 40), says: 'not a backup' },
      flipped: { content: flipped, says: /damaged or incomplete|not that of the backup/ },
      first: { content: first, says: 'the passphrase is not that of the backup' },
      longer: { content: Buffer.concat([whole, whole]), says: 'damaged or incomplete' },
      other: { content: Buffer.from('hello\n'), says: 'not a backup of `tts backup`' },
      empty: { content: Buffer.alloc(0), says: 'not a backup' },
    }
    for (const [name, { content, says }] of Object.entries(cases)) {
      await writeFile(path(name), content)
      const { code, notes } = await restore(name)
      expect({ name, code }).toEqual({ name, code: 2 })
      expect(notes).toMatch(says)
      expect(notes).not.toContain('unexpected')
    }
    expect(await readdir(path('data'))).toEqual([])
    await writeFile(path('passphrase'), 'another passphrase of some length\n')
    expect((await restore()).notes).toContain('the passphrase is not that of the backup')
    expect((await restore('missing')).code).toBe(5)
    expect((await restore('backup', '--verify')).code).toBe(2)
  })

  test('a passphrase that is short, or that others can read', async () => {
    await writeFile(path('short'), 'too short\n', { mode: 0o600 })
    const short = await tts('backup', '--passphrase-file', path('short'), path('backup'))
    expect(short.notes).toContain('the passphrase must have at least 16 characters')
    await writeFile(path('open'), 'long enough, but open to all\n', { mode: 0o644 })
    const open = await tts('backup', '--passphrase-file', path('open'), path('backup'))
    expect(open.notes).toContain('can be used by others than its owner')
    expect(await readdir(path('.'))).not.toContain('backup')
  })

  test('without records there is nothing to back up, and no file is left', async () => {
    await mkdir(path('data'))
    const { code, notes } = await backup()
    expect(code).not.toBe(0)
    expect(notes).not.toContain('unexpected')
    expect((await readdir(path('.'))).filter((name) => name.startsWith('backup'))).toEqual([])
  })
})
