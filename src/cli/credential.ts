/** `tts credential …`: lists and shows credentials, directly in the database. */
import { Command } from 'commander'
import { presentCredential } from '../api/native.ts'
import type { CredentialView } from '../domain/records.ts'
import { TtsError } from '../base/errors.ts'
import { archivedCommand } from './archived.ts'
import { pageSize } from './duration.ts'
import {
  addFilterOptions,
  type FilterOptions,
  noteNextPage,
  recordFilter,
} from './record-filter.ts'
import { revokeCommand } from './revoke.ts'
import { facts, type OperatorOptions, type Terminal, timeLeft, withCore } from './terminal.ts'

interface ListOptions extends OperatorOptions, FilterOptions {
  readonly active?: boolean
  readonly limit?: number
  readonly after?: string
}

export function credentialCommand(terminal: Terminal): Command {
  const command = new Command('credential').description(
    'list, show and revoke credentials; search the archive',
  )

  addFilterOptions(command.command('list'))
    .description('list the newest credentials')
    .option('--active', 'only credentials that are neither expired nor revoked')
    .option('--limit <N>', 'maximum number (1 to 1000)', pageSize, 50)
    .option('--after <ID>', 'continue after this credential')
    .action((_options, self: Command) => list(terminal, self.optsWithGlobals()))

  command
    .command('show')
    .argument('<id>', 'id of the credential, from `tts credential list`')
    .description('show everything that is recorded about a credential')
    .action((id: string, _options, self: Command) => show(terminal, self.optsWithGlobals(), id))

  command.addCommand(revokeCommand(terminal))
  command.addCommand(archivedCommand(terminal))

  return command.addHelpText(
    'after',
    `
Examples:
  tts credential list --active --address 192.0.2.7 --since 2h
  tts credential show 0f8fad5b-d9cb-469f-a165-70867728950e
  tts credential revoke 0f8fad5b-d9cb-469f-a165-70867728950e --reason keyCompromise
  tts credential revoke --client stolen-client --since 2026-11-20 --yes`,
  )
}

async function list(terminal: Terminal, options: ListOptions): Promise<void> {
  await withCore(terminal, options, async ({ store, now }) => {
    const credentials = await store.listCredentials({
      ...recordFilter(options, now()),
      ...(options.active ? { activeAt: now() } : {}),
      ...(options.limit === undefined ? {} : { limit: options.limit }),
      ...(options.after === undefined ? {} : { after: options.after }),
    })
    if (options.json) {
      terminal.out(
        `${JSON.stringify(
          credentials.map((view) => presentCredential(view)),
          null,
          2,
        )}\n`,
      )
      return
    }
    for (const credential of credentials) terminal.out(line(credential, now()))
    if (credentials.length === 0) terminal.note('There are no credentials.')
    if (!options.json)
      noteNextPage(terminal, credentials, { limit: options.limit, after: ({ id }) => id })
  })
}

function line(credential: CredentialView, now: Date): string {
  const state = credential.revokedAt ? 'revoked' : remainingLife(credential, now)
  const when = credential.issuedAt.toISOString().slice(0, 19)
  return `${credential.id}  ${when}Z  ${credential.serviceId.padEnd(8)}  ${state.padEnd(24)}  ${credential.identity.subject}\n`
}

/** Returns the time left. A plugin need not say when its credential expires. */
function remainingLife({ notAfter }: CredentialView, now: Date): string {
  return notAfter === undefined ? 'until revoked' : timeLeft(notAfter, now)
}

async function show(terminal: Terminal, options: OperatorOptions, id: string): Promise<void> {
  await withCore(terminal, options, async ({ store, now }) => {
    const credential = await store.findCredential(id)
    if (!credential)
      throw new TtsError(
        'not_found',
        `the credential ${id} does not exist; see \`tts credential list\` and \`tts credential archived\``,
      )
    if (options.json) terminal.out(`${JSON.stringify(presentCredential(credential), null, 2)}\n`)
    else terminal.out(describe(credential, now()))
  })
}

function describe(credential: CredentialView, now: Date): string {
  const { identity, origin, revokedAt } = credential
  return facts([
    ['id', credential.id],
    ['service', credential.serviceId],
    ['subject', identity.subject],
    ['issuer of the token', identity.issuer],
    ['sub', JSON.stringify(identity.sub)],
    ['client', credential.clientId ?? 'unknown'],
    ['requested from', `${origin.address} (${origin.interface}, request ${origin.requestId})`],
    ['issued', credential.issuedAt.toISOString()],
    [
      'valid until',
      `${credential.notAfter?.toISOString() ?? ''}  (${remainingLife(credential, now)})`.trim(),
    ],
    [
      'revoked',
      revokedAt
        ? `${revokedAt.toISOString()} (${credential.revocationReason ?? 'unspecified'})`
        : 'no',
    ],
    ...(credential.endEntitySerial === undefined
      ? []
      : [['EEC', credential.endEntitySerial] as const]),
    ...(credential.sshSerial === undefined
      ? []
      : [['SSH certificate', `serial ${credential.sshSerial}`] as const]),
    ...(credential.pluginState === undefined || credential.sshSerial !== undefined
      ? []
      : [['plugin state', JSON.stringify(credential.pluginState)] as const]),
    ...credential.certificates.map(
      (certificate) =>
        [certificate.kind, `serial ${certificate.serial}, ${certificate.keyKind}`] as const,
    ),
  ])
}
