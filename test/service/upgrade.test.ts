/** This version starts on a database that the version before it made, with all that is in it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { stringify } from 'yaml'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { createLog } from '../../src/base/log.ts'
import { loadConfiguration } from '../../src/config/load.ts'
import { type Running, serve } from '../../src/service/serve.ts'
import { bearer, soundCsr, wideLimits } from '../api/support.ts'
import { describeStores } from '../store/support.ts'
import { AUDIENCE, testConfiguration, waitUntilReady } from '../support/service.ts'

let directory = ''
let provider: IdentityProvider
let running: Running | undefined
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tts-upgrade-'))
  provider = await startIdentityProvider()
})
afterEach(async () => {
  await running?.stop()
  await provider.close()
  await rm(directory, { recursive: true, force: true })
})

async function start(): Promise<Running> {
  const log = createLog({ level: 'silent', name: 'tts' })
  running = await serve(await loadConfiguration(join(directory, 'tts.yaml'), {}), log)
  await waitUntilReady(running.url)
  return running
}

interface Issued {
  readonly identity: string
  readonly end_entity_serial: string
}

async function issue({ url }: Running): Promise<Issued> {
  const { sub, groups } = provider.user('alice')
  const token = provider.mint({ claims: { sub, groups, aud: AUDIENCE } })
  const headers = { ...bearer(token), 'content-type': 'application/pkcs10' }
  const response = await fetch(`${url}/v1/proxies`, {
    method: 'POST',
    headers: { ...headers, accept: 'application/json' },
    body: await soundCsr(),
  })
  expect(response.status).toBe(200)
  return (await response.json()) as Issued
}

describeStores('an upgrade', ({ newDatabase, query }) => {
  test('from the schema before this release keeps names, keys, CRL number and CA', async () => {
    const settings = await newDatabase()
    const store =
      settings.url === undefined ? { path: settings.path } : { url: settings.url, pool_size: 4 }
    const configuration = {
      ...testConfiguration(provider),
      data_dir: join(directory, 'data'),
      ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' },
      limits: wideLimits,
      store,
    }
    await writeFile(join(directory, 'tts.yaml'), stringify(configuration), { mode: 0o600 })
    const before = await issue(await start())
    await running?.stop()
    // As 0006 left it.
    for (const statement of [
      'drop table banned_identities',
      'drop table bans',
      'drop table installation_keys',
      'alter table identities drop column groups',
      "delete from kysely_migration where name > '0006_crl_parts'",
    ])
      await query(settings, statement)
    await rm(join(directory, 'data/ca/database-id'))

    const after = await start()
    const issued = await issue(after)
    // The same EEC, whose key is in the database: its CA, its master key and its name are known.
    expect(issued).toMatchObject({
      identity: before.identity,
      end_entity_serial: before.end_entity_serial,
    })
    const { store: records } = after.service
    expect(await records.installation.authority('x509-ca')).toBeDefined()
    expect(await records.masterKeys.recorded()).toHaveLength(1)
    expect(await records.latestCrlNumber()).toBe(1)
  })
})
