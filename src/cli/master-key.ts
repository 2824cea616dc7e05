/** `tts master-key rotate`: creates a new master key and encrypts the stored private keys with it. */
import { join, resolve } from 'node:path'
import { Command } from 'commander'
import { TtsError } from '../base/errors.ts'
import { rotateMasterKeys } from '../store/encryption/master-keys.ts'
import {
  loadedConfigurationFor,
  type OperatorOptions,
  type Terminal,
  withCore,
} from './terminal.ts'

export function masterKeyCommand(terminal: Terminal): Command {
  const command = new Command('master-key').description(
    'manage the key that encrypts private keys in the database',
  )
  command
    .command('rotate')
    .description('add a new master key to its file and re-encrypt all stored keys with it')
    .addHelpText(
      'after',
      `
Example:
  tts master-key rotate && systemctl restart tts`,
    )
    .action((_options, self: Command) => rotate(terminal, self.optsWithGlobals()))
  return command
}

async function rotate(terminal: Terminal, options: OperatorOptions): Promise<void> {
  const loaded = await loadedConfigurationFor(terminal, options)
  const { master_key: value, master_key_file: file } = loaded.configuration
  if (value !== undefined && file === undefined) {
    throw new TtsError(
      'configuration',
      'the master keys are a value in the configuration (master_key), which this command cannot change',
      {
        remedy:
          'Add a first line to master_key, in the form id:BASE64 with 32 random bytes, then restart `tts serve`.',
      },
    )
  }
  const path =
    file === undefined
      ? join(loaded.dataDirectory, 'master-keys')
      : resolve(loaded.path ?? '.', '..', file)
  const id = await rotateMasterKeys(path)
  const count = await withCore(terminal, options, ({ store }) => store.reencryptKeys())
  terminal.note(
    `Master key ${id} is now in use; ${count} key(s) were encrypted again. Restart \`tts serve\`. After that you may remove the older lines of ${path}.`,
  )
}
