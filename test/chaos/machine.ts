/**
 * Namespaces of our own for network, mounts and processes: packets are dropped and small disks mounted where nobody
 * else sees them, and the kernel removes all of it with our last process, however that ends.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { findLibraryDirectory } from '../support/grid-tools.ts'

/** Private means: no other process of this host is affected. */
export interface Machine {
  /** For everything of the run; removed at the end. */
  readonly directory: string
  /** In it, for the logs of all programs. */
  readonly logs: string
  /** What this host does not allow or lack, by kind of fault. */
  readonly missing: { readonly [Kind in 'network' | 'disk' | 'clock']?: string }
  /** libfaketime. */
  readonly clockLibrary: string | undefined
}

const DIRECTORY = 'TTS_CHAOS_DIRECTORY'
const NAMESPACES = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
/** The shell is the first process there: it reaps those whose parents were killed. */
const UNSHARED = ['unshare', ...NAMESPACES, 'sh', '-c', '"$0" "$@"; exit $?']
const CLOCK_LIBRARY = 'faketime/libfaketime.so.1'

/** Whether this process is the one in the namespaces. */
export const isInside = (): boolean => process.env[DIRECTORY] !== undefined

/**
 * Runs this program again in namespaces, or as it is where the host allows none, and returns its exit code. The end of
 * its standard input asks it to end: signals do not pass `unshare`.
 */
export async function runInside(program: string): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'tts-chaos-'))
  const mayUnshare = spawnSync('unshare', [...NAMESPACES, 'true']).status === 0
  const words = [...(mayUnshare ? UNSHARED : []), process.execPath, program]
  const [command = '', ...rest] = words
  const child = spawn(command, rest, {
    stdio: ['pipe', 'inherit', 'inherit'],
    // In a group of its own: Ctrl-C reaches us only, and the run ends in order.
    detached: true,
    env: {
      // Programs that are killed never write it by themselves.
      NODE_COMPILE_CACHE: resolve(import.meta.dirname, '../../node_modules/.cache/node'),
      ...process.env,
      [DIRECTORY]: directory,
      TTS_CHAOS_PRIVATE: mayUnshare ? '1' : '0',
    },
  })
  let signalled = 0
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      signalled = 128 + constants.signals[signal]
      child.stdin.end()
    })
  try {
    const [code] = (await once(child, 'exit')) as [number | null]
    return signalled > 0 ? signalled : (code ?? 1)
  } finally {
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** What the host allows, seen from inside. */
export function prepareMachine(): Machine {
  const directory = process.env[DIRECTORY] ?? ''
  const isPrivate = process.env['TTS_CHAOS_PRIVATE'] === '1'
  if (isPrivate) execFileSync('ip', ['link', 'set', 'lo', 'up'])
  // PostgreSQL runs as another user.
  execFileSync('chmod', ['711', directory])
  const library = findLibraryDirectory(CLOCK_LIBRARY)
  const why = 'the host allows no namespaces of our own (root is needed)'
  const network = isPrivate ? failureOf('iptables', ['-L', '-n']) : why
  const disk = isPrivate ? undefined : why
  const clock = library === undefined ? 'Debian package missing: libfaketime' : undefined
  const logs = join(directory, 'logs')
  mkdirSync(logs, { mode: 0o700 })
  return {
    directory,
    logs,
    missing: {
      ...(network !== undefined && { network }),
      ...(disk !== undefined && { disk }),
      ...(clock !== undefined && { clock }),
    },
    clockLibrary: library && join(library, CLOCK_LIBRARY),
  }
}

function failureOf(program: string, words: readonly string[]): string | undefined {
  const { status } = spawnSync(program, words)
  return status === 0 ? undefined : `${program} does not run`
}

/** A directory, on a small disk of its own if the host allows it. */
export function makeDisk(machine: Machine, name: string, megabytes: number): string {
  const path = join(machine.directory, name)
  mkdirSync(path, { mode: 0o700 })
  if (machine.missing.disk === undefined)
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=700`, 'tmpfs', path])
  return path
}
