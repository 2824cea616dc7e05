/** `tts master-key rotate`: a new key encrypts what is kept at rest. */
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
    'the key that encrypts private keys in the records',
  )
  command
    .command('rotate')
    .description('put a new master key first in its file and encrypt all held keys under it')
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
      'the master keys are given as a value (master_key), which cannot be rewritten here',
      {
        remedy: 'Put a line id:base64 of 32 random bytes first in that value, then restart.',
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
    `Master key ${id} is current; ${count} key(s) were encrypted anew. Restart \`tts serve\`; older lines of ${path} may then go.`,
  )
}
