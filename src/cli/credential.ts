/**
 * `tts credential …` and `tts audit`: lists, shows and revokes credentials, and shows the audit trail, directly in
 * the database.
 */
import { Command, Option } from 'commander'
import { revocationReasons } from '../../ca/crl.ts'
import { presentCredential } from '../api/native.ts'
import { readReason, revokeCredential } from '../domain/revocation/credentials.ts'
import type { Core } from '../service/compose.ts'
import { publishedIssuerOf } from '../service/published-issuer.ts'
import type { AuditRecord, CredentialView, Origin, Revocation } from '../domain/records.ts'
import { createServices, type Service } from '../domain/issuing/service.ts'
import { TtsError } from '../base/errors.ts'
import { pageSize } from './duration.ts'
import {
  facts,
  type OperatorOptions,
  quietLog,
  type Terminal,
  timeLeft,
  withCore,
} from './terminal.ts'

interface ListOptions extends OperatorOptions {
  readonly service?: string
  readonly active?: boolean
  readonly limit?: number
  readonly after?: string
}

export function credentialCommand(terminal: Terminal): Command {
  const command = new Command('credential').description('list, show and revoke credentials')

  command
    .command('list')
    .description('list the newest credentials')
    .option('--service <ID>', 'only credentials of this service')
    .option('--active', 'only credentials that are neither expired nor revoked')
    .option('--limit <N>', 'maximum number (1 to 1000)', pageSize, 50)
    .option('--after <ID>', 'continue after this credential')
    .action((_options, self: Command) => list(terminal, self.optsWithGlobals()))

  command
    .command('show')
    .argument('<id>', 'id of the credential, from `tts credential list`')
    .description('show everything that is recorded about a credential')
    .action((id: string, _options, self: Command) => show(terminal, self.optsWithGlobals(), id))

  command
    .command('revoke')
    .argument('<id>', 'id of the credential')
    .description('revoke the EEC of a credential, and with it every proxy that the EEC signed')
    .addOption(
      new Option('--reason <REASON>', 'reason in the CRL')
        .choices(Object.keys(revocationReasons))
        .default('unspecified'),
    )
    .action((id: string, options: { reason: string }, self: Command) =>
      revoke(terminal, self.optsWithGlobals(), { id, reason: options.reason }),
    )

  return command.addHelpText(
    'after',
    `
Examples:
  tts credential list --active
  tts credential show 0f8fad5b-d9cb-469f-a165-70867728950e
  tts credential revoke 0f8fad5b-d9cb-469f-a165-70867728950e --reason keyCompromise`,
  )
}

export function auditCommand(terminal: Terminal): Command {
  return new Command('audit')
    .description('show the newest audit records: issued, refused, revoked')
    .option('--refused', 'only refusals')
    .option('--limit <N>', 'maximum number (1 to 1000)', pageSize, 50)
    .addHelpText(
      'after',
      `
Examples:
  tts audit --refused            # who was refused, and by which check
  tts audit --json --limit 1000`,
    )
    .action((_options, self: Command) => audit(terminal, self.optsWithGlobals()))
}

async function list(terminal: Terminal, options: ListOptions): Promise<void> {
  await withCore(terminal, options, async ({ store, now }) => {
    const credentials = await store.listCredentials({
      ...(options.service === undefined ? {} : { serviceId: options.service }),
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
        `the credential ${id} does not exist; see \`tts credential list\``,
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

async function revoke(
  terminal: Terminal,
  options: OperatorOptions,
  { id, reason }: { readonly id: string; readonly reason: string },
): Promise<void> {
  await withCore(terminal, options, async (core) => {
    const origin: Origin = { requestId: 'cli', address: 'local', interface: 'cli' }
    const revocation = await revokeCredential(
      // Only the running service has stored EEC keys in memory. The database makes it refuse the revoked EEC at the
      // next use.
      {
        ...core,
        endEntities: { forget: () => undefined },
        services: await serviceOf(core, id),
        verifier: { publishedIssuer: (issuer) => publishedIssuerOf(core, issuer) },
      },
      {
        id,
        identity: undefined,
        reason: readReason(reason),
        origin,
        signal: new AbortController().signal,
        log: quietLog(terminal),
        dropOrphan: core.loaded.configuration.watts.allow_dropping_credentials,
      },
    )
    await reportRevocation(terminal, core, { json: options.json === true, revocation })
  })
}

/** Creates only the service whose plugin revokes the credential. */
async function serviceOf(
  { store, loaded, log }: Core,
  id: string,
): Promise<ReadonlyMap<string, Service>> {
  const { services, ca } = loaded.configuration
  const serviceId = (await store.findCredential(id))?.serviceId ?? ''
  const settings = Object.hasOwn(services, serviceId) ? services[serviceId] : undefined
  return createServices(settings === undefined ? {} : { [serviceId]: settings }, {
    endEntityLifetimeSeconds: ca.end_entity_lifetime_seconds,
    log,
  })
}

async function reportRevocation(
  terminal: Terminal,
  { crls }: Core,
  { json, revocation }: { readonly json: boolean; readonly revocation: Revocation },
): Promise<void> {
  const { credentialId: id, endEntitySerial, affectedCredentialIds, newlyRevoked } = revocation
  const crl = endEntitySerial === undefined ? undefined : await crls.current()
  if (json) {
    terminal.out(
      `${JSON.stringify({ id, end_entity_serial: endEntitySerial ?? null, newly_revoked: newlyRevoked, affected: affectedCredentialIds, crl_number: crl?.number ?? null }, null, 2)}\n`,
    )
    return
  }
  if (crl === undefined || endEntitySerial === undefined) {
    terminal.note(newlyRevoked ? 'Revoked.' : 'The credential was already revoked.')
    return
  }
  terminal.note(
    newlyRevoked
      ? `Revoked: EEC ${endEntitySerial} is on CRL number ${crl.number}; ${affectedCredentialIds.length} credential(s) are revoked with it. Sites get the new CRL when fetch-crl runs next.`
      : `The credential was already revoked; EEC ${endEntitySerial} is on CRL number ${crl.number}.`,
  )
}

async function audit(
  terminal: Terminal,
  options: OperatorOptions & { readonly refused?: boolean; readonly limit?: number },
): Promise<void> {
  await withCore(terminal, options, async ({ store }) => {
    const records = await store.listAudit({
      ...(options.refused ? { outcome: 'refused' as const } : {}),
      ...(options.limit === undefined ? {} : { limit: options.limit }),
    })
    if (options.json) terminal.out(`${JSON.stringify(records, null, 2)}\n`)
    else for (const record of records) terminal.out(auditLine(record))
    if (records.length === 0) terminal.note('There are no audit records.')
  })
}

function auditLine(record: AuditRecord): string {
  const who =
    record.sub === undefined ? '-' : `${JSON.stringify(record.sub)} of ${record.issuer ?? '?'}`
  const why = [record.code, record.check, record.detail]
    .filter((part) => part !== undefined)
    .join(', ')
  return `${record.at.toISOString()}  ${record.event}  ${record.origin.address}  ${who}${why === '' ? '' : `  ${why}`}\n`
}
