/** One bash in which the blocks of a tutorial run one after the other, as in the terminal of a reader. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'

/**
 * Reads the path of a block from descriptor 3, runs it, and reports on descriptor 4. The first command that fails ends
 * the shell, with the line at which it is. Output goes to a file, because programs that a block leaves in the
 * background keep writing.
 */
const DRIVER = `
set -e
trap 'printf "failed %s %s\\n" "$?" "$LINENO" >&4' ERR
while IFS= read -r tts_block <&3; do
  . "$tts_block" > "$tts_block.out" 2>&1 < /dev/null
  printf 'done 0 0\\n' >&4
done
`

export interface BlockResult {
  readonly exitCode: number
  /** Line of the block at which a command failed, from 1; 0 if none did. */
  readonly failedLine: number
  /** Standard output and standard error together. */
  readonly output: string
}

export interface ShellSession {
  /** The home directory, which is new. */
  readonly home: string
  /** Runs the lines of a block. @throws {Error} if they take longer than the limit */
  run(lines: readonly string[]): Promise<BlockResult>
  /**
   * Ends the shell, and tells what still runs after a time: command lines. What was told to end may need a moment, and
   * the refresh helper outlives the service.
   */
  leftovers(graceMs: number): Promise<readonly string[]>
  /** Kills what still runs. */
  kill(): Promise<void>
}

export interface SessionOptions {
  /** A new directory; everything of the session is in it. */
  readonly directory: string
  /** Where the first block starts. */
  readonly cwd: string
  readonly blockTimeoutMs?: number
}

/** Starts the shell. Who starts it calls `kill` at the end. */
export function startShell({
  directory,
  cwd,
  blockTimeoutMs = 60_000,
}: SessionOptions): ShellSession {
  const home = join(directory, 'home')
  const temporary = join(directory, 'tmp')
  for (const path of [home, temporary]) mkdirSync(path)
  const child = spawn('bash', ['--norc', '-c', DRIVER], {
    cwd,
    detached: true,
    env: {
      PATH: process.env['PATH'],
      NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
      HOME: home,
      TMPDIR: temporary,
      LC_ALL: 'C.UTF-8',
    },
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
  })
  const ended = once(child, 'exit')
  const [, , , orders, reports] = child.stdio
  const answers = createInterface({ input: reports as NodeJS.ReadableStream })[
    Symbol.asyncIterator
  ]()
  let blocks = 0
  return {
    home,
    async run(lines) {
      const path = join(directory, `block-${(blocks += 1)}.sh`)
      writeFileSync(path, `${lines.join('\n')}\n`)
      ;(orders as NodeJS.WritableStream).write(`${path}\n`)
      const abort = new AbortController()
      const late = delay(blockTimeoutMs, undefined, { signal: abort.signal }).catch(() => undefined)
      const answer = await Promise.race([answers.next(), late])
      abort.abort()
      const output = readFileSync(`${path}.out`, 'utf8')
      if (answer === undefined)
        throw new Error(`it takes longer than ${blockTimeoutMs} ms; so far it printed:\n${output}`)
      const [, exitCode, line] = /^\w+ (\d+) (\d+)$/.exec(String(answer.value)) ?? []
      return { exitCode: Number(exitCode ?? 1), failedLine: Number(line ?? 0), output }
    },
    async leftovers(graceMs) {
      ;(orders as NodeJS.WritableStream).end()
      await ended
      for (let waitedMs = 0; waitedMs < graceMs && running(directory).length > 0; waitedMs += 100)
        await delay(100)
      return running(directory).map(({ commandLine }) => commandLine)
    },
    kill: () => killAll(child, directory),
  }
}

async function killAll(child: ChildProcess, directory: string): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  for (const { pid } of running(directory)) process.kill(pid, 'SIGKILL')
}

interface Running {
  readonly pid: number
  readonly commandLine: string
}

/** The processes that work in a directory, or that got it as an argument or in their environment. */
function running(directory: string): readonly Running[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const commandLine = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
          .replaceAll('\0', ' ')
          .trim()
        const facts = [
          commandLine,
          readlinkSync(`/proc/${pid}/cwd`),
          readFileSync(`/proc/${pid}/environ`, 'utf8'),
        ]
        // A process that has ended, and only waits for its parent, has no command line.
        const isOurs = commandLine !== '' && facts.some((fact) => fact.includes(directory))
        return isOurs ? [{ pid: Number(pid), commandLine }] : []
      } catch {
        // It has ended meanwhile, or belongs to somebody else.
        return []
      }
    })
}
