/** Creates the host certificate and the virtual organisations; see compose.ts. */
import { randomBytes } from 'node:crypto'
import { toPem } from '../../ca/pem.ts'
import { parseFqan } from '../../ca/voms/fqan.ts'
import type { Authority } from '../../ca/authority.ts'
import type { Certificate } from '../../ca/certificate.ts'
import type { DistinguishedName } from '../../ca/name.ts'
import type { LoadedConfiguration } from '../config/load.ts'
import { withoutTrailingSlash } from '../config/provider-schema.ts'
import type { Configuration } from '../config/schema.ts'
import { type OrganisationSettings, REST, vomsHost } from '../config/voms-schema.ts'
import {
  createHostCertificate,
  type HeldHostCertificate,
  type HostCertificate,
  type HostCertificateDependencies,
} from '../domain/host-certificate.ts'
import { GROUP_CLAIMS } from '../domain/bans/groups.ts'
import type { Store } from '../domain/store.ts'
import { type Attributes, createAttributes } from '../domain/voms/attributes.ts'
import { vomsClientFiles, type VomsClientFile } from '../domain/voms/client-files.ts'
import { createGroupMemory, type GroupMemory } from '../domain/voms/known-groups.ts'
import type { OrganisationRule, VirtualOrganisation } from '../domain/voms/organisations.ts'
import { TtsError } from '../base/errors.ts'
import type { HeldTls, HeldTlsSource } from '../http/held-tls.ts'

/** What the VOs need of the opened installation. */
interface VomsSource extends Omit<
  HostCertificateDependencies,
  'randomBytes' | 'host' | 'base' | 'crlUrl'
> {
  readonly loaded: Pick<LoadedConfiguration, 'configuration'>
  readonly store: HostCertificateDependencies['store'] & Pick<Store, 'knownGroups'>
  readonly endEntityBase: DistinguishedName
  readonly crlUrlOf: () => string | undefined
}

export interface AssembledVoms {
  readonly attributes: Attributes
  readonly groupMemory: GroupMemory
  /** Undefined when no setting says how the host is called. */
  readonly hostCertificate: HostCertificate | undefined
  /** The host certificate for TLS servers. @throws {TtsError} `store_unavailable` */
  readonly tls: HeldTlsSource
  /** The same with the root certificate at the end of the chain. */
  readonly tlsWithRoot: HeldTlsSource
}

export function assembleVoms(core: VomsSource): AssembledVoms {
  const { store, now } = core
  const hostCertificate = hostCertificateOf(core)
  const organisations = organisationsOf(core.loaded.configuration)
  const attributes = createAttributes({
    organisations,
    records: store.knownGroups,
    authority: async () => requireHost(hostCertificate).current(),
    now,
    randomBytes,
  })
  const groupMemory = createGroupMemory({
    organisations: organisations.values(),
    claimsOfAll: core.loaded.configuration.access_tokens.enabled ? GROUP_CLAIMS : [],
    records: store.knownGroups,
    now,
  })
  const { certificate, chain } = core.authority
  const authorities = [certificate, ...chain]
  const tlsWith = (above: readonly Certificate[]): HeldTlsSource => ({
    current: async () => tlsOf(await requireHost(hostCertificate).current(), above),
  })
  // Clients must have the root already, unless they take it from here (`myproxy-logon -b`).
  const tls = tlsWith(authorities.slice(0, -1))
  return { attributes, groupMemory, hostCertificate, tls, tlsWithRoot: tlsWith(authorities) }
}

function tlsOf(
  { certificate, keyPem }: HeldHostCertificate,
  above: readonly Certificate[],
): HeldTls {
  const certificatePem = [certificate, ...above]
    .map(({ der }) => toPem('CERTIFICATE', der))
    .join('')
  return { certificatePem, keyPem, end: certificate.validity.notAfter }
}

/** The configured VOs by name. */
export function organisationsOf({
  voms,
  listen,
  providers,
}: Configuration): ReadonlyMap<string, VirtualOrganisation> {
  const host = vomsHost(voms, listen.public_url)
  return new Map(
    Object.entries(voms.vos).map(([vo, settings]) => [
      vo,
      {
        server: { vo, host: host ?? '', port: settings.port },
        issuer: withoutTrailingSlash(providers[settings.provider]?.issuer ?? ''),
        claims: settings.claims,
        rules: rulesOf(vo, settings),
        maximumLifetimeSeconds: settings.maximum_lifetime_seconds,
        groupsValidSeconds: settings.groups_valid_seconds,
      },
    ]),
  )
}

function rulesOf(vo: string, { fqans }: OrganisationSettings): readonly OrganisationRule[] {
  const rules = fqans ?? [
    { group: vo, fqan: `/${vo}` },
    { group: `${vo}${REST}`, fqan: `/${vo}${REST}` },
  ]
  return rules.map(({ group, fqan }) => {
    const withBelow = group.endsWith(REST)
    const cut = (text: string): string => (withBelow ? text.slice(0, -REST.length) : text)
    return { group: cut(group).replace(/^\//, ''), fqan: parseFqan(cut(fqan)), withBelow }
  })
}

/** The files for VOMS clients and relying parties; none without VOs. */
export function vomsFilesOf(
  core: VomsSource & { readonly others: readonly { readonly authority: Authority }[] },
): readonly VomsClientFile[] {
  const { configuration } = core.loaded
  const host = hostCertificateOf(core)
  if (host === undefined) return []
  return vomsClientFiles({
    organisations: organisationsOf(configuration).values(),
    hostSubject: host.subject,
    authorities: [core, ...core.others].map(({ authority }) => authority),
    withServers: configuration.voms.listen !== undefined,
  })
}

/** The host certificate; undefined when no setting says how the host is called. */
export function hostCertificateOf(core: VomsSource): HostCertificate | undefined {
  const { loaded, store, authority, now, endEntityBase: base } = core
  const { voms, listen } = loaded.configuration
  const host = vomsHost(voms, listen.public_url)
  if (host === undefined) return undefined
  const crlUrl = core.crlUrlOf()
  return createHostCertificate({ store, authority, now, randomBytes, base, host, crlUrl })
}

function requireHost(hostCertificate: HostCertificate | undefined): HostCertificate {
  if (hostCertificate !== undefined) return hostCertificate
  throw new TtsError('internal', 'the host certificate has no name')
}
