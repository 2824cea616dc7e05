/** An empty Debian of this machine's release, in which packages can be installed as root. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findMirror, reasonOf } from './debian-root.ts'
import { missingPackages } from './grid-tools.ts'

/** A minute on two cores, with 60 MB to download. */
const MAKE_TIMEOUT_MS = 300_000
/** What the tutorials ask for besides our packages. */
const INCLUDED = ['ca-certificates', 'curl', 'openssl']
const cache = join(import.meta.dirname, '../../node_modules/.cache')
const run = promisify(execFile)

export interface DebianMachine {
  /** Its root directory, as seen from outside. */
  readonly directory: string
  /** Runs a command as root, with the network of this machine; resolves at its end, whatever the exit code. */
  sh(script: string): Promise<{ readonly code: number | null; readonly out: string }>
  remove(): Promise<void>
}

/** Why there can be none: without it, tests are skipped by this name. */
export function noDebianMachine(): string | undefined {
  const missing = missingPackages(['debootstrap', 'bubblewrap'])
  if (missing.length > 0) return `Debian package missing: ${missing.join(' ')}`
  return process.getuid?.() === 0 ? undefined : 'only root can install Debian packages'
}

/** Makes one that is like freshly installed. @throws {Error} the reason of debootstrap */
export async function makeDebianMachine(): Promise<DebianMachine> {
  const pristine = await pristineRoot()
  const place = await mkdtemp(join(tmpdir(), 'tts-debian-'))
  const directory = join(place, 'root')
  await run('cp', ['-a', pristine, directory])
  return {
    directory,
    sh: async (script) => runIn(directory, script),
    remove: async () => rm(place, { recursive: true, force: true }),
  }
}

async function pristineRoot(): Promise<string> {
  const [, release = ''] =
    /^VERSION_CODENAME=(\S+)$/m.exec(readFileSync('/etc/os-release', 'utf8')) ?? []
  const directory = join(cache, `debian-machine-${release}`)
  if (existsSync(directory)) return directory
  const mirror = await findMirror()
  if (mirror === undefined) throw new Error('apt knows no mirror of Debian on this machine')
  await mkdir(cache, { recursive: true })
  const work = await mkdtemp(join(cache, 'debian-making-'))
  try {
    const words = ['--variant=minbase', `--include=${INCLUDED.join(',')}`, release]
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

async function runIn(directory: string, script: string) {
  const isolation = ['--unshare-pid', '--unshare-ipc', '--unshare-uts', '--die-with-parent']
  const files = ['--bind', directory, '/', '--proc', '/proc', '--dev', '/dev']
  const environment = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' }
  const variables = Object.entries(environment).flatMap((pair) => ['--setenv', ...pair])
  const words = [...files, ...isolation, '--cap-add', 'ALL', '--clearenv', ...variables]
  const child = spawn('bwrap', [...words, '--chdir', '/root', 'bash', '-c', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      out += text
    })
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, out }
}
