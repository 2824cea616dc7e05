/** `tts my credentials`: a person lists and revokes the own credentials, with an access token. */
import { Command, Option } from 'commander'
import { revocationReasons } from '../../ca/crl.ts'
import { printable } from '../base/printable.ts'
import {
  type OwnCredential,
  type OwnRevocation,
  readCredentials,
  readRevocation,
} from '../client/own-credentials.ts'
import { pageSize } from './duration.ts'
import { addServiceOptions, connectToService, type ServiceOptions } from './service-connection.ts'
import { type Terminal, timeLeft } from './terminal.ts'

interface MyOptions extends ServiceOptions {
  readonly json?: boolean
}

interface ListOptions extends MyOptions {
  readonly active?: boolean
  readonly limit: number
  readonly after?: string
}

export function myCommand(terminal: Terminal): Command {
  const credentials = new Command('credentials')
    .description('list and revoke your credentials')
    .addCommand(listCommand(terminal))
    .addCommand(revokeCommand(terminal))
    .addHelpText(
      'after',
      `
Examples:
  tts my credentials list --active
  tts my credentials revoke 0f8fad5b-d9cb-469f-a165-70867728950e --reason keyCompromise`,
    )
  return new Command('my')
    .description('list and revoke what the service issued to you, with your access token')
    .addCommand(credentials)
    .addHelpText('after', '\nExamples:\n  tts my credentials list --active')
}

function listCommand(terminal: Terminal): Command {
  const command = new Command('list')
    .description('list your newest credentials')
    .option('--active', 'only credentials that are neither expired nor revoked')
    .option('--limit <N>', 'maximum number (1 to 1000)', pageSize, 50)
    .option('--after <ID>', 'continue after this credential, or after the end of the page before')
    .action((_options, self: Command) => list(terminal, self.optsWithGlobals()))
  return addServiceOptions(command)
}

function revokeCommand(terminal: Terminal): Command {
  const command = new Command('revoke')
    .argument('<id>', 'id of the credential, from `tts my credentials list`')
    .description('revoke a credential of yours, and every proxy that was issued with it')
    .addOption(
      new Option('--reason <REASON>', 'reason in the CRL')
        .choices(Object.keys(revocationReasons))
        .default('unspecified'),
    )
    .action((id: string, options: { reason: string }, self: Command) =>
      revoke(terminal, self.optsWithGlobals(), { id, reason: options.reason }),
    )
  return addServiceOptions(command)
}

const headers = { accept: 'application/json' }

async function list(terminal: Terminal, options: ListOptions): Promise<void> {
  const ask = await connectToService(terminal, options)
  const { active, limit, after } = options
  const query = { limit: String(limit), after, active: active ? 'true' : undefined }
  const response = await ask({ method: 'GET', path: 'v1/credentials', query, headers })
  const { raw, value } = readCredentials(response)
  if (options.json) {
    const { credentials } = raw as { readonly credentials: unknown }
    terminal.out(`${JSON.stringify(credentials, null, 2)}\n`)
    return
  }
  const { credentials, next } = value
  for (const credential of credentials) terminal.out(line(credential, terminal.now()))
  if (credentials.length === 0) terminal.note('You have no credentials.')
  if (typeof next === 'string') terminal.note(`There are more: --after ${printable(next)}`)
}

function line({ id, service, subject, ...credential }: OwnCredential, now: Date): string {
  const { issued_at: issuedAt, not_after: notAfter, revoked_at: revokedAt } = credential
  const left = notAfter === null ? 'until revoked' : timeLeft(notAfter, now)
  const state = revokedAt === null ? left : 'revoked'
  const when = `${issuedAt.slice(0, 19)}Z`
  return `${[id, when, service.padEnd(8), state.padEnd(24), subject].map(printable).join('  ')}\n`
}

async function revoke(
  terminal: Terminal,
  options: MyOptions,
  { id, reason }: { readonly id: string; readonly reason: string },
): Promise<void> {
  const ask = await connectToService(terminal, options)
  const path = `v1/credentials/${encodeURIComponent(id)}`
  const response = await ask({ method: 'DELETE', path, query: { reason }, headers })
  const { raw, value } = readRevocation(response)
  if (options.json) terminal.out(`${JSON.stringify(raw, null, 2)}\n`)
  else terminal.note(outcome(value))
}

function outcome({ newly_revoked, end_entity_serial, affected }: OwnRevocation): string {
  if (!newly_revoked) return 'The credential was already revoked.'
  if (end_entity_serial === null) return 'Revoked.'
  return `Revoked: ${affected.length} credential(s) with the same certificate. Sites refuse them when they fetch the next CRL.`
}
