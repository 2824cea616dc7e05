/** `tts access-token-key`: replaces the keys that sign access tokens. */
import { Command } from 'commander'
import { replaceTokenKeys } from '../domain/access-tokens/token-keys.ts'
import { cliOrigin } from '../domain/operator-audit.ts'
import {
  loadedConfigurationFor,
  type OperatorOptions,
  type Terminal,
  withRecords,
} from './terminal.ts'

export function accessTokenKeyCommand(terminal: Terminal): Command {
  const command = new Command('access-token-key').description(
    'manage the keys that sign access tokens',
  )
  command
    .command('replace')
    .description('replace all keys that sign access tokens, because somebody else may have them')
    .addHelpText(
      'after',
      `
The service replaces its keys by itself every 90 days, without an interruption. This command is for keys that were
stolen: services that verify tokens refuse all earlier ones as soon as they fetch the keys again.

Example:
  tts access-token-key replace`,
    )
    .action((_options, self: Command) => replace(terminal, self.optsWithGlobals()))
  return command
}

async function replace(terminal: Terminal, options: OperatorOptions): Promise<void> {
  const loaded = await loadedConfigurationFor(terminal, options)
  const request = { now: terminal.now(), origin: cliOrigin }
  const id = await withRecords(loaded, terminal.now, (store) => replaceTokenKeys(store, request))
  terminal.note(
    `The key ${id} signs access tokens now; running services follow within a minute. Services that verify tokens may keep the old keys for hours or days: ask their administrators to drop them.`,
  )
}
