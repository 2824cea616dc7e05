import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { keyBelongsTo, parseProxyFile } from '../../ca/proxy-file.ts'
import { openState, type StateLocation } from '../../src/certcache/state/open-state.ts'
import { delegating, logIn } from '../api/delegation-support.ts'
import { type PostgresCluster, startPostgres } from '../support/postgres.ts'
import { isFull } from '../support/full.ts'
import { programPath } from '../support/programs.ts'
import { AUDIENCE, useTestService } from '../support/service.ts'
import { eventually, temporaryDirectory, uid } from './engine-support.ts'

const KILLS = isFull ? 50 : 5

const service = useTestService(delegating())
let postgres: PostgresCluster
const started = new Set<ChildProcess>()

beforeAll(async () => {
  postgres = await startPostgres()
}, 120_000)
afterAll(async () => {
  for (const child of started) killGroup(child)
  await postgres.stop()
})

interface Running {
  readonly child: ChildProcess
  /** All lines so far. */
  lines(): readonly string[]
}

/** In a process group of its own, so that the whole group can be killed. */
function run(source: string, ...words: string[]): Running {
  const child = spawn(process.execPath, [programPath(source), ...words], {
    detached: true,
    env: { PATH: process.env['PATH'], CERTCACHE_TEST_ENTRY: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  started.add(child)
  let output = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  return { child, lines: () => output.split('\n').slice(0, -1) }
}

function killGroup(child: ChildProcess): void {
  started.delete(child)
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  process.kill(-child.pid, 'SIGKILL')
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit')
  killGroup(child)
  await ended
}

describe.for(['files', 'PostgreSQL'] as const)('the lock in %s', (kind) => {
  test('ends with the process that holds it', async () => {
    const directory = join(await temporaryDirectory(), 'state')
    const key = join(await temporaryDirectory(), 'key')
    await writeFile(key, randomBytes(32).toString('base64'), { mode: 0o600 })
    const url = kind === 'files' ? {} : { url: await postgres.createDatabase() }
    const place: StateLocation = { directory, key_file: key, cluster: 'c', ...url }
    const first = run('test/certcache/lock-entry.ts', JSON.stringify(place))
    await eventually(() => first.lines()[0] === 'held')
    const store = await openState(place, uid)
    expect(await store.tryLock('renewer')).toBeUndefined()
    const second = run('test/certcache/lock-entry.ts', JSON.stringify(place))
    await eventually(() => second.lines()[0] === 'taken')
    await kill(first.child)
    const lock = await eventually(async () => store.tryLock('renewer'))
    await lock.release()
    await kill(second.child)
    await store.close()
  })
})

describe.for(['files', 'PostgreSQL'] as const)(
  'with rotation and no grace, state in %s',
  (kind) => {
    test(
      `${KILLS} kills lose neither the refresh token nor a proxy`,
      { timeout: 20_000 + KILLS * 5000 },
      async () => {
        const { provider } = service()
        const before = { ...provider.tokens }
        // Never fresh for long enough: each renewal is a refresh, and each refresh a rotation.
        Object.assign(provider.tokens, { lifetimeSeconds: 60, reuseRefreshToken: false })
        const directory = await temporaryDirectory()
        const path = join(directory, 'certcache.yaml')
        await writeFile(join(directory, 'key'), randomBytes(32).toString('base64'), { mode: 0o600 })
        const url = kind === 'files' ? {} : { url: await postgres.createDatabase() }
        const { clientId, clientSecret } = provider.clients.certcache
        const settings = {
          service: { url: service().url },
          source: {
            issuer: provider.issuer,
            client_id: clientId,
            client_secret: clientSecret,
            audience: AUDIENCE,
            token: await logIn(service()),
          },
          state: { directory: 'state', key_file: 'key', ...url },
          proxies: { gwms_proxy: { key_type: 'ec-p256', outputs: [{ path: 'gwms_proxy' }] } },
        }
        await writeFile(path, stringify(settings), { mode: 0o600 })
        let refreshes = 0
        for (let round = 0; round < KILLS; round += 1) {
          provider.faults.resetCounts()
          const { child, lines } = run('test/certcache/kill-entry.ts', path)
          // The first renewal shows that what the killed one left behind works.
          await eventually(() => lines().length > 0)
          await delay(randomInt(0, 400))
          await kill(child)
          expect(lines().filter((line) => line !== 'renewed')).toEqual([])
          refreshes += provider.faults.count('/token')
          const file = parseProxyFile(await readFile(join(directory, 'gwms_proxy'), 'utf8'))
          const [proxy] = file.certificates
          expect(file.privateKey && proxy && keyBelongsTo(file.privateKey, proxy)).toBe(true)
        }
        expect(refreshes).toBeGreaterThanOrEqual(KILLS)
        Object.assign(provider.tokens, before)
      },
    )
  },
)
