/** The command line of certcache in this process, over a stand-in engine. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createCertcacheProgram, runCertcache } from '../../src/certcache/cli/program.ts'
import type { StopSignal, CliRuntime } from '../../src/certcache/cli/runtime.ts'
import type { EngineOptions, RunningEngine } from '../../src/certcache/compose.ts'
import type { LoadedCertcacheSettings } from '../../src/certcache/settings/load-settings.ts'
import type { ProxyEngine } from '../../src/certcache/proxy-engine.ts'
import { standInEngine } from './server-support.ts'

export interface CertcacheRunOptions {
  readonly environment?: Readonly<Record<string, string | undefined>>
  readonly engine?: ProxyEngine
  readonly openEngine?: CliRuntime['openEngine']
  readonly openState?: CliRuntime['openState']
  readonly grantClient?: CliRuntime['grantClient']
  readonly startCodeLogin?: CliRuntime['startCodeLogin']
  readonly now?: () => Date
  readonly directory?: string
  readonly random?: () => number
}

/** One run of `certcache` that is under way. */
export interface CertcacheRun {
  readonly ended: Promise<number>
  readonly out: () => string
  readonly notes: () => string
  /** What was logged, one object each. */
  readonly logged: () => readonly Record<string, unknown>[]
  readonly opened: readonly { settings: LoadedCertcacheSettings; parts: EngineOptions }[]
  readonly reloaded: readonly LoadedCertcacheSettings[]
  stop(signal?: StopSignal): void
  reload(): void
  /** Codes that the program was ended with at once. */
  readonly endedNow: readonly number[]
}

/** Starts `certcache` with these words, with nothing of this process's environment, in a directory of its own. */
export function startCertcache(
  words: readonly string[],
  options: CertcacheRunOptions = {},
): CertcacheRun {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'certcache-cli-'))
  const now = options.now ?? (() => new Date())
  const engine = options.engine ?? standInEngine()
  const texts = { out: '', notes: '', log: '' }
  const opened: { settings: LoadedCertcacheSettings; parts: EngineOptions }[] = []
  const reloaded: LoadedCertcacheSettings[] = []
  const endedNow: number[] = []
  const heard = { stop: [] as ((signal: StopSignal) => void)[], reload: [] as (() => void)[] }
  let exitCode: number | undefined
  const runtime: CliRuntime = {
    environment: { HOME: directory, ...options.environment },
    uid: process.getuid?.() ?? 0,
    now,
    out: (result) => void (texts.out += Buffer.from(result).toString()),
    note: (text) => void (texts.notes += `${text}\n`),
    exitWith: (code) => void (exitCode = code),
    clock: { now, sleep: () => Promise.resolve() },
    random: options.random ?? (() => 0),
    currentDirectory: directory,
    openEngine:
      options.openEngine ??
      ((settings, parts) => {
        opened.push({ settings, parts })
        const running: RunningEngine = Object.assign(engine, {
          reload: (changed: LoadedCertcacheSettings) => {
            reloaded.push(changed)
            return Promise.resolve()
          },
        })
        return Promise.resolve(running)
      }),
    openState: options.openState ?? (() => Promise.reject(new Error('no state'))),
    grantClient:
      options.grantClient ??
      (() => {
        throw new Error('no provider')
      }),
    startCodeLogin: options.startCodeLogin ?? (() => Promise.reject(new Error('no provider'))),
    onStop: (listener) => void heard.stop.push(listener),
    onReload: (listener) => void heard.reload.push(listener),
    endNow: (code) => void endedNow.push(code),
    logDestination: { write: (line) => void (texts.log += line) },
  }
  const program = createCertcacheProgram(runtime, { version: '0.0.0-test' })
  const ended = runCertcache(program, words, runtime).then((code) => {
    if (options.directory === undefined) rmSync(directory, { recursive: true, force: true })
    return exitCode ?? code
  })
  return {
    ended,
    out: () => texts.out,
    notes: () => texts.notes,
    logged: () =>
      texts.log
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Record<string, unknown>),
    opened,
    reloaded,
    endedNow,
    stop: (signal = 'SIGTERM') => {
      for (const listener of heard.stop) listener(signal)
    },
    reload: () => {
      for (const listener of heard.reload) listener()
    },
  }
}

/** Runs `certcache` to its end. */
export async function runToItsEnd(
  words: readonly string[],
  options?: CertcacheRunOptions,
): Promise<{ readonly code: number; readonly out: string; readonly notes: string }> {
  const run = startCertcache(words, options)
  const code = await run.ended
  return { code, out: run.out(), notes: run.notes() }
}
