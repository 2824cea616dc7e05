/**
 * What goes wrong some day, and what then is seen: by cron, by Nagios, by a worker. The programs as they are installed.
 */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { programPath, runToEnd, startProgram } from '../support/programs.ts'
import { ask, type AskOptions } from './server-support.ts'
import { settingsIn, startEngine, temporaryDirectory } from './engine-support.ts'
import { type OutsideWorld, startOutsideWorld } from './outside-world.ts'

let world: OutsideWorld
beforeAll(async () => {
  world = await startOutsideWorld({
    delegation: { timeout_seconds: 2 },
    configuration: { delegations: { maximum_per_identity: 100 } },
  })
})
const repairs: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const repair of repairs.splice(0).reverse()) await repair()
})
afterAll(async () => {
  await world.end()
})

interface Day {
  /** Everything of this certcache: certcache.yaml, state/, out/gwms_proxy. */
  readonly directory: string
  readonly delegationId: string
  settings: Record<string, Record<string, unknown>>
  settingsMode?: number
}
interface Case {
  readonly name: string
  /** Only for root, in a container that may mount: else skipped, saying so. */
  readonly asRoot?: boolean
  /** `refresh` gets a proxy all the same. */
  readonly renews?: true
  /** How the worker asks. */
  readonly asks?: AskOptions
  readonly happens: (day: Day) => void | Promise<void>
  /** `certcache refresh`: exit code, and what it says. */
  readonly refresh: readonly [number, RegExp]
  /** `certcache status` afterwards: Nagios code, first line. */
  readonly status: readonly [number, RegExp]
  /** `GET /get_proxy` of a `certcache serve`, or the exit code that it ends with at once. */
  readonly serve: readonly [200 | 401 | 403 | 503, RegExp] | number
}

const PEM = /^-----BEGIN CERTIFICATE-----/
const SECRET = randomBytes(16).toString('hex')
/** Root alone can mount, and not in every container. */
const mayMount = (() => {
  if (process.getuid?.() !== 0) return false
  const path = '/tmp/certcache-bad-days-probe'
  try {
    mkdirSync(path, { recursive: true })
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', path], { stdio: 'ignore' })
    execFileSync('umount', [path])
    return true
  } catch {
    return false
  }
})()
/** A file system of this size in place of the directory. */
function mount(directory: string, options: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', directory])
  repairs.push(() => void execFileSync('umount', [directory]))
}
/** The state as it is, on a small disk of its own. */
function stateOnItsOwnDisk({ directory }: Day): string {
  const [state, copy] = [join(directory, 'state'), join(directory, 'copy')]
  cpSync(state, copy, { recursive: true, preserveTimestamps: true })
  mount(state, 'size=128k,mode=700')
  cpSync(copy, state, { recursive: true, preserveTimestamps: true })
  return state
}
/** A secret in a file of its own. */
function secretFile({ directory }: Day, text: string, mode: number): string {
  const path = join(directory, 'secret')
  writeFileSync(path, text)
  chmodSync(path, mode)
  return path
}
const bearer = (secret: string): AskOptions => ({ headers: { authorization: `Bearer ${secret}` } })
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
      repairs.push(() => void (provider().user('alice').suspended = false))
    },
    refresh: [3, /account at the identity provider is disabled, suspended or deleted/],
    status: [1, /^WARNING: Renewal of gwms_proxy fails: .*disabled, suspended or deleted/],
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
    refresh: [3, /the delegation is over \(revoked by its owner\): a new access token is needed/],
    status: [1, /^WARNING: Renewal has ended: /],
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
    serve: [503, /^No valid proxy is available: .*renewal secret.*\.\n$/],
  },
  {
    name: 'others can reach the state',
    happens: ({ directory }) => chmodSync(join(directory, 'state'), 0o755),
    refresh: [2, /state can be accessed by other users than its owner \(mode 0755\)\n.*chmod 700/],
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
    refresh: [2, /file\/gwms_proxy cannot be written: a part of the path is not a directory/],
    status: [
      1,
      /^WARNING: .*file\/gwms_proxy cannot be written: a part of the path is not a directory/,
    ],
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
    refresh: [2, /cannot be written: the file system is read-only\n.*read-only/],
    status: [1, /^WARNING: .*readonly\/gwms_proxy cannot be written: the file system is read-only/],
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
    refresh: [1, /cannot be written: the disk is full\n.*Free space on the disk/],
    status: [1, /^WARNING: .*full\/gwms_proxy cannot be written: the disk is full/],
    serve: [200, PEM],
  },
  {
    name: 'the disk of the state is read-only',
    asRoot: true,
    renews: true,
    happens: (day) => {
      const state = stateOnItsOwnDisk(day)
      execFileSync('mount', ['-o', 'remount,ro', state])
    },
    refresh: [
      2,
      /sealed cannot be written: the file system is read-only\n.*the new proxy is valid for/,
    ],
    status: [1, /^WARNING: .*state cannot be written: the file system is read-only/],
    serve: [200, PEM],
  },
  {
    name: 'the disk of the state is full',
    asRoot: true,
    renews: true,
    happens: (day) => fill(stateOnItsOwnDisk(day)),
    refresh: [1, /sealed cannot be written: the disk is full\n.*the new proxy is valid for/],
    status: [1, /^WARNING: .*state cannot be written: the disk is full/],
    serve: [200, PEM],
  },
  {
    name: 'a browser that was led here by another name',
    renews: true,
    happens: () => undefined,
    asks: { headers: { Host: 'evil.example.org' } },
    refresh: [0, /^certcache: warning: --valid 400 days is longer than [^\n]*\n$/],
    status: [0, /^OK: /],
    serve: [403, /^This certcache serves this machine only/],
  },
  {
    name: 'a worker from an address that is not allowed',
    renews: true,
    happens: (day) => void (day.settings['access'] = { allow: ['10.0.0.0/8'] }),
    refresh: [0, /^certcache: warning: --valid 400 days is longer than [^\n]*\n$/],
    status: [0, /^OK: /],
    serve: [403, /^Your address is not allowed to fetch proxies here/],
  },
  {
    name: 'a worker with a wrong secret',
    renews: true,
    happens: (day) =>
      void (day.settings['access'] = { secret_file: secretFile(day, SECRET, 0o600) }),
    asks: bearer(`${SECRET}0`),
    refresh: [0, /^certcache: warning: --valid 400 days is longer than [^\n]*\n$/],
    status: [0, /^OK: /],
    serve: [401, /^The secret is wrong/],
  },
  {
    name: 'a worker with no secret',
    renews: true,
    happens: (day) =>
      void (day.settings['access'] = { secret_file: secretFile(day, SECRET, 0o600) }),
    refresh: [0, /^certcache: warning: --valid 400 days is longer than [^\n]*\n$/],
    status: [0, /^OK: /],
    serve: [401, /^The secret of this certcache is required/],
  },
  {
    name: 'others can read the secret of the workers',
    happens: (day) =>
      void (day.settings['access'] = { secret_file: secretFile(day, SECRET, 0o644) }),
    asks: bearer(SECRET),
    refresh: [2, /access\.secret_file: .*secret can be used by others.*\(mode 0644\)\n.*chmod 600/],
    status: [3, /^UNKNOWN: access\.secret_file: .*\(mode 0644\)/],
    serve: 2,
  },
  {
    name: 'root hands the secret of the workers to a group',
    asRoot: true,
    renews: true,
    happens: (day) => {
      const secret_file = secretFile(day, SECRET, 0o440)
      chownSync(secret_file, 0, 1000)
      day.settings['access'] = { secret_file }
    },
    asks: bearer(SECRET),
    refresh: [0, /^certcache: warning: --valid 400 days is longer than [^\n]*\n$/],
    status: [0, /^OK: /],
    serve: [200, PEM],
  },
  {
    name: 'a user hands the secret of the workers to a group',
    asRoot: true,
    happens: (day) => {
      const secret_file = secretFile(day, SECRET, 0o440)
      chownSync(secret_file, 1000, 1000)
      day.settings['access'] = { secret_file }
    },
    refresh: [2, /access\.secret_file: .*\(mode 0440\)/],
    status: [3, /^UNKNOWN: access\.secret_file: .*\(mode 0440\)/],
    serve: 2,
  },
  {
    name: 'others can read the refresh token',
    happens: (day) => {
      const refresh_token_file = secretFile(day, 'made-up', 0o644)
      day.settings['source'] = { ...world.ownClient, refresh_token_file }
    },
    refresh: [2, /source\.refresh_token_file: .*\(mode 0644\)\n.*chmod 600/],
    status: [3, /^UNKNOWN: source\.refresh_token_file: /],
    serve: 2,
  },
  {
    name: 'others can read the settings with a secret in them',
    happens: (day) => {
      day.settings['access'] = { secret: SECRET }
      day.settingsMode = 0o644
    },
    refresh: [2, /certcache\.yaml can be used by others.*\(mode 0644\)\n.*chmod 600/],
    status: [3, /^UNKNOWN: .*certcache\.yaml can be used by others/],
    serve: 2,
  },
  {
    name: 'others can read the access token, which is not needed any more',
    renews: true,
    happens: (day) =>
      void (day.settings['source'] = { token_file: secretFile(day, 'made-up', 0o644) }),
    refresh: [0, /^certcache: warning: --valid 400 days is longer than [^\n]*\n$/],
    status: [0, /^OK: /],
    serve: [200, PEM],
  },
  {
    name: 'others can read the access token to start from',
    happens: (day) => {
      nothingKept(day)
      day.settings['source'] = { token_file: secretFile(day, provider().mint(), 0o644) }
    },
    refresh: [2, /secret can be used by others.*\(mode 0644\)\n.*chmod 600/],
    status: [2, /^CRITICAL: There is no valid proxy gwms_proxy: .*\(mode 0644\)/],
    serve: [503, /^No valid proxy is available: .*\(mode 0644\).*\.\n$/],
  },
  {
    name: 'the provider is away',
    happens: async () => {
      await provider().goDown()
      repairs.push(async () => provider().comeUp())
    },
    refresh: [4, /not renewed; the old proxy is valid for .*\n.*cannot be reached/],
    status: [1, /^WARNING: Renewal of gwms_proxy fails: .*cannot be reached/],
    serve: [200, PEM],
  },
  {
    name: 'the provider hangs',
    happens: () => {
      provider().faults.set('/token', { kind: 'hang' })
      repairs.push(() => provider().faults.clear())
    },
    refresh: [4, /not renewed; the old proxy is valid for .*\n.*cannot be reached/],
    status: [1, /^WARNING: Renewal of gwms_proxy fails: .*cannot be reached/],
    serve: [200, PEM],
  },
  {
    name: 'the service is away',
    happens: (day) => void (day.settings['service'] = { url: 'http://127.0.0.1:9' }),
    refresh: [4, /not renewed; the old proxy is valid for .*\n.*http:\/\/127\.0\.0\.1:9/],
    status: [1, /^WARNING: Renewal of gwms_proxy fails: .*127\.0\.0\.1:9/],
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
    serve: [503, /^No valid proxy is available: .*127\.0\.0\.1:9.*\.\n$/],
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
  const { engine } = await startEngine(loaded, { background: false })
  const wanted = { name: undefined, validForSeconds: undefined }
  await engine.renewIfDue(wanted, AbortSignal.timeout(10_000))
  const delegationId = engine.status().source.delegationId ?? ''
  await engine.close()
  return {
    directory,
    delegationId,
    settings: { ...settings, state: { directory: 'state' }, listen: { port: 0 } },
  }
}

async function served(
  directory: string,
  asks?: AskOptions,
): Promise<readonly [number, string] | number> {
  const options = { cwd: directory, env: { CERTCACHE_LOG_LEVEL: 'info' } }
  const { child, says, ended, stdout, stderr } = startProgram(main(), ['serve'], options)
  const started = says(/"certcache\.started","url":"(http:[^"]+)"/).catch(() => undefined)
  const url = (await started)?.[1]
  try {
    if (url === undefined) return Number(await ended)
    const { status, text, headers } = await ask(url, '/get_proxy', asks)
    if (status === 503) expect(Number(headers['retry-after'])).toBeGreaterThan(0)
    return [status, text]
  } finally {
    child.kill('SIGKILL')
    await ended
    expect(stdout() + stderr()).not.toMatch(/PRIVATE KEY|tts_renew_|eyJ/)
    expect(stdout() + stderr()).not.toContain(SECRET)
  }
}
const main = (): string => programPath('src/certcache/main.ts')

for (const { name, asRoot = false, ...row } of cases)
  test(name, { timeout: 60_000 }, async ({ skip }) => {
    skip(asRoot && !mayMount, 'this needs root, and a container that may mount')
    const day = await goodUntilToday()
    const before = readFileSync(out(day))
    await row.happens(day)
    const { directory } = day
    writeFileSync(join(directory, 'certcache.yaml'), stringify(day.settings), { mode: 0o600 })
    chmodSync(join(directory, 'certcache.yaml'), day.settingsMode ?? 0o600)
    const run = async (...words: string[]) => runToEnd(main(), words, { cwd: directory })

    const refreshed = await run('refresh', '--valid', '400d')
    expect(refreshed.err).toMatch(row.refresh[1])
    expect(refreshed.code).toBe(row.refresh[0])
    expect(refreshed.err).not.toMatch(/ {4}at |PRIVATE KEY|tts_renew_|eyJ/)
    // Whatever went wrong: what was there is as it was.
    if (existsSync(out(day)))
      expect(readFileSync(out(day)).equals(before)).toBe(row.renews !== true)

    const after = existsSync(out(day)) ? readFileSync(out(day), 'utf8') : undefined
    const status = await run('status', '--state', join(directory, 'state'))
    expect(status.out).toMatch(row.status[1])
    expect(status.code).toBe(row.status[0])

    const answer = await served(directory, row.asks)
    if (typeof row.serve === 'number') expect(answer).toBe(row.serve)
    else expect(answer).toEqual([row.serve[0], expect.stringMatching(row.serve[1])])
    // What the file got the state may lack: nobody goes back to an older one.
    if (row.renews && Array.isArray(row.serve) && row.serve[0] === 200)
      expect(answer).toEqual([200, after])
  })
