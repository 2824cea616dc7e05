/** The records and the CA belong together: what starts, what is refused, and what the operator is told. */
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createLog } from '../../src/base/log.ts'
import { loadConfiguration } from '../../src/config/load.ts'
import type { StoreSettings } from '../../src/config/store-schema.ts'
import { assembleService, openCore } from '../../src/service/compose.ts'
import { authorityStatus } from '../../src/service/installation.ts'
import { describeStores } from '../store/support.ts'
import { openssl } from '../support/openssl.ts'
import { runTts } from '../support/terminal.ts'

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tts-installation-'))
})
afterEach(async () => {
  await rm(directory, { recursive: true, force: true })
})

/** One replica: a data directory of its own, and the database that all share. */
interface Replica {
  readonly data: (path: string) => string
  /** Starts, stops, and returns the key of its CA. @throws what prevents the start */
  readonly start: () => Promise<string>
  readonly tts: (...words: readonly string[]) => ReturnType<typeof runTts>
}

async function replica(name: string, settings: StoreSettings): Promise<Replica> {
  const home = join(directory, name)
  await mkdir(home)
  const config = join(home, 'tts.yaml')
  const store =
    settings.url === undefined ? { path: settings.path } : { url: settings.url, pool_size: 3 }
  const services = { ssh: { plugin: 'ssh-certificate' } }
  await writeFile(
    config,
    JSON.stringify({ data_dir: 'data', ca: { key_kind: 'ec-p256' }, store, services }),
    { mode: 0o600 },
  )
  const data = (path: string): string => join(home, 'data', path)
  return {
    data,
    start: async () => {
      const loaded = await loadConfiguration(config, {})
      const runtime = { log: createLog({ level: 'silent', name: 'test' }), now: () => new Date() }
      const core = await openCore(loaded, runtime, { makeAuthority: true })
      const service = await assembleService(core, {
        makeAuthority: true,
        patience: AbortSignal.timeout(5000),
      }).catch(async (error: unknown) => {
        await core.close()
        throw error
      })
      try {
        await service.crls.current()
        return service.authority.signer.publicKey.keyId.toString('hex')
      } finally {
        await service.close()
      }
    },
    tts: async (...words) => runTts(['--config', config, ...words]),
  }
}

describeStores('records and CA', ({ newDatabase, query }) => {
  test('a start without the CA directory is refused and makes nothing; restored, it starts', async () => {
    const settings = await newDatabase()
    const { data, start } = await replica('one', settings)
    const key = await start()
    for (const name of ['ca', 'ssh-ca']) {
      await cp(data(name), data(`saved-${name}`), { recursive: true })
      await rm(data(name), { recursive: true })
      const kind = name === 'ca' ? 'CA' : 'SSH CA'
      await expect(start()).rejects.toMatchObject({
        code: 'configuration',
        check: 'authority_missing',
        message: expect.stringMatching(
          `^the database belongs to the ${kind} .+ \\(SHA-256 of its key [0-9a-f]{16}…\\), but there is no ${kind} in ${data(name)}$`,
        ) as string,
        remedy: expect.stringContaining('Restore this directory from the backup') as string,
      })
      expect(existsSync(data(name))).toBe(false)
      await cp(data(`saved-${name}`), data(name), { recursive: true })
    }
    expect(await start()).toBe(key)
  })

  test('a new replica without the CA is refused, also by every command', async () => {
    const settings = await newDatabase()
    const first = await replica('one', settings)
    const key = await first.start()
    const second = await replica('two', settings)
    // It has the master keys, but not the CA.
    await mkdir(second.data('.'), { mode: 0o700 })
    await cp(first.data('master-keys'), second.data('master-keys'))
    await expect(second.start()).rejects.toMatchObject({ check: 'authority_missing' })
    expect((await second.tts('credential', 'list')).notes).toContain(
      'the database belongs to the CA /C=EU/O=INDIGO/OU=TTS/CN=TTS-CA',
    )
    expect((await second.tts('check')).out).toMatch(/^FAILED {3}ca and records: the database bel/m)
    await cp(first.data('ca'), second.data('ca'), { recursive: true })
    await cp(first.data('ssh-ca'), second.data('ssh-ca'), { recursive: true })
    expect(await second.start()).toBe(key)
  })

  test('another CA of the same name is refused until it is adopted', async () => {
    const settings = await newDatabase()
    const { data, start, tts } = await replica('one', settings)
    const key = await start()
    await rm(data('ca'), { recursive: true })
    expect((await tts('ca', 'init')).code).toBe(0)
    const refused: unknown = await start().catch((error: unknown) => error)
    expect(refused).toMatchObject({
      check: 'authority_differs',
      remedy: expect.stringContaining('run `tts ca adopt`') as string,
    })
    const adopted = await tts('ca', 'adopt')
    expect(adopted).toMatchObject({ code: 0 })
    expect(adopted.notes).toMatch(
      /^The database now belongs to .+ \(key [0-9a-f]{64}\), before to .+ Start `tts serve`, or send it SIGHUP\.$/m,
    )
    expect(await start()).not.toBe(key)
    // The list of the former CA goes on under the new one.
    await writeFile(join(directory, 'crl.pem'), (await tts('ca', 'crl')).out)
    const verify = [
      'crl',
      '-in',
      join(directory, 'crl.pem'),
      '-CAfile',
      data('ca/ca.pem'),
      '-noout',
    ]
    expect((await openssl(verify, {})).text).toContain('verify OK')
    expect((await tts('audit')).out).toContain('authority.adopted')
    expect((await tts('ca', 'adopt')).notes).toContain('already')
  })

  test('another SSH CA is refused until it is adopted', async () => {
    const settings = await newDatabase()
    const { data, start, tts } = await replica('one', settings)
    await start()
    await rm(data('ssh-ca'), { recursive: true })
    expect((await tts('ssh-ca', 'init')).code).toBe(0)
    await expect(start()).rejects.toMatchObject({ check: 'authority_differs' })
    expect((await tts('ssh-ca', 'adopt')).code).toBe(0)
    await start()
  })

  test('of two replicas that make a CA at the same time, one is refused', async () => {
    const settings = await newDatabase()
    const [one, two] = [await replica('one', settings), await replica('two', settings)]
    const line = `a:${Buffer.alloc(32, 7).toString('base64')}\n`
    for (const { data } of [one, two]) {
      await mkdir(data('.'), { mode: 0o700 })
      await writeFile(data('master-keys'), line, { mode: 0o600 })
    }
    const started = await Promise.allSettled([one.start(), two.start()])
    expect(started.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
  })

  test('a CA that has issued does not continue with an empty database', async () => {
    const { data, start } = await replica('one', await newDatabase())
    await start()
    const other = await replica('two', await newDatabase())
    await cp(data('.'), other.data('.'), { recursive: true })
    await rm(other.data('tts.db'), { force: true })
    await expect(other.start()).rejects.toMatchObject({
      check: 'database_differs',
      remedy: expect.stringContaining('Restore the database from the backup') as string,
    })
    expect((await other.tts('ca', 'adopt')).code).toBe(0)
    await other.start()
  })

  test('records from before the key of the CA was recorded: the CRL tells which CA is theirs', async () => {
    const settings = await newDatabase()
    const { data, start, tts } = await replica('one', settings)
    const key = await start()
    const forget = async (): Promise<unknown> =>
      query(settings, "delete from installation_keys where kind = 'x509-ca'")
    await forget()
    expect(await start()).toBe(key)
    await forget()
    await rm(data('ca'), { recursive: true })
    expect((await tts('ca', 'init')).code).toBe(0)
    await expect(start()).rejects.toMatchObject({ check: 'authority_differs' })
  })

  test('master keys are not made for records that have some', async () => {
    const settings = await newDatabase()
    const { data, start } = await replica('one', settings)
    await start()
    await rm(data('master-keys'))
    await expect(start()).rejects.toMatchObject({ check: 'master_key_missing' })
    expect(existsSync(data('master-keys'))).toBe(false)
  })
})

describe('readiness', () => {
  test.for([
    { days: 0, status: /^ok$/ },
    { days: 8000, status: /^the certificate of .*TTS-CA expired on / },
    { days: -2, status: /^the certificate of .*TTS-CA is not valid before / },
  ])('after $days days', async ({ days, status }) => {
    const path = join(directory, 'tts.db')
    const { tts } = await replica('one', { path } as StoreSettings)
    await tts('ca', 'init')
    const loaded = await loadConfiguration(join(directory, 'one', 'tts.yaml'), {})
    const log = createLog({ level: 'silent', name: 'test' })
    const core = await openCore(loaded, { log, now: () => new Date() }, { makeAuthority: false })
    const now = (): Date => new Date(Date.now() + days * 86_400_000)
    expect(await authorityStatus({ ...core, now }, core.authority)).toMatch(status)
    await core.close()
  })
})
