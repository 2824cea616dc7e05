/** What goes wrong some day, and what then is seen: by cron, by Nagios, by a worker. The programs as they are installed. */
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { compilePrograms, type Programs, runToEnd, startProgram } from '../support/programs.ts'
import { ask } from './door-support.ts'
import { settingsIn, startKeeper, temporaryDirectory } from './engine-support.ts'
import { type OutsideWorld, startOutsideWorld } from './outside-world.ts'

let world: OutsideWorld
let programs: Programs
beforeAll(async () => {
  programs = compilePrograms(['src/certcache/main.ts'])
  world = await startOutsideWorld({ delegation: { timeout_seconds: 2 } })
})
const mended: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const mend of mended.splice(0).reverse()) await mend()
})
afterAll(async () => {
  await world.end()
  programs.remove()
})

interface Day {
  /** Everything of this certcache: certcache.yaml, state/, out/gwms_proxy. */
  readonly directory: string
  readonly delegationId: string
  settings: Record<string, Record<string, unknown>>
}
interface Case {
  readonly name: string
  /** Only for who can mount. */
  readonly asRoot?: boolean
  readonly happens: (day: Day) => void | Promise<void>
  /** `certcache refresh`: exit code, and what it says. */
  readonly refresh: readonly [number, RegExp]
  /** `certcache status` afterwards: Nagios code, first line. */
  readonly status: readonly [number, RegExp]
  /** `GET /get_proxy` of a `certcache serve`, or the exit code that it ends with at once. */
  readonly serve: readonly [200 | 503, RegExp] | number
}

const PEM = /^-----BEGIN CERTIFICATE-----/
const root = process.getuid?.() === 0
/** A file system of this size in place of the directory. */
function mount(directory: string, options: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', directory])
  mended.push(() => void execFileSync('umount', [directory]))
}
/** Takes what is left of a disk. */
function fill(directory: string): void {
  try {
    for (let size = 64 * 1024; size >= 1; size = Math.floor(size / 2))
      writeFileSync(join(directory, `filler-${size}`), 'x'.repeat(size))
  } catch {
    try {
      writeFileSync(join(directory, 'filler'), 'x'.repeat(1024 * 1024))
    } catch {
      // It is full.
    }
  }
}
const out = ({ directory }: Day): string => join(directory, 'out/gwms_proxy')
const nothingKept = (day: Day): void => {
  for (const path of [join(day.directory, 'state'), out(day)]) rmSync(path, { recursive: true })
}
const provider = () => world.provider

const cases: readonly Case[] = [
  {
    name: 'the account is suspended',
    happens: () => {
      provider().user('alice').suspended = true
      mended.push(() => void (provider().user('alice').suspended = false))
    },
    refresh: [3, /account at the identity provider is disabled, suspended or gone/],
    status: [1, /^WARNING: Renewal is over: /],
    serve: [200, PEM],
  },
  {
    name: 'the delegation is revoked',
    happens: async ({ delegationId }) => {
      const authorization = `Bearer ${await world.logIn()}`
      const url = `${world.serviceUrl}/v1/delegations/${delegationId}`
      const answer = await fetch(url, { method: 'DELETE', headers: { authorization } })
      expect(answer.ok).toBe(true)
    },
    refresh: [
      3,
      /the delegation is over \(taken back by its owner\): a new access token is needed/,
    ],
    status: [1, /^WARNING: Renewal is over: /],
    serve: [200, PEM],
  },
  {
    name: 'the renewal secret is wrong',
    happens: (day) => {
      nothingKept(day)
      const { delegationId: delegation_id } = day
      day.settings['source'] = { delegation_id, renewal_secret: `tts_renew_${'A'.repeat(43)}` }
    },
    refresh: [3, /renewal secret/],
    status: [2, /^CRITICAL: There is no valid proxy gwms_proxy/],
    serve: [503, /^There is no valid proxy now: .*renewal secret.*\.\n$/],
  },
  {
    name: 'others can reach the state',
    happens: ({ directory }) => chmodSync(join(directory, 'state'), 0o755),
    refresh: [2, /state can be reached by others than its owner \(mode 0755\)\n.*chmod 700/],
    status: [3, /^UNKNOWN: .*\(mode 0755\)/],
    serve: 2,
  },
  {
    name: 'others can read the key of the state',
    happens: ({ directory }) => chmodSync(join(directory, 'state/state.key'), 0o644),
    refresh: [2, /state\.key can be used by others than its owner \(mode 0644\)\n.*chmod 600/],
    status: [3, /^UNKNOWN: .*state\.key can be used by others/],
    serve: 2,
  },
  {
    name: 'others can read the renewal secret',
    happens: ({ directory }) =>
      chmodSync(join(directory, 'state/default.delegation.sealed'), 0o640),
    refresh: [2, /delegation\.sealed can be used by others than its owner \(mode 0640\)/],
    status: [3, /^UNKNOWN: .*delegation\.sealed can be used by others/],
    serve: 2,
  },
  {
    name: 'the place of the file cannot be written',
    happens: (day) => {
      writeFileSync(join(day.directory, 'file'), 'x')
      const outputs = [{ path: join(day.directory, 'file/gwms_proxy') }]
      day.settings['proxies'] = { gwms_proxy: { key_type: 'ec-p256', outputs } }
    },
    refresh: [2, /file\/gwms_proxy cannot be written \(ENOTDIR\)/],
    // The state has the new one; that its file is missing only a running certcache knows.
    status: [0, /^OK: /],
    serve: [200, PEM],
  },
  {
    name: 'the disk of the file is read-only',
    asRoot: true,
    happens: (day) => {
      mount(join(day.directory, 'readonly'), 'ro,size=64k,mode=700')
      const outputs = [{ path: join(day.directory, 'readonly/gwms_proxy') }]
      day.settings['proxies'] = { gwms_proxy: { key_type: 'ec-p256', outputs } }
    },
    refresh: [2, /cannot be written \(EROFS\)\n.*read-only/],
    status: [0, /^OK: /],
    serve: [200, PEM],
  },
  {
    name: 'the disk of the file is full',
    asRoot: true,
    happens: (day) => {
      const directory = join(day.directory, 'full')
      mount(directory, 'size=64k,mode=700')
      fill(directory)
      const outputs = [{ path: join(directory, 'gwms_proxy') }]
      day.settings['proxies'] = { gwms_proxy: { key_type: 'ec-p256', outputs } }
    },
    refresh: [2, /cannot be written \(ENOSPC\)\n.*the disk is full/],
    status: [0, /^OK: /],
    serve: [200, PEM],
  },
  {
    name: 'the provider is away',
    happens: async () => {
      await provider().goDown()
      mended.push(async () => provider().comeUp())
    },
    refresh: [4, /not renewed; the old one is valid for .*\n.*cannot be reached/],
    status: [0, /^OK: gwms_proxy is valid for /],
    serve: [200, PEM],
  },
  {
    name: 'the provider hangs',
    happens: () => {
      provider().faults.set('/token', { kind: 'hang' })
      mended.push(() => provider().faults.clear())
    },
    refresh: [4, /not renewed; the old one is valid for .*\n.*cannot be reached/],
    status: [0, /^OK: /],
    serve: [200, PEM],
  },
  {
    name: 'the service is away',
    happens: (day) => void (day.settings['service'] = { url: 'http://127.0.0.1:9' }),
    refresh: [4, /not renewed; the old one is valid for .*\n.*http:\/\/127\.0\.0\.1:9/],
    status: [0, /^OK: /],
    serve: [200, PEM],
  },
  {
    name: 'the service is away and nothing was kept',
    happens: (day) => {
      nothingKept(day)
      day.settings['service'] = { url: 'http://127.0.0.1:9' }
      day.settings['source'] = { token: provider().mint() }
    },
    refresh: [4, /http:\/\/127\.0\.0\.1:9/],
    status: [2, /^CRITICAL: There is no valid proxy gwms_proxy/],
    serve: [503, /^There is no valid proxy now: .*127\.0\.0\.1:9.*\.\n$/],
  },
]

/** A certcache that has worked until today: a delegation, a proxy, no token any more. */
async function goodUntilToday(): Promise<Day> {
  const directory = await temporaryDirectory()
  mkdirSync(join(directory, 'out'))
  const proxies = { gwms_proxy: { key_type: 'ec-p256', outputs: [{ path: 'out/gwms_proxy' }] } }
  const settings = { service: { url: world.serviceUrl }, proxies }
  const source = { kind: 'delegation', token: await world.logIn() }
  const loaded = await settingsIn(directory, { ...settings, source })
  const { keeper } = await startKeeper(loaded, { background: false })
  const wanted = { name: undefined, validForSeconds: undefined }
  await keeper.renewIfDue(wanted, AbortSignal.timeout(10_000))
  const delegationId = keeper.status().source.delegationId ?? ''
  await keeper.close()
  return {
    directory,
    delegationId,
    settings: { ...settings, state: { directory: 'state' }, listen: { port: 0 } },
  }
}

async function served(directory: string): Promise<readonly [number, string] | number> {
  const options = { cwd: directory, env: { CERTCACHE_LOG_LEVEL: 'info' } }
  const { child, says, ended, stdout, stderr } = startProgram(main(), ['serve'], options)
  const started = says(/"certcache\.started","url":"(http:[^"]+)"/).catch(() => undefined)
  const url = (await started)?.[1]
  try {
    if (url === undefined) return Number(await ended)
    const { status, text, headers } = await ask(url, '/get_proxy')
    if (status === 503) expect(Number(headers['retry-after'])).toBeGreaterThan(0)
    return [status, text]
  } finally {
    child.kill('SIGKILL')
    await ended
    expect(stdout() + stderr()).not.toMatch(/PRIVATE KEY|tts_renew_|eyJ/)
  }
}
const main = (): string => programs.path('src/certcache/main.ts')

for (const { name, asRoot = false, ...row } of cases)
  test.skipIf(asRoot && !root)(name, { timeout: 60_000 }, async () => {
    const day = await goodUntilToday()
    const before = readFileSync(out(day))
    await row.happens(day)
    const { directory } = day
    writeFileSync(join(directory, 'certcache.yaml'), stringify(day.settings), { mode: 0o600 })
    chmodSync(join(directory, 'certcache.yaml'), 0o600)
    const run = async (...words: string[]) => runToEnd(main(), words, { cwd: directory })

    const refreshed = await run('refresh', '--valid', '400d')
    expect(refreshed.err).toMatch(row.refresh[1])
    expect(refreshed.code).toBe(row.refresh[0])
    expect(refreshed.err).not.toMatch(/ {4}at |PRIVATE KEY|tts_renew_|eyJ/)
    // Whatever went wrong: what was there is as it was.
    if (existsSync(out(day))) expect(readFileSync(out(day)).equals(before)).toBe(true)

    const status = await run('status', '--state', join(directory, 'state'))
    expect(status.out).toMatch(row.status[1])
    expect(status.code).toBe(row.status[0])

    const answer = await served(directory)
    if (typeof row.serve === 'number') expect(answer).toBe(row.serve)
    else expect(answer).toEqual([row.serve[0], expect.stringMatching(row.serve[1])])
  })
