/** `tts backup` and `tts restore`: the whole installation as one encrypted file. */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { open, rename, unlink } from 'node:fs/promises'
import { Command } from 'commander'
import {
  type BackupPlace,
  type BackupSummary,
  restoreBackup,
  verifyBackup,
  writeBackup,
} from '../backup/backup.ts'
import { MASTER_KEYS } from '../backup/files.ts'
import { checkPassphrase } from '../backup/encryption.ts'
import { TtsError } from '../base/errors.ts'
import type { LoadedConfiguration } from '../config/load.ts'
import { prepareDataDirectory } from '../files/data-directory.ts'
import { cannotRead, cannotWrite } from '../files/file-errors.ts'
import { checkOutputFile, STANDARD_OUTPUT } from '../files/output-file.ts'
import { readPrivateFile } from '../files/private-file.ts'
import { databaseSettings } from '../service/compose.ts'
import { needsSshAuthority } from '../service/compose-services.ts'
import { masterKeySource } from '../service/master-key-source.ts'
import { actAsCaller } from './act-as-owner.ts'
import { loadedConfigurationFor, type OperatorOptions, type Terminal } from './terminal.ts'

interface BackupOptions extends OperatorOptions {
  readonly passphraseFile: string
  readonly verify?: boolean
}

export function backupCommand(terminal: Terminal): Command {
  return new Command('backup')
    .argument('<file>', 'file to create; `-` is standard output')
    .description(
      'back up the records, the CA, the SSH CA and the master keys as one file, encrypted to a passphrase',
    )
    .requiredOption('--passphrase-file <FILE>', 'file with the passphrase, at least 16 characters')
    .addHelpText(
      'after',
      `
The service may go on working: the backup shows one moment. Keep the passphrase apart from the backups: with both,
anybody can act as the CA. Logins to the web page are not backed up, nor is the configuration.

Example:
  (umask 077; openssl rand -base64 24 > /root/tts-backup-passphrase)
  tts backup --passphrase-file /root/tts-backup-passphrase /var/backups/tts-$(date +%F)`,
    )
    .action((file: string, _options, self: Command) =>
      backup(terminal, self.optsWithGlobals(), file),
    )
}

export function restoreCommand(terminal: Terminal): Command {
  return new Command('restore')
    .argument('<file>', 'file that `tts backup` made')
    .description('restore a backup into an empty database and a data directory without a CA')
    .requiredOption('--passphrase-file <FILE>', 'file with the passphrase of the backup')
    .option('--verify', 'only check that the backup is complete and the passphrase is right')
    .addHelpText(
      'after',
      `
Nothing is ever overwritten, and a damaged backup changes nothing. The database may be of the other kind than the one
that was backed up, so this is also the way from SQLite to PostgreSQL. Start \`tts serve\` only after it.

Examples:
  tts restore --verify --passphrase-file /root/tts-backup-passphrase /var/backups/tts-2026-11-27
  tts restore --passphrase-file /root/tts-backup-passphrase /var/backups/tts-2026-11-27`,
    )
    .action((file: string, _options, self: Command) =>
      restore(terminal, self.optsWithGlobals(), file),
    )
}

async function backup(terminal: Terminal, options: BackupOptions, file: string): Promise<void> {
  const passphrase = await readPassphrase(options.passphraseFile)
  checkPassphrase(passphrase)
  if (file === STANDARD_OUTPUT) {
    const place = placeOf(await loadedConfigurationFor(terminal, options))
    const request = { output: process.stdout, now: terminal.now() }
    report(terminal, await writeBackup(place, passphrase, request), 'Backed up')
    return
  }
  // Before root acts as the owner of the data directory: the file is the caller's.
  await checkOutputFile(file)
  const partial = `${file}.partial-${randomBytes(4).toString('hex')}`
  const handle = await open(partial, 'wx', 0o600).catch((error: unknown) => {
    throw cannotWrite(file, error)
  })
  try {
    const place = placeOf(await loadedConfigurationFor(terminal, options, 'until_written'))
    const output = handle.createWriteStream({ flush: true })
    const summary = await writeBackup(place, passphrase, { output, now: terminal.now() })
    actAsCaller()
    await rename(partial, file)
    report(terminal, summary, `Backed up to ${file}`)
    if (place.masterKeyFile === undefined)
      terminal.note('The master keys are a value of the configuration, which is not in the backup.')
  } catch (error) {
    actAsCaller()
    await unlink(partial).catch(() => undefined)
    throw error instanceof TtsError ? error : cannotWrite(file, error)
  }
}

async function restore(terminal: Terminal, options: BackupOptions, file: string): Promise<void> {
  // Before root acts as the owner of the data directory, who may not be able to read these files.
  const passphrase = await readPassphrase(options.passphraseFile)
  const handle = await open(file).catch((error: unknown) => {
    throw cannotRead(`the backup ${file}`, error)
  })
  try {
    if (options.verify) {
      report(terminal, await verifyBackup(handle, passphrase), 'The backup is complete')
      return
    }
    const loaded = await loadedConfigurationFor(terminal, options)
    const becomesRoots = process.geteuid?.() === 0 && !existsSync(loaded.dataDirectory)
    await prepareDataDirectory(loaded.dataDirectory)
    const place = placeOf(loaded)
    const summary = await restoreBackup(place, handle, passphrase)
    report(terminal, summary, 'Restored')
    if (place.masterKeyFile === undefined && summary.files.includes(MASTER_KEYS))
      terminal.note(
        'The master keys of the backup were not written, because they are a value of your configuration. It must have the same keys, otherwise `tts serve` refuses to start.',
      )
    if (summary.hadMasterKeys && summary.files.includes(MASTER_KEYS))
      terminal.note(`The master keys of the backup are in ${place.masterKeyFile ?? ''} already.`)
    if (becomesRoots)
      terminal.note(
        `${loaded.dataDirectory} was missing; now it belongs to root, with its files. If the service runs as another user, run first: chown -R USER '${loaded.dataDirectory}'`,
      )
    terminal.note('Run `tts check`, then start `tts serve`.')
  } finally {
    await handle.close()
  }
}

function placeOf(loaded: LoadedConfiguration): BackupPlace {
  const source = masterKeySource(loaded)
  return {
    dataDirectory: loaded.dataDirectory,
    database: databaseSettings(loaded),
    issuesSsh: needsSshAuthority(loaded),
    masterKeyFile: 'path' in source ? source.path : undefined,
  }
}

function report(terminal: Terminal, { createdAt, files, rows }: BackupSummary, what: string): void {
  const { identities = 0, credentials = 0, delegations = 0, audit = 0 } = rows
  terminal.note(
    `${what}: the state of ${createdAt}, with ${identities} user(s), ${credentials} credential(s), ${delegations} delegation(s), ${audit} audit record(s) and ${files.length} file(s).`,
  )
}

async function readPassphrase(path: string): Promise<string> {
  const bytes = await readPrivateFile(path, { maxBytes: 4096, readers: 'root_for_group' })
  return bytes.toString('utf8').trim()
}
