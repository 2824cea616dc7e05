/** `tts ca roll-over …`: replaces the key of the CA in three steps, with both CAs trusted side by side. */
import { Command, Option } from 'commander'
import { keyKinds, type KeyKind } from '../../ca/key.ts'
import { formatSlashDn } from '../../ca/name-text.ts'
import { cliOrigin } from '../domain/operator-audit.ts'
import { activateNext, finishRollOver, prepareNext } from '../service/roll-over.ts'
import { wholeNumberOption } from './duration.ts'
import {
  loadedConfigurationFor,
  type OperatorOptions,
  type Terminal,
  withCore,
  withRecords,
} from './terminal.ts'

const kinds = keyKinds.filter((kind) => kind !== 'rsa-2048')

export function rollOverCommand(terminal: Terminal): Command {
  const command = new Command('roll-over').description(
    'replace the key of the CA: prepare, activate, finish; nothing is interrupted',
  )
  command
    .command('prepare')
    .description('make the next CA; its trust anchors are published beside those of this one')
    .option('--subject <DN>', 'its name (default: the name of this CA, counted up)')
    .addOption(new Option('--key-kind <KIND>', 'key type').choices(kinds))
    .option('--lifetime-days <DAYS>', 'lifetime of its certificate in days', wholeNumberOption)
    .action((_options, self: Command) => prepare(terminal, self.optsWithGlobals()))
  command
    .command('activate')
    .description('sign with the next CA from now on; what the former one signed stays valid')
    .action((_options, self: Command) => activate(terminal, self.optsWithGlobals()))
  command
    .command('finish')
    .description('delete the former CA with its key, once nothing that it signed is valid')
    .action((_options, self: Command) => finish(terminal, self.optsWithGlobals()))
  return command.addHelpText(
    'after',
    `
Between \`prepare\` and \`activate\` all sites must install the new trust anchors: give them a month. After \`prepare\`,
copy ca-next/ to all replicas. \`finish\` is refused until the last certificate of the former CA has expired.

Examples:
  tts ca roll-over prepare && systemctl reload tts
  tts ca roll-over activate
  tts ca roll-over finish`,
  )
}

interface PrepareOptions extends OperatorOptions {
  readonly subject?: string
  readonly keyKind?: KeyKind
  readonly lifetimeDays?: number
}

async function prepare(terminal: Terminal, options: PrepareOptions): Promise<void> {
  const loaded = await loadedConfigurationFor(terminal, options)
  const { ca } = loaded.configuration
  const { certificate } = await prepareNext(loaded, {
    subject: options.subject,
    keyKind: options.keyKind ?? ca.key_kind,
    lifetimeDays: options.lifetimeDays ?? ca.lifetime_days,
    now: terminal.now(),
  })
  terminal.note(
    `The next CA is ${formatSlashDn(certificate.subject)}. Copy ca-next/ to all replicas, reload them (send SIGHUP to \`tts serve\`), back up, and give the new trust anchors to all sites. When they have them, run \`tts ca roll-over activate\`.`,
  )
}

async function activate(terminal: Terminal, options: OperatorOptions): Promise<void> {
  const loaded = await loadedConfigurationFor(terminal, options)
  await withRecords(loaded, terminal.now, async (store) => {
    const { current, former } = await activateNext(loaded, store, {
      now: terminal.now(),
      origin: cliOrigin,
    })
    terminal.note(
      `${formatSlashDn(current.certificate.subject)} signs from now on; replicas follow within ten seconds. What ${formatSlashDn(former.certificate.subject)} signed stays valid. When it has expired, run \`tts ca roll-over finish\`.`,
    )
  })
}

async function finish(terminal: Terminal, options: OperatorOptions): Promise<void> {
  await withCore(terminal, options, async ({ loaded, store, now }) => {
    const current = await store.installation.authority('x509-ca')
    const lastEnd =
      current === undefined ? undefined : await store.installation.lastEndBefore(current.since)
    const names = await finishRollOver(loaded, { lastEnd, now: now() })
    terminal.note(
      `Deleted ${names.join(' and ')} with its key. Reload the service (send SIGHUP to \`tts serve\`), do the same on all replicas, and tell the sites that they may remove its trust anchors.`,
    )
  })
}
