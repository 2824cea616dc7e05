/** `tts credential revoke`: revokes one credential, or all that a filter selects. */
import { Command, Option } from 'commander'
import { revocationReasons } from '../../ca/crl.ts'
import { TtsError } from '../base/errors.ts'
import type { CredentialFilter, CredentialView, Revocation } from '../domain/records.ts'
import { cliOrigin } from '../domain/operator-audit.ts'
import { createServices, type Service } from '../domain/issuing/service.ts'
import { readReason, revokeCredential } from '../domain/revocation/credentials.ts'
import type { Core } from '../service/compose.ts'
import { publishedIssuerOf } from '../service/published-issuer.ts'
import { addFilterOptions, type FilterOptions, isFiltered, recordFilter } from './record-filter.ts'
import { type OperatorOptions, quietLog, type Terminal, withCore } from './terminal.ts'

interface RevokeOptions extends OperatorOptions, FilterOptions {
  readonly reason: string
  readonly yes?: boolean
}

export function revokeCommand(terminal: Terminal): Command {
  return addFilterOptions(new Command('revoke'))
    .argument('[id]', 'id of a credential; without it, the options select credentials')
    .description(
      'revoke the EEC of a credential, and with it every proxy that the EEC signed; or of all credentials that the options select',
    )
    .addOption(
      new Option('--reason <REASON>', 'reason in the CRL')
        .choices(Object.keys(revocationReasons))
        .default('unspecified'),
    )
    .option('--yes', 'revoke all that the options select; without it they are only counted')
    .action((id: string | undefined, _options, self: Command) =>
      id === undefined
        ? revokeSelected(terminal, self.optsWithGlobals())
        : revokeOne(terminal, self.optsWithGlobals(), id),
    )
}

async function revokeOne(terminal: Terminal, options: RevokeOptions, id: string): Promise<void> {
  await withCore(terminal, options, async (core) => {
    const revocation = await revokeHere(core, { id, reason: options.reason, terminal })
    await reportRevocation(terminal, core, { json: options.json === true, revocation })
  })
}

const PAGE = 500

async function revokeSelected(terminal: Terminal, options: RevokeOptions): Promise<void> {
  const filter = recordFilter(options, terminal.now())
  if (!isFiltered(filter))
    throw new TtsError('invalid_request', 'name a credential, or select credentials with options', {
      remedy: 'See `tts credential revoke --help`.',
    })
  await withCore(terminal, options, async (core) => {
    const credentials = await activeCredentials(core, filter)
    if (options.yes !== true) {
      const users = new Set(credentials.map(({ identity }) => identity.id)).size
      terminal.note(
        `${credentials.length} valid credential(s) of ${users} user(s) are selected. Nothing was revoked: add --yes to revoke them.`,
      )
      return
    }
    const result = await revokeAll(core, credentials, { reason: options.reason, terminal })
    const crl = await core.crls.current()
    if (options.json)
      terminal.out(`${JSON.stringify({ ...result, crl_number: crl.number }, null, 2)}\n`)
    else
      terminal.note(
        `Revoked ${result.revoked} credential(s); CRL number ${crl.number} has them. Sites get it when fetch-crl runs next.`,
      )
    for (const line of result.failures) terminal.note(`not revoked: ${line}`)
    if (result.failures.length > 0)
      throw new TtsError('conflict', `${result.failures.length} credential(s) are not revoked`)
  })
}

async function activeCredentials(
  { store, now }: Core,
  filter: CredentialFilter,
): Promise<readonly CredentialView[]> {
  const all: CredentialView[] = []
  for (let after: string | undefined; ;) {
    const page = await store.listCredentials({
      ...filter,
      activeAt: now(),
      limit: PAGE,
      ...(after !== undefined && { after }),
    })
    all.push(...page)
    after = page.at(-1)?.id
    if (page.length < PAGE) return all
  }
}

async function revokeAll(
  core: Core,
  credentials: readonly CredentialView[],
  { reason, terminal }: { readonly reason: string; readonly terminal: Terminal },
): Promise<{ readonly revoked: number; readonly failures: readonly string[] }> {
  const failures: string[] = []
  const revokedIds = new Set<string>()
  for (const { id } of credentials) {
    // Revoking an EEC revokes the other credentials under it, too.
    if (revokedIds.has(id)) continue
    try {
      const { affectedCredentialIds } = await revokeHere(core, { id, reason, terminal }, noCrl)
      for (const affected of [id, ...affectedCredentialIds]) revokedIds.add(affected)
    } catch (error) {
      if (!(error instanceof TtsError)) throw error
      failures.push(`${id}: ${error.message}`)
    }
  }
  return { revoked: revokedIds.size, failures }
}

/** One CRL after all revocations is enough. */
export const noCrl = { current: async () => undefined }

/** Revokes a credential from the command line. */
export async function revokeHere(
  core: Core,
  {
    id,
    reason,
    terminal,
  }: { readonly id: string; readonly reason: string; readonly terminal: Terminal },
  crls: { current(): Promise<unknown> } = core.crls,
): Promise<Revocation> {
  return revokeCredential(
    // Only the running service has stored EEC keys in memory. The database makes it refuse the revoked EEC at the next
    // use.
    {
      ...core,
      crls,
      endEntities: { forget: () => undefined },
      services: await serviceOf(core, id),
      verifier: { publishedIssuer: (issuer) => publishedIssuerOf(core, issuer) },
    },
    {
      id,
      identity: undefined,
      reason: readReason(reason),
      origin: cliOrigin,
      signal: new AbortController().signal,
      log: quietLog(terminal),
      dropOrphan: core.loaded.configuration.watts.allow_dropping_credentials,
    },
  )
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
    vos: [],
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
