import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { createCsr } from '../../ca/csr.ts'
import { createSigner, generatePrivateKey } from '../../ca/key.ts'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { programPath } from '../support/programs.ts'
import { AUDIENCE, testConfiguration } from '../support/service.ts'

const ROUNDS = 4
const CLIENTS = 12
let directory = ''
let provider: IdentityProvider

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'tts-faults-'))
  provider = await startIdentityProvider()
  const defaults = testConfiguration(provider)
  writeFileSync(
    join(directory, 'tts.yaml'),
    stringify({
      ...defaults,
      data_dir: join(directory, 'data'),
      ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' },
      limits: {
        key_pool_size: 0,
        requests_per_second_per_address: 1e6,
        burst_per_address: 1e6,
        credentials_per_second_per_identity: 1e6,
        burst_per_identity: 1e6,
      },
    }),
    { mode: 0o600 },
  )
})
afterAll(async () => {
  await provider.close()
  rmSync(directory, { recursive: true, force: true })
})

interface Started {
  readonly child: ChildProcess
  readonly url: string
}

async function start(): Promise<Started> {
  const entry = programPath('test/faults/kill-entry.ts')
  const child = spawn(process.execPath, [entry, join(directory, 'tts.yaml')], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const exited = once(child, 'exit')
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  while (!output.includes('\n')) {
    await Promise.race([once(child.stdout, 'data'), exited])
    if (child.exitCode !== null) throw new Error(`the service ended at its start: ${errors}`)
  }
  return { child, url: output.trim() }
}

interface Received {
  readonly id: string
  readonly serials: readonly string[]
}

/** Asks for proxies until the connection breaks; notes what came whole. */
async function hammer(url: string, sub: string, csr: string, received: Received[]): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const token = provider.mint({ claims: { sub, groups: ['cms'], aud: AUDIENCE } })
  const headers = {
    authorization: `Bearer ${token}`,
    'content-type': 'application/pkcs10',
    accept: 'application/json',
  }
  try {
    for (;;) received.push(receivedOf(await post(`${url}/v1/proxies`, { agent, headers, csr })))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error
  } finally {
    agent.destroy()
  }
}

function receivedOf(text: string): Received {
  const { id, pem } = JSON.parse(text) as { id: string; pem: string }
  return { id, serials: parseProxyFile(pem).certificates.map(({ serial }) => serial) }
}

async function post(
  url: string,
  { agent, headers, csr }: { agent: Agent; headers: Record<string, string>; csr: string },
): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: 'POST', agent, headers }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part
      })
      response.once('error', reject)
      response.once('end', () => {
        if (response.statusCode === 200) resolve(text)
        else reject(new Error(`HTTP ${response.statusCode}: ${text}`))
      })
    })
    sent.once('error', reject)
    sent.end(csr)
  })
}

test('kill -9 under load: what a client received is on record', async () => {
  const csr = await createCsr([], createSigner(await generatePrivateKey('ec-p256')))
  const received: Received[] = []
  for (let round = 0; round < ROUNDS; round += 1) {
    const { child, url } = await start()
    const before = received.length
    // Some identities are new in each round, so that EECs and names are made under fire too.
    const clients = Array.from({ length: CLIENTS }, async (_, client) =>
      hammer(url, client % 2 === 0 ? `old-${client}` : `new-${round}-${client}`, csr, received),
    )
    await expect
      .poll(() => received.length, { interval: 5, timeout: 30_000 })
      .toBeGreaterThan(before)
    await sleep(randomInt(50, 400))
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
    expect(child.signalCode).toBe('SIGKILL')
    await Promise.all(clients)
  }
  expect(received.length).toBeGreaterThan(ROUNDS * CLIENTS)

  // It starts again on what is left, and goes on.
  const { child, url } = await start()
  const after: Received[] = []
  const last = hammer(url, 'old-0', csr, after)
  await expect.poll(() => after.length, { interval: 5, timeout: 30_000 }).toBeGreaterThan(0)
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
  await last

  const database = new DatabaseSync(join(directory, 'data/tts.db'), { readOnly: true })
  const column = (sql: string): Set<unknown> =>
    new Set(
      database
        .prepare(sql)
        .all()
        .map((row) => Object.values(row as object)[0]),
    )
  const credentials = column('select id from credentials')
  const certificates = column('select serial from certificates')
  const audited = column('select credential_id from audit where credential_id is not null')
  const all = [...received, ...after]
  expect(new Set(all.map(({ id }) => id)).size).toBe(all.length)
  expect(all.filter(({ id }) => !credentials.has(id) || !audited.has(id))).toEqual([])
  expect(
    all.flatMap(({ serials }) => serials).filter((serial) => !certificates.has(serial)),
  ).toEqual([])
  // No half of a record either: every credential has its certificate and its EEC.
  expect(
    column(
      'select id from credentials where end_entity_serial not in (select serial from certificates) or id not in (select credential_id from certificates where credential_id is not null)',
    ),
  ).toEqual(new Set())
  // One name each, and one identity for all of a sub's requests.
  expect(column('select count(*) - count(distinct comparable) from identities')).toEqual(
    new Set([0]),
  )
  database.close()
  expect(readFileSync(join(directory, 'data/tts.db')).includes('PRIVATE KEY')).toBe(false)
})
