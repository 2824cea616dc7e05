/** `tts import-watts`: converts the configuration of a WaTTS. */
import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { Command } from 'commander'
import { TtsError } from '../base/errors.ts'
import { cannotRead, cannotWrite } from '../files/file-errors.ts'
import { readInputFile } from '../files/input-file.ts'
import { makeDirectory } from '../files/directory.ts'
import { checkOutputFile, STANDARD_OUTPUT } from '../files/output-file.ts'
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
    .description('convert the configuration of a WaTTS, and report what happened to each setting')
    .argument('<file>', 'path of watts.conf')
    .option(
      '-o, --out <FILE>',
      'configuration file to write, or `-` for standard output',
      'tts.yaml',
    )
    .option(
      '--secrets-dir <DIR>',
      'directory for files with client secrets (default: that of the configuration)',
    )
    .option('--force', 'overwrite existing files')
    .addHelpText(
      'after',
      `
Exit codes: 0 all settings are converted, 1 the result has problems to fix, or a file exists already, 2 not a watts.conf,
5 no such file.

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
  const isSameDirectory = options.secretsDir === undefined
  const imported = importWatts(text, ({ fileName }) =>
    isSameDirectory ? fileName : join(directory, fileName),
  )
  if (!imported.findings.some(({ line, fate }) => line !== undefined && fate !== 'problem'))
    throw new TtsError('invalid_request', `${file} contains no setting of a watts.conf`)
  const secrets = imported.secrets.map(({ fileName, value }) => ({
    path: join(directory, fileName),
    text: `${value}\n`,
  }))
  const isPrinted = options.out === STANDARD_OUTPUT
  if (isPrinted && isSameDirectory && secrets.length > 0)
    throw new TtsError('invalid_request', `${file} has client secrets, which need a directory`, {
      remedy: 'Name a directory for the files with secrets: --secrets-dir DIR.',
    })
  const configuration = { path: resolve(options.out), text: asYaml(imported) }
  const files = isPrinted ? secrets : [...secrets, configuration]
  if (options.force !== true) refuseExisting(files.map(({ path }) => path))
  if (!isSameDirectory)
    await makeDirectory(directory, 0o700).catch((cause: unknown) => {
      throw cannotWrite(directory, cause)
    })
  for (const { path } of files) await checkOutputFile(path)
  // The configuration is written last: when it exists, all files that it names exist too.
  const write = options.force === true ? writePrivateFile : createPrivateFile
  for (const { path, text } of files) await write(path, text)
  const paths = files.map(({ path }) => path)
  const report = options.json ? asJson(imported, paths) : asText(imported, paths)
  if (isPrinted) {
    terminal.out(configuration.text)
    terminal.note(report.trimEnd())
  } else terminal.out(report)
  if (imported.findings.some(({ fate }) => fate === 'problem')) terminal.exitWith(exitCodes.failed)
}

async function readConf(file: string): Promise<string> {
  const bytes = await readInputFile(file, { maxBytes: MAX_BYTES }).catch((cause: unknown) => {
    throw cannotRead(file, cause)
  })
  // WaTTS read both Latin-1 and UTF-8. The report shows which text is not UTF-8.
  return bytes.toString('utf8')
}

function refuseExisting(paths: readonly string[]): void {
  const existing = paths.filter((path) => existsSync(path))
  if (existing.length === 0) return
  throw new TtsError('conflict', `${existing.join(', ')} exists already`, {
    remedy: 'Choose other paths with --out and --secrets-dir, or overwrite the files with --force.',
  })
}

/** Contains no values of settings, because some are secrets. */
function asJson({ findings }: ImportedWatts, written: readonly string[]): string {
  return `${JSON.stringify({ written, findings }, null, 2)}\n`
}

function asText({ findings }: ImportedWatts, written: readonly string[]): string {
  const count = (name: string): number => findings.filter(({ fate }) => fate === name).length
  const lines = [
    ...reportLines(findings),
    `${count('carried')} converted, ${count('changed')} converted with a difference, ${count('dropped')} dropped, ${count('problem')} to fix`,
    ...(written.length === 0 ? [] : [`written, readable only by you: ${written.join(', ')}`]),
    'next: review the file, then run `tts check --config FILE`',
  ]
  return `${lines.join('\n')}\n`
}
