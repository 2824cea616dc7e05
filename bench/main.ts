/**
 * Measures how fast the service is, compared with what this machine can do at all, and prints a report in Markdown.
 * One run measures everything, because ratios are comparable between machines, but rates are not.
 */
import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CommanderError } from 'commander'
import { startIdentityProvider } from '../demo/identity-provider/server.ts'
import { makeCsrs, makeUsers } from './identities.ts'
import { describeMachine } from './machine.ts'
import { type BenchOptions, readOptions } from './options.ts'
import { planRun } from './plan.ts'
import { checkFiles, publish } from './publish.ts'
import { measureRawRates, startRawMeter } from './raw.ts'
import type { Results } from './results.ts'
import { runPlan } from './run-plan.ts'
import { scenarios } from './scenarios/all.ts'
import { STARTS } from './starts.ts'
import { openStores } from './stores.ts'
import { missingWrkPackage } from './wrk.ts'

const output = {
  write: (text: string): void => void process.stdout.write(text),
  writeError: (text: string): void => void process.stderr.write(text),
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2), {
    names: [...scenarios.keys(), STARTS],
    output,
  })
  if (missingWrkPackage !== undefined)
    throw new Error(`wrk is missing: apt-get install --no-install-recommends ${missingWrkPackage}`)
  await checkFiles(options)
  const directory = await mkdtemp(join(tmpdir(), 'tts-bench-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  const results = await measureAll(options, directory)
  await publish(results, options)
  const failed = results.results.some(({ measured }) => measured.failed > 0)
  if (failed || results.errors.length > 0) process.exitCode = 1
}

async function measureAll(options: BenchOptions, directory: string): Promise<Results> {
  const startedAt = new Date().toISOString()
  const { seconds, rounds, identities, fromSources } = options
  const meter = await startRawMeter()
  const raw = await measureRawRates(meter, seconds / 4)
  const users = makeUsers(identities)
  const provider = await startIdentityProvider({ users, tokens: { includeAuthnInfo: true } })
  const csrs = await makeCsrs(options.csrs)
  const say = (text: string): void => output.writeError(`${text}\n`)
  const stores = openStores(say)
  const world = { directory, provider, users, csrs, fromSources }
  try {
    const run = { world, meter, options, stores, say }
    const outcome = await runPlan(run, planRun(options, scenarios))
    const machine = describeMachine()
    return { machine, startedAt, seconds, rounds, identities, raw, ...outcome }
  } finally {
    await stores.close()
    await meter.close()
    await provider.close()
  }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => process.exit(128 + (signal === 'SIGINT' ? 2 : 15)))

try {
  await main()
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2
  else {
    output.writeError(`bench: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  }
}
