/** `tts master-key …`: rotates the keys that encrypt private keys and refresh tokens in the database. */
import { Command } from 'commander'
import { TtsError } from '../base/errors.ts'
import type { LoadedConfiguration } from '../config/load.ts'
import { databaseSettings } from '../service/compose.ts'
import { masterKeySource } from '../service/master-key-source.ts'
import { forgetMasterKey } from '../store/encryption/forget-master-key.ts'
import {
  addMasterKey,
  type MasterKeyFile,
  removeMasterKeys,
  rotateMasterKeys,
} from '../store/encryption/master-keys.ts'
import {
  loadedConfigurationFor,
  type OperatorOptions,
  type Terminal,
  withRecords,
} from './terminal.ts'

export function masterKeyCommand(terminal: Terminal): Command {
  const command = new Command('master-key').description(
    'manage the keys that encrypt private keys and refresh tokens in the database',
  )
  command
    .command('rotate')
    .description('put a new master key into use and encrypt all stored keys with it')
    .addHelpText(
      'after',
      `
A running service reads the file again by itself, so nothing is interrupted. With replicas on several machines, run
\`tts master-key add\` first and copy the file to all of them; \`rotate\` then puts this key into use.

Example:
  tts master-key rotate      # five minutes later: tts master-key prune`,
    )
    .action((_options, self: Command) => rotate(terminal, self.optsWithGlobals()))
  command
    .command('add')
    .description('add a new master key that is not in use yet, to copy the file to all replicas')
    .action((_options, self: Command) => add(terminal, self.optsWithGlobals()))
  command
    .command('prune')
    .description('encrypt what is left under older master keys again, and remove these keys')
    .action((_options, self: Command) => prune(terminal, self.optsWithGlobals()))
  command
    .command('forget')
    .argument('<id>', 'id of a master key that is lost')
    .description(
      'delete everything that only a lost master key can decrypt, so that the service can start',
    )
    .addHelpText(
      'after',
      `
Stored EEC keys are deleted (the service makes new ones), delegations end (their owners must make new ones), and
people have to log in again. Use this only if the key is not in any backup.

Example:
  tts master-key forget 5f3a9c01`,
    )
    .action((id: string, _options, self: Command) => forget(terminal, self.optsWithGlobals(), id))
  return command
}

async function rotate(terminal: Terminal, options: OperatorOptions): Promise<void> {
  const { loaded, file } = await fileFor(terminal, options)
  const used = await withRecords(loaded, terminal.now, (store) => store.masterKeys.recorded())
  const id = await rotateMasterKeys(file, (last) => !used.some((key) => key.id === last))
  const count = await withRecords(loaded, terminal.now, (store) => store.reencryptKeys())
  terminal.note(
    `Master key ${id} is now in use; ${count} key(s) were encrypted again. Back up ${file.path}. Copy it to all replicas. An hour later, run \`tts master-key prune\`.`,
  )
}

async function add(terminal: Terminal, options: OperatorOptions): Promise<void> {
  const { file } = await fileFor(terminal, options)
  const id = await addMasterKey(file)
  terminal.note(
    `Added master key ${id}, which is not in use yet. Copy ${file.path} to all replicas, then run \`tts master-key rotate\` on one of them.`,
  )
}

/** A replica reads its file once a minute. Until then it may encrypt under the key that was in use before. */
const SETTLED_MS = 5 * 60_000

async function prune(terminal: Terminal, options: OperatorOptions): Promise<void> {
  const { loaded, file } = await fileFor(terminal, options)
  const current = await withRecords(loaded, terminal.now, async (store) => {
    const key = (await store.masterKeys.recorded()).find(({ isCurrent }) => isCurrent)
    if (key === undefined) throw new TypeError('an open store has a current master key')
    const age = terminal.now().getTime() - key.since.getTime()
    if (age < SETTLED_MS)
      throw new TtsError(
        'conflict',
        `the master key ${key.id} came into use less than five minutes ago: a running service may not know it yet`,
        { check: 'master_key_new', remedy: 'Try again in five minutes.' },
      )
    await store.reencryptKeys()
    return key.id
  })
  const removed = await removeMasterKeys(file, (id) => id !== current)
  terminal.note(
    removed.length === 0
      ? `There are no older master keys in ${file.path}.`
      : `Removed ${removed.join(', ')} from ${file.path}. Copy it to all replicas. Keep older backups of the file as long as older backups of the database.`,
  )
}

async function forget(terminal: Terminal, options: OperatorOptions, id: string): Promise<void> {
  const loaded = await loadedConfigurationFor(terminal, options)
  const source = masterKeySource(loaded)
  const forgotten = await forgetMasterKey({
    settings: databaseSettings(loaded),
    source,
    id,
    now: terminal.now(),
  })
  terminal.note(
    `Deleted ${forgotten.endEntityKeys} EEC key(s), ended ${forgotten.delegations} delegation(s) and ${forgotten.sessions} login(s) under the master key ${id}. Start \`tts serve\`.`,
  )
}

async function fileFor(
  terminal: Terminal,
  options: OperatorOptions,
): Promise<{ readonly loaded: LoadedConfiguration; readonly file: MasterKeyFile }> {
  const loaded = await loadedConfigurationFor(terminal, options)
  const source = masterKeySource(loaded)
  if ('path' in source) return { loaded, file: source }
  throw new TtsError(
    'configuration',
    'the master keys are a value in the configuration (master_key), which this command cannot change',
    {
      remedy:
        'Add a first line to master_key, in the form id:BASE64 with 32 random bytes, then restart `tts serve`.',
    },
  )
}
