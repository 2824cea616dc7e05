/** `tts import-watts`: the configuration of a WaTTS becomes one of ours. */
import { existsSync } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { Command } from 'commander'
import { TtsError } from '../base/errors.ts'
import { createPrivateFile, writePrivateFile } from '../files/private-file.ts'
import { asYaml, type ImportedWatts, importWatts, reportLines } from '../migration/import-watts.ts'
import { exitCodes } from './exit-codes.ts'
import type { Terminal } from './terminal.ts'

interface ImportOptions {
  readonly out: string
  readonly secretsDir?: string
  readonly force?: boolean
  readonly json?: boolean
}

const MAX_BYTES = 1024 * 1024

export function importWattsCommand(terminal: Terminal): Command {
  return new Command('import-watts')
    .description('make a configuration from that of a WaTTS, and say what became of every setting')
    .argument('<file>', 'watts.conf')
    .option('-o, --out <FILE>', 'the configuration to write', 'tts.yaml')
    .option(
      '--secrets-dir <DIR>',
      'where files with client secrets go; else beside the configuration',
    )
    .option('--force', 'write over files that are there')
    .addHelpText(
      'after',
      `
Exit codes: 0 all settings have their place, 1 written, but something is to be fixed first (or a file is there already),
2 not a watts.conf, 5 no such file.

Examples:
  tts import-watts /etc/watts/watts.conf --out /etc/tts/tts.yaml
  tts import-watts watts.conf --json | jq '.findings[] | select(.fate == "problem")'`,
    )
    .action((file: string, _options, self: Command) =>
      importFile(terminal, file, self.optsWithGlobals()),
    )
}

async function importFile(terminal: Terminal, file: string, options: ImportOptions): Promise<void> {
  const text = await readConf(file)
  const directory = resolve(options.secretsDir ?? dirname(options.out))
  const beside = options.secretsDir === undefined
  const imported = importWatts(text, ({ fileName }) =>
    beside ? fileName : join(directory, fileName),
  )
  if (!imported.findings.some(({ line, fate }) => line !== undefined && fate !== 'problem'))
    throw new TtsError('invalid_request', `${file} holds no setting of a watts.conf`)
  const secrets = imported.secrets.map(({ fileName, value }) => ({
    path: join(directory, fileName),
    text: `${value}\n`,
  }))
  const files = [...secrets, { path: resolve(options.out), text: asYaml(imported) }]
  if (options.force !== true) refuseExisting(files.map(({ path }) => path))
  if (!beside) await mkdir(directory, { recursive: true, mode: 0o700 })
  // The configuration comes last: when it is there, all that it names is.
  const write = options.force === true ? writePrivateFile : createPrivateFile
  for (const { path, text } of files) await write(path, text)
  const paths = files.map(({ path }) => path)
  terminal.out(options.json ? asJson(imported, paths) : asText(imported, paths))
  if (imported.findings.some(({ fate }) => fate === 'problem')) terminal.exitWith(exitCodes.failed)
}

async function readConf(file: string): Promise<string> {
  const bytes = await readFile(file).catch((cause: NodeJS.ErrnoException) => {
    const code = cause.code === 'ENOENT' ? 'not_found' : 'invalid_request'
    throw new TtsError(code, `${file} cannot be read: ${cause.code ?? 'failed'}`, { cause })
  })
  if (bytes.length > MAX_BYTES) throw new TtsError('invalid_request', `${file} is over 1 MiB long`)
  // WaTTS read Latin-1 and UTF-8 alike; what is no UTF-8 is shown as such in the report.
  return bytes.toString('utf8')
}

function refuseExisting(paths: readonly string[]): void {
  const there = paths.filter((path) => existsSync(path))
  if (there.length === 0) return
  throw new TtsError('conflict', `${there.join(', ')} exists already`, {
    remedy: 'Name another place with --out and --secrets-dir, or overwrite it with --force.',
  })
}

/** No values: some of them are secrets. */
function asJson({ findings }: ImportedWatts, written: readonly string[]): string {
  return `${JSON.stringify({ written, findings }, null, 2)}\n`
}

function asText({ findings }: ImportedWatts, written: readonly string[]): string {
  const count = (wanted: string): number => findings.filter(({ fate }) => fate === wanted).length
  const lines = [
    ...reportLines(findings),
    `${count('carried')} carried over, ${count('changed')} with a difference, ${count('dropped')} not, ${count('problem')} to fix`,
    `written, readable by you alone: ${written.join(', ')}`,
    'next: look through the file, then `tts check --config FILE`',
  ]
  return `${lines.join('\n')}\n`
}
