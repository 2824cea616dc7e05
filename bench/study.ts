/** What the two studies beside the benchmark share: their options, the provider and users, and their reports. */
import { rmSync } from 'node:fs'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, CommanderError } from 'commander'
import { startIdentityProvider } from '../demo/identity-provider/server.ts'
import { makeCsrs, makeUsers } from './identities.ts'
import { integer } from './options.ts'
import { checkPlaces } from './publish.ts'
import type { World } from './scenarios/scenario.ts'
import { missingWrkPackage } from './wrk.ts'

export interface StudyOptions {
  /** How much is measured: entries of the CRL, or proxies. */
  readonly count: number
  readonly connections: number
  readonly seconds: number
  readonly fromSources: boolean
  readonly json: string | undefined
  readonly markdown: string | undefined
}

export interface Study<Results> {
  /** Of the npm script. */
  readonly name: string
  readonly description: string
  /** What `--count` counts. */
  readonly counts: string
  readonly defaults: Pick<StudyOptions, 'count' | 'connections' | 'seconds'>
  readonly run: (
    world: World,
    options: StudyOptions,
    say: (text: string) => void,
  ) => Promise<Results>
  /** In Markdown. */
  readonly report: (results: Results) => string
}

const USERS = 20
const CSRS = 8

/** Runs a study with the options of the command line; sets the exit code. */
export async function runStudy<Results>(study: Study<Results>): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => process.exit(128 + (signal === 'SIGINT' ? 2 : 15)))
  try {
    await measureStudy(study, readStudyOptions(study, process.argv.slice(2)))
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2
    else {
      process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`)
      process.exitCode = 1
    }
  }
}

async function measureStudy<Results>(study: Study<Results>, options: StudyOptions): Promise<void> {
  if (missingWrkPackage !== undefined)
    throw new Error(`wrk is missing: apt-get install --no-install-recommends ${missingWrkPackage}`)
  const { json, markdown, fromSources } = options
  checkPlaces([json, markdown])
  const directory = await mkdtemp(join(tmpdir(), 'tts-bench-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  const users = makeUsers(USERS)
  const provider = await startIdentityProvider({ users, tokens: { includeAuthnInfo: true } })
  try {
    const world = { directory, provider, users, csrs: await makeCsrs(CSRS), fromSources }
    const say = (text: string): void => void process.stderr.write(`${text}\n`)
    const results = await study.run(world, options, say)
    const report = study.report(results)
    process.stdout.write(`\n${report}`)
    if (json !== undefined) await writeFile(json, `${JSON.stringify(results, null, 2)}\n`)
    if (markdown !== undefined) await writeFile(markdown, report)
  } finally {
    await provider.close()
  }
}

function readStudyOptions<Results>(
  { name, description, counts, defaults }: Study<Results>,
  words: readonly string[],
): StudyOptions {
  const { count, connections, seconds } = defaults
  const options = new Command(`npm run ${name} --`)
    .description(description)
    .usage('[options]')
    .option('--count <number>', counts, integer(1, 100_000_000), count)
    .option('--connections <number>', 'concurrent connections', integer(1, 10_000), connections)
    .option('--seconds <number>', 'length of a round', integer(1, 3600), seconds)
    .option('--from-sources', 'run the TypeScript sources instead of dist/')
    .option('--json <file>', 'write all results as JSON')
    .option('--markdown <file>', 'write the report to a file')
    .addHelpText('after', '\nNeeds Linux and the Debian package wrk.')
    .allowExcessArguments(false)
    .exitOverride()
    .parse([...words], { from: 'user' })
    .opts<Omit<StudyOptions, 'fromSources'> & { readonly fromSources?: boolean }>()
  const { json, markdown, fromSources = false } = options
  return { ...options, fromSources, json, markdown }
}
