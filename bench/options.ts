/** The options of `npm run bench`. */
import { Command, InvalidArgumentError } from 'commander'

export const stores = ['sqlite', 'postgres'] as const
export type StoreKind = (typeof stores)[number]

export interface BenchOptions {
  readonly full: boolean
  readonly peers: boolean
  /** Names of scenarios; undefined: those of the quick or the full set. */
  readonly only: readonly string[] | undefined
  readonly connections: readonly number[] | undefined
  readonly rows: readonly number[] | undefined
  readonly stores: readonly StoreKind[] | undefined
  readonly seconds: number
  readonly rounds: number
  readonly identities: number
  readonly csrs: number
  readonly fromSources: boolean
  readonly json: string | undefined
  readonly markdown: string | undefined
  readonly chart: string | undefined
  readonly flame: string | undefined
}

export interface OptionOutput {
  readonly write: (text: string) => void
  readonly writeError: (text: string) => void
}

/**
 * Reads the command line, without the program's own name.
 *
 * @throws CommanderError, after its message was written; `exitCode` is 0 for `--help`
 */
export function readOptions(
  words: readonly string[],
  { names, output }: { readonly names: readonly string[]; readonly output: OptionOutput },
): BenchOptions {
  const { write, writeError } = output
  const command = describeOptions(new Command('npm run bench --'), names)
    .exitOverride()
    .configureOutput({ writeOut: write, writeErr: writeError })
    .parse([...words], { from: 'user' })
  const { store, ...options } = command.opts<ParsedOptions>()
  const { full = false, peers = false, fromSources = false } = options
  const { only, connections, rows, json, markdown, chart, flame } = options
  const lists = { only, connections, rows, stores: store }
  return { ...options, ...lists, full, peers, fromSources, json, markdown, chart, flame }
}

/** What commander finds; it leaves out what was not given and has no default. */
interface ParsedOptions extends Omit<BenchOptions, 'stores' | 'full' | 'peers' | 'fromSources'> {
  readonly full?: boolean
  readonly peers?: boolean
  readonly fromSources?: boolean
  readonly store: readonly StoreKind[] | undefined
}

function describeOptions(command: Command, names: readonly string[]): Command {
  return command
    .description('Measures how fast the service is, compared with what this machine can do at all.')
    .usage('[options]')
    .option('--full', 'everything, the peers too; about an hour')
    .option('--peers', 'also step-ca and Fulcio; built with Go on the first run')
    .option('--only <names>', 'scenarios to measure, with commas between', listOf(nameIn(names)))
    .option('--connections <numbers>', 'concurrent connections', listOf(integer(1, 10_000)))
    .option('--rows <numbers>', 'credentials on record', listOf(integer(0, 100_000_000)))
    .option('--store <kinds>', `databases: ${stores.join(', ')}`, listOf(nameIn(stores)))
    .option('--seconds <number>', 'length of a round', integer(1, 3600), 4)
    .option('--rounds <number>', 'rounds; results are medians', integer(1, 99), 3)
    .option('--identities <number>', 'users who request', integer(1, 10_000), 20)
    .option('--csrs <number>', 'CSRs that take turns', integer(1, 1000), 16)
    .option('--from-sources', 'run the TypeScript sources instead of dist/')
    .option('--json <file>', 'write all results as JSON')
    .option('--markdown <file>', 'write the report between the markers of a file')
    .option('--chart <file>', 'write a chart of the rates as SVG')
    .option('--flame <file>', 'write a flame graph of csr-rsa-seen as SVG, with perf')
    .addHelpText('after', help(names))
    .allowExcessArguments(false)
}

const help = (names: readonly string[]): string => `
Scenarios: ${names.join(', ')}.

Without options, the quick set runs in about seven minutes. --connections, --rows and --store apply to each selected
scenario; numbers and names are lists with commas between. A scenario with rows starts with that many credentials,
certificates and audit lines on record. --markdown writes a whole file if there is none yet.

Needs Linux and the Debian package wrk; nginx-light and postgresql for the scenarios that use them, linux-perf and the
right to use it for --flame.

Examples:
  npm run bench
  npm run bench -- --only csr-rsa-seen,csr-rsa-new --connections 1,16,64,256
  npm run bench -- --only csr-rsa-seen --store sqlite,postgres --rows 0,100000
  npm run bench -- --full --json results.json --markdown docs/performance.md --chart docs/performance.svg`

type Parse<T> = (text: string) => T

const listOf =
  <T>(parse: Parse<T>) =>
  (text: string): readonly T[] =>
    text.split(',').map((part) => parse(part))

/** Parses an option that is an integer within these bounds. */
export const integer =
  (least: number, most: number): Parse<number> =>
  (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
    if (value >= least && value <= most) return value
    throw new InvalidArgumentError(`"${text}" must be an integer from ${least} to ${most}.`)
  }

const nameIn =
  <T extends string>(names: readonly T[]): Parse<T> =>
  (text) => {
    const name = names.find((each) => each === text)
    if (name !== undefined) return name
    throw new InvalidArgumentError(`"${text}" must be one of: ${names.join(', ')}.`)
  }
