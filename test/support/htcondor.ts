/**
 * A real HTCondor pool on one machine: Debian 13's daemons in a directory of their own, with the settings of
 * deploy/htcondor. Everything runs in sandboxes of bubblewrap, so that no process outlives the test.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chown, copyFile, cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { freePort } from './free-port.ts'
import type { GridSite } from './grid-site.ts'
import { findProgram, runTool, type ToolRun } from './grid-tools.ts'

/** For `makeDebianRoot`. Debian 12 has no HTCondor. */
export const condorRoot = { release: 'trixie', packages: ['condor', 'curl'] } as const

const deploy = resolve(import.meta.dirname, '../../deploy')
const TIMEOUT_MS = 20_000
/** Where the site's directory is in a sandbox. */
const INSIDE = '/tmp/site'

/** Environment of a client that shows the proxy of X509_USER_PROXY, where no pilot.config says the same. */
export const clientSettings: Readonly<Record<string, string>> = {
  _CONDOR_AUTH_SSL_USE_CLIENT_PROXY_ENV_VAR: 'True',
  _CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS: 'SSL',
  _CONDOR_AUTH_SSL_CLIENT_CADIR: '/etc/grid-security/certificates',
}

const levels = ['ADVERTISE_STARTD', 'WRITE', 'READ']

/** How a command of HTCondor was answered: the name that the proxy was mapped to, or `refused`. */
export type CondorAnswers = Readonly<Record<string, string>>

export interface CondorPool {
  readonly site: GridSite
  /** Host and port of the collector. */
  readonly collector: string
  /** Runs a command in a sandbox, as the pool's administrator. */
  run(words: readonly string[], env?: Readonly<Record<string, string>>): Promise<ToolRun>
  /** Copies a proxy to where the site's user can read it. Returns its path in a sandbox. */
  addProxy(path: string): Promise<string>
  /** Shows a proxy to the collector and asks whether it may do what pilots, submitters and everybody may do. */
  ping(proxy: string, env?: Readonly<Record<string, string>>): Promise<CondorAnswers>
  /** Starts a pilot as deploy/htcondor does, with this name, in a directory of this name. */
  startPilot(name: string, env: Readonly<Record<string, string>>): Promise<CondorProcess>
  /** Replaces the map file, and waits until the collector has read it. */
  map(lines: readonly string[]): Promise<void>
  /** Replaces further settings, and waits until the collector has read them. */
  configure(settings: string): Promise<void>
  /** What a daemon of the pool logged. */
  log(name: string): Promise<string>
  stop(): Promise<void>
}

export interface CondorProcess {
  output(): string
  stop(): Promise<void>
}

/** What differs from a pool on several machines, or would take minutes. */
const testSettings = (collector: string): string => `
NETWORK_INTERFACE = 127.0.0.1
BIND_ALL_INTERFACES = False
NETWORK_HOSTNAME = localhost
ENABLE_IPV6 = False
COLLECTOR_HOST = ${collector}
USE_SHARED_PORT = False
UPDATE_INTERVAL = 1
MACHINE_RESOURCE_INVENTORY_GPUS =
`

const poolSettings = (collector: string): string => `${testSettings(collector)}
DAEMON_LIST = MASTER, COLLECTOR, NEGOTIATOR, SCHEDD
LOCAL_DIR = ${INSIDE}/pool
LOG = $(LOCAL_DIR)/log
RUN = $(LOCAL_DIR)/log
LOCK = $(LOCAL_DIR)/log
MASTER_ADDRESS_FILE = $(LOG)/.master_address
MAX_COLLECTOR_LOG = 100 Mb
SPOOL = $(LOCAL_DIR)/spool
EXECUTE = $(LOCAL_DIR)/spool
ALLOW_ADMINISTRATOR = $(ALLOW_ADMINISTRATOR) nobody@*
QUEUE_SUPER_USERS = $(QUEUE_SUPER_USERS), nobody
QUEUE_SUPER_USER_MAY_IMPERSONATE = .*
CLASSAD_LIFETIME = 10
COLLECTOR_DEBUG = D_SECURITY
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_CYCLE_DELAY = 1
NEGOTIATOR_MIN_INTERVAL = 1
SCHEDD_MIN_INTERVAL = 1
SCHEDD_INTERVAL = 2
# See docs/htcondor.md: the delegation of Debian's version fails for every proxy.
DELEGATE_JOB_GSI_CREDENTIALS = False
`

/** Starts a pool whose trust anchors and host certificate are those of the site; it maps nobody yet. */
export async function startCondorPool(
  root: string,
  site: GridSite,
  settings = '',
): Promise<CondorPool> {
  const collector = `localhost:${await freePort()}`
  await prepare(root, site, `${poolSettings(collector)}${settings}\n`)
  const sandbox = sandboxOf(root, site)
  const master = start(sandbox(['condor_master', '-f'], {}))
  const pool = openPool({ site, collector, sandbox, master })
  try {
    await waitUntilReady(pool, master)
  } catch (error) {
    await pool.stop()
    throw error
  }
  return pool
}

interface PoolParts {
  readonly site: GridSite
  readonly collector: string
  readonly sandbox: ReturnType<typeof sandboxOf>
  readonly master: CondorProcess
}

function openPool({ site, collector, sandbox, master }: PoolParts): CondorPool {
  const path = (...names: readonly string[]): string => join(site.directory, ...names)
  let proxies = 0
  const run: CondorPool['run'] = (words, env = {}) => {
    const [program = '', ...args] = sandbox(words, env)
    return runTool(program, args)
  }
  const log: CondorPool['log'] = (name) => readFile(path('pool', 'log', name), 'utf8')
  const reconfigure = async (): Promise<void> => {
    const count = async () => (await log('CollectorLog')).split('Re-reading config files').length
    const before = await count()
    const { status, output } = await run(['condor_reconfig'])
    if (status !== 0) throw new Error(output)
    await waitUntil(async () => (await count()) > before, 'the collector did not read its settings')
  }
  return {
    site,
    collector,
    run,
    addProxy: async (from) => {
      const to = path(`proxy-${++proxies}`)
      await copyFile(from, to)
      await chown(to, site.user.uid, site.user.gid)
      return insidePath(site, to)
    },
    ping: async (proxy, env = {}) => {
      const words = ['condor_ping', '-type', 'collector', '-table', ...levels]
      return readAnswers(await run(words, { ...clientSettings, X509_USER_PROXY: proxy, ...env }))
    },
    startPilot: async (name, env) => {
      await preparePilot(site, name, collector)
      const scratch = `${INSIDE}/${name}`
      const words = ['sh', '-c', 'cd "$0" && exec ./condor_exec.exe condor_master -f', scratch]
      return start(sandbox(words, { _CONDOR_SCRATCH_DIR: scratch, ...env }))
    },
    map: async (lines) => {
      await writeFile(path('condor', 'tts-mapfile'), `${lines.join('\n')}\n`)
      await reconfigure()
    },
    configure: async (settings) => {
      await writeFile(path('condor', 'config.d', '95-change.config'), `${settings}\n`)
      await reconfigure()
    },
    log,
    stop: () => master.stop(),
  }
}

/** Reads the table of condor_ping: instruction, authentication, encryption, integrity, decision, identity. */
function readAnswers({ output }: ToolRun): CondorAnswers {
  const rows = output.split('\n').map((line) => line.trim().split(/\s+/))
  const answers = rows.slice(1).filter((row) => row.length >= 6)
  return Object.fromEntries(
    answers.map(([instruction = '', , , , decision, identity = '']) => [
      instruction,
      decision === 'ALLOW' ? identity : 'refused',
    ]),
  )
}

/** Path of a file of the site as programs in the sandbox see it. */
export const insidePath = (site: GridSite, path: string): string =>
  path.replace(site.directory, INSIDE)

/** The configuration as Debian's package has it, with ours beside it. */
async function prepare(root: string, site: GridSite, settings: string): Promise<void> {
  const path = (...names: readonly string[]): string => join(site.directory, ...names)
  await cp(join(root, 'etc/condor'), path('condor'), { recursive: true })
  const own = join(deploy, 'htcondor/pool.config')
  await copyFile(own, path('condor', 'config.d', '50-tts.config'))
  await writeFile(path('condor', 'config.d', '90-test.config'), settings)
  await writeFile(path('condor', 'tts-mapfile'), '')
  await mkdir(path('grid-security'))
  await copyFile(site.hostCertificate, path('grid-security', 'hostcert.pem'))
  await copyFile(site.hostKey, path('grid-security', 'hostkey.pem'))
  await chown(path('grid-security', 'hostkey.pem'), site.user.uid, site.user.gid)
  await mkdir(path('grid-security', 'certificates'))
  await mkdir(path('grid-security', 'vomsdir'))
  for (const name of ['pool', 'pool/log', 'pool/spool', 'tmp']) {
    await mkdir(path(name))
    await chown(path(name), site.user.uid, site.user.gid)
  }
}

async function preparePilot(site: GridSite, name: string, collector: string): Promise<void> {
  const path = (...names: readonly string[]): string => join(site.directory, name, ...names)
  await mkdir(path())
  // As HTCondor lays out the directory of a job.
  await copyFile(join(deploy, 'htcondor/start-glidein.sh'), path('condor_exec.exe'))
  await copyFile(join(deploy, 'worker/get-proxy.sh'), path('get-proxy.sh'))
  const config = await readFile(join(deploy, 'htcondor/pilot.config'), 'utf8')
  // Of all that is set twice, HTCondor takes the last.
  const settings = `${config}${testSettings(collector)}STARTD_NAME = ${name}\nMASTER_NAME = ${name}\n`
  await writeFile(path('pilot.config'), settings)
  await chown(path(), site.user.uid, site.user.gid)
}

/** Returns how words are run in a sandbox: as the site's user, with the paths that the settings in deploy/ name. */
function sandboxOf(root: string, site: GridSite) {
  const path = (...names: readonly string[]): string => join(site.directory, ...names)
  const { uid, gid } = site.user
  const bind = (from: string, to: string, option = '--ro-bind') => [option, from, to]
  const files = [
    bind(root, '/'),
    ['--dev', '/dev', '--proc', '/proc'],
    // HTCondor's local authentication has both sides look at a directory in /tmp.
    bind(path('tmp'), '/tmp', '--bind'),
    bind(site.directory, INSIDE, '--bind'),
    bind(path('condor'), '/etc/condor'),
    bind(path('grid-security'), '/etc/grid-security'),
    bind(site.certDir, '/etc/grid-security/certificates'),
    bind(site.vomsDir, '/etc/grid-security/vomsdir'),
  ].flat()
  const isolation = ['--unshare-pid', '--unshare-ipc', '--die-with-parent', '--clearenv']
  const user = ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', '--']
  return (words: readonly string[], env: Readonly<Record<string, string>>): readonly string[] => [
    findProgram('bwrap') ?? 'bwrap',
    ...files,
    ...isolation,
    ...Object.entries({ PATH: '/usr/bin:/usr/sbin', ...env }).flatMap(([name, value]) => [
      '--setenv',
      name,
      value,
    ]),
    ...user,
    ...words,
  ]
}

/** Its end is that of all processes of the sandbox. */
function start([program = '', ...args]: readonly string[]): CondorProcess {
  const child: ChildProcess = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => (output += text))
  const ended = once(child, 'close')
  return {
    output: () => output,
    stop: async () => {
      child.kill('SIGKILL')
      await ended
    },
  }
}

function waitUntilReady(pool: CondorPool, master: CondorProcess): Promise<void> {
  return waitUntil(async () => {
    const { status, output } = await pool.run(['condor_status', '-schedd', '-af', 'Name'])
    return status === 0 && output.trim() !== ''
  }, `HTCondor did not start: ${master.output()}`)
}

async function waitUntil(isDone: () => Promise<boolean>, problem: string): Promise<void> {
  const deadline = Date.now() + TIMEOUT_MS
  while (!(await isDone())) {
    if (Date.now() > deadline) throw new Error(problem)
    await new Promise((wake) => setTimeout(wake, 100))
  }
}
