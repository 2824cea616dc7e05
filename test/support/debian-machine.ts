/**
 * An empty Debian of this machine's release, started with a systemd of its own and with no network but loopback: what
 * is installed in it, is installed as by its administrator.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { findMirror, reasonOf } from './debian-root.ts'
import { missingPackages } from './grid-tools.ts'

/** A minute on two cores, with 80 MB to download. */
const MAKE_TIMEOUT_MS = 300_000
const BOOT_TIMEOUT_MS = 60_000
/** What the tutorials ask for besides our packages, and what Ansible needs. */
const INCLUDED = 'ca-certificates,curl,openssl,systemd,systemd-sysv,dbus,python3,python3-apt'
const cache = join(import.meta.dirname, '../../node_modules/.cache')
const run = promisify(execFile)

export interface DebianMachine {
  /** Its root directory, as seen from outside. */
  readonly directory: string
  /** Runs a script of bash as root; resolves at its end, whatever the exit code, with both outputs. */
  sh(script: string): Promise<{ readonly code: number | null; readonly out: string }>
  /** Runs a script that must end well, and returns its output. @throws {Error} with the output, if it does not */
  outputOf(script: string): Promise<string>
  remove(): Promise<void>
}

/** Why there can be none: without it, tests are skipped by this name. */
export function noDebianMachine(): string | undefined {
  const missing = missingPackages(['debootstrap', 'systemd-container'])
  if (missing.length > 0) return `Debian package missing: ${missing.join(' ')}`
  return process.getuid?.() === 0 ? undefined : 'only root can start a Debian of its own'
}

/**
 * Starts one that is like freshly installed.
 *
 * @param shown directories of this machine that can be read there, by their place there
 * @throws {Error} the reason of debootstrap, or what was said at the start
 */
export async function startDebianMachine(
  shown: Readonly<Record<string, string>> = {},
): Promise<DebianMachine> {
  const pristine = await pristineRoot()
  const place = await mkdtemp(join(tmpdir(), 'tts-debian-'))
  const directory = join(place, 'root')
  await run('cp', ['-a', pristine, directory])
  const binds = Object.entries(shown).map(([inside, outside]) => `--bind-ro=${outside}:${inside}`)
  const words = ['--quiet', '--directory', directory, '--private-network', '--register=no']
  const init = spawn('systemd-nspawn', [...words, '--keep-unit', '--boot', ...binds], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const leader = await whenBooted(init)
  return {
    directory,
    sh: async (script) => runIn(leader, script),
    async outputOf(script) {
      const { code, out } = await runIn(leader, script)
      if (code !== 0) throw new Error(`${script}\nended with exit code ${code}:\n${out}`)
      return out
    },
    async remove() {
      const ended = once(init, 'close')
      // Powers it off.
      init.kill('SIGTERM')
      await ended
      await rm(place, { recursive: true, force: true })
    },
  }
}

async function pristineRoot(): Promise<string> {
  const [, release = ''] =
    /^VERSION_CODENAME=(\S+)$/m.exec(readFileSync('/etc/os-release', 'utf8')) ?? []
  const directory = join(cache, `debian-machine-2-${release}`)
  if (existsSync(directory)) return directory
  const mirror = await findMirror()
  if (mirror === undefined) throw new Error('apt knows no mirror of Debian on this machine')
  await mkdir(cache, { recursive: true })
  const work = await mkdtemp(join(cache, 'debian-making-'))
  try {
    const words = ['--variant=minbase', `--include=${INCLUDED}`, release]
    const options = { timeout: MAKE_TIMEOUT_MS, maxBuffer: 16 * 1024 * 1024 }
    await run('debootstrap', [...words, join(work, 'root'), mirror], options).catch(
      (error: unknown) => {
        throw new Error(`debootstrap: ${reasonOf(error)}`, { cause: error })
      },
    )
    // Another run may have finished the same work first.
    await rename(join(work, 'root'), directory).catch((error: unknown) => {
      if (!existsSync(directory)) throw error
    })
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  return directory
}

/** Resolves with the process id of its first process, when systemd has started all. */
async function whenBooted(init: ChildProcess): Promise<number> {
  let said = ''
  for (const stream of [init.stdout, init.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
  const endMs = performance.now() + BOOT_TIMEOUT_MS
  while (performance.now() < endMs && init.exitCode === null) {
    const leader = childOf(init.pid ?? 0)
    if (leader !== undefined) {
      const { out } = await runIn(leader, 'systemctl is-system-running')
      if (/^(running|degraded)$/m.test(out)) return leader
    }
    await delay(200)
  }
  init.kill('SIGKILL')
  throw new Error(`systemd-nspawn did not start the machine:\n${said}`)
}

function childOf(pid: number): number | undefined {
  try {
    const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')
    return first === undefined || first === '' ? undefined : Number(first)
  } catch {
    return undefined
  }
}

async function runIn(leader: number, script: string) {
  const spaces = ['--mount', '--uts', '--ipc', '--net', '--pid', '--root']
  const environment = [
    'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'HOME=/root',
    'LC_ALL=C.UTF-8',
  ]
  const words = ['--target', String(leader), ...spaces, 'env', '-i', '-C', '/root', ...environment]
  const child = spawn('nsenter', [...words, 'bash', '-c', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      out += text
    })
  // Not `close`: what the script leaves in the background keeps the pipes open.
  const [code] = (await once(child, 'exit')) as [number | null]
  await delay(50)
  for (const stream of [child.stdout, child.stderr]) stream.destroy()
  return { code, out }
}
