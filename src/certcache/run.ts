/** Runs `certcache`: provides the real runtime and sets the exit code. */
import { setTimeout as delay } from 'node:timers/promises'
import { prepareProcess } from '../cli/command-line.ts'
import { rememberedConfiguration } from '../grants/discovery.ts'
import { startCodeLogin } from '../grants/code-login.ts'
import { createGrantClient } from '../grants/grant-client.ts'
import { createCertcacheProgram, runCertcache } from './cli/program.ts'
import type { LoginSource, CliRuntime } from './cli/runtime.ts'
import { openEngine } from './compose.ts'
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
  grantClient: (source) => createGrantClient(clientOptions(source)),
  startCodeLogin: async (source, request) => startCodeLogin(clientOptions(source), request),
  onStop: (listener) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => listener(signal))
  },
  onReload: (listener) => void process.on('SIGHUP', listener),
  endNow: (code) => process.exit(code),
}

function clientOptions({ issuer, client_id, client_secret, timeout_seconds }: LoginSource) {
  const timeoutMs = timeout_seconds * 1000
  const provider = {
    issuer,
    clientId: client_id,
    clientSecret: client_secret,
    providerId: new URL(issuer).host,
    timeoutMs,
  }
  const configuration = rememberedConfiguration(provider, now)
  return { configuration, providerId: provider.providerId, timeoutMs, now }
}

const argv = process.argv.slice(2)
const program = createCertcacheProgram(runtime, prepareProcess())
const code = await runCertcache(program, argv, runtime)
process.exitCode = exitCode ?? code
