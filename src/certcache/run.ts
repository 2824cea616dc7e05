/** Runs `certcache`: provides the real runtime and sets the exit code. */
import { setTimeout as delay } from 'node:timers/promises'
import { readBuildInfo } from '../base/build-info.ts'
import { prepareProcess } from '../cli/command-line.ts'
import { startCodeLogin } from '../grants/code-login.ts'
import { createGrantClient } from '../grants/grant-client.ts'
import { createCertcacheProgram, runCertcache } from './cli/program.ts'
import type { CliRuntime } from './cli/runtime.ts'
import { openEngine } from './compose.ts'
import { ownClientOptions } from './sources/own-client.ts'
import { openState } from './state/open-state.ts'

const now = (): Date => new Date()
let exitCode: number | undefined
const runtime: CliRuntime = {
  environment: process.env,
  uid: process.getuid?.() ?? 0,
  now,
  out: (result) => void process.stdout.write(result),
  note: (text) => void process.stderr.write(`${text}\n`),
  exitWith: (code) => {
    exitCode = code
  },
  clock: {
    now,
    sleep: async (milliseconds, signal) => {
      await delay(milliseconds, undefined, { signal }).catch(() => undefined)
    },
  },
  random: () => Math.random(),
  currentDirectory: process.cwd(),
  openEngine,
  openState,
  grantClient: (source) => createGrantClient(ownClientOptions(source, now)),
  startCodeLogin: async (source, request) => startCodeLogin(ownClientOptions(source, now), request),
  onStop: (listener) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => listener(signal))
  },
  onReload: (listener) => void process.on('SIGHUP', listener),
  endNow: (code) => process.exit(code),
}

/** @param words the arguments */
export async function startCertcache(words: readonly string[]): Promise<void> {
  prepareProcess()
  const program = createCertcacheProgram(runtime, readBuildInfo())
  const code = await runCertcache(program, words, runtime)
  process.exitCode = exitCode ?? code
}
