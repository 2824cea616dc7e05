/** The programs that a run starts: each is ended by its pid, at the latest when this process ends. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** What is measured: a program that answers HTTP. */
export interface Target {
  /** Scheme, host and port. */
  readonly url: string
  readonly pid: number
  readonly stop: () => Promise<void>
}

export interface Program {
  readonly child: ChildProcess
  readonly pid: number
  /** Its output so far. */
  readonly output: () => string
  /** Waits until the output matches; throws with the end of the output if the program ends before that. */
  readonly says: (pattern: RegExp) => Promise<RegExpExecArray>
  readonly stop: () => Promise<void>
}

export interface ProgramOptions {
  /** Output goes to a file, as with a service manager: reading a pipe here would disturb what is measured. */
  readonly logFile: string
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

const running = new Set<ChildProcess>()
// SIGKILL would leave the workers of nginx behind.
process.once('exit', () => running.forEach((child) => child.kill('SIGTERM')))

const START_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 30_000

/** Starts a program with PATH, HOME and `env` only: NODE_EXTRA_CA_CERTS and the like would slow it down. */
export function startProgram(
  path: string,
  words: readonly string[],
  { logFile, cwd, env }: ProgramOptions,
): Program {
  const log = openSync(logFile, 'w')
  const { PATH = '', HOME = '' } = process.env
  const options = { stdio: ['ignore', log, log] as ['ignore', number, number], cwd }
  const child = spawn(path, words, { ...options, env: { PATH, HOME, ...env } })
  closeSync(log)
  running.add(child)
  child.once('exit', () => running.delete(child))
  child.once('error', () => running.delete(child))
  const output = (): string => readFileSync(logFile, 'utf8')
  return {
    child,
    pid: child.pid ?? 0,
    output,
    says: (pattern) => waitForOutput(child, { output, pattern }),
    stop: () => stop(child),
  }
}

async function waitForOutput(
  child: ChildProcess,
  { output, pattern }: { readonly output: () => string; readonly pattern: RegExp },
): Promise<RegExpExecArray> {
  const end = performance.now() + START_TIMEOUT_MS
  for (;;) {
    const found = pattern.exec(output())
    if (found) return found
    if (hasEnded(child) || performance.now() > end)
      throw new Error(`${child.spawnfile} did not start:\n${output().slice(-2000)}`)
    await delay(50)
  }
}

const hasEnded = (child: ChildProcess): boolean =>
  child.pid === undefined || child.exitCode !== null || child.signalCode !== null

async function stop(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const killer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
  await ended
  clearTimeout(killer)
}

/** Returns a free port of 127.0.0.1. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Waits until the program listens on a port of 127.0.0.1. */
export async function waitForPort(port: number, program: Program): Promise<void> {
  const end = performance.now() + START_TIMEOUT_MS
  while (!(await accepts(port))) {
    if (hasEnded(program.child) || performance.now() > end)
      throw new Error(
        `${program.child.spawnfile} did not listen:\n${program.output().slice(-2000)}`,
      )
    await delay(50)
  }
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  const open = await new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
  })
  socket.destroy()
  return open
}
