/**
 * VOMS attributes: `decide` is the only function that decides which attributes of a VO somebody gets, in proxies and
 * from the VOMS server, and `certify` makes the attribute certificate.
 */
import type { Certificate, Validity } from '../../../ca/certificate.ts'
import { serialFrom } from '../../../ca/serial.ts'
import { nestedValidity } from '../../../ca/validity.ts'
import {
  type AttributeAuthority,
  ATTRIBUTES_SERIAL_BYTES,
  issueAttributeCertificate,
  MAX_FQANS,
} from '../../../ca/voms/attribute-certificate.ts'
import { type Fqan, formatFqan } from '../../../ca/voms/fqan.ts'
import type { VomsRequest } from '../../../plugins/plugin.ts'
import { TtsError } from '../../base/errors.ts'
import type { Claims } from '../../tokens/claim-values.ts'
import type { Identity } from '../records.ts'
import { statedGroups } from './known-groups.ts'
import { fqansOf, selectFqans, type VirtualOrganisation } from './organisations.ts'
import { includes, type PresentedAttributes } from './presented.ts'
import type { KnownGroups, KnownGroupsRecords } from './records.ts'

/** Who asks for attributes. */
export interface AttributesCaller {
  readonly identity: Pick<Identity, 'id' | 'issuer'>
  /** The claims of the caller's token; undefined: the caller has shown a certificate, and the newest token counts. */
  readonly claims: Claims | undefined
  /** Attributes in the certificate that the caller has shown. Of the same VO, there are no others than these. */
  readonly presented?: PresentedAttributes | undefined
}

/** Attributes that may be certified. */
export interface GrantedAttributes {
  readonly organisation: VirtualOrganisation
  readonly fqans: readonly Fqan[]
  /** Whether the caller has more, which the attributes in the presented certificate do not allow. */
  readonly isSubset: boolean
  /** No attribute certificate may end later. */
  readonly until: Date
}

/** For which certificate, and for how long. */
export interface CertifiedFor {
  readonly endEntity: Certificate
  /** The attribute certificate ends with it. */
  readonly within: Validity
  /** Undefined: as long as possible. */
  readonly lifetimeSeconds?: number | undefined
  readonly targets?: readonly string[]
}

export interface Attributes {
  readonly organisations: ReadonlyMap<string, VirtualOrganisation>
  /**
   * Decides.
   *
   * @throws {TtsError} `invalid_request`, check `voms_vo` (no such VO); `access_denied`, checks `voms_membership` (not
   *   a member), `voms_outdated` (was one, but the token is too old), `voms_fqan` (an FQAN is not the caller's),
   *   `voms_presented` (the presented certificate has attributes, and none of the requested)
   * @throws {TtsError} `store_unavailable`
   */
  decide(caller: AttributesCaller, request: VomsRequest): Promise<GrantedAttributes>
  /** Returns the attribute certificate in DER. @throws {TtsError} `store_unavailable` */
  certify(granted: GrantedAttributes, request: CertifiedFor): Promise<Buffer>
}

export interface AttributesDependencies {
  readonly organisations: ReadonlyMap<string, VirtualOrganisation>
  readonly records: Pick<KnownGroupsRecords, 'find'>
  readonly authority: () => Promise<AttributeAuthority>
  readonly now: () => Date
  readonly randomBytes: (size: number) => Buffer
}

/** Attributes that would end sooner are not given. */
const LEAST_LIFE_MS = 60_000

export function createAttributes(dependencies: AttributesDependencies): Attributes {
  const { organisations, authority, now, randomBytes } = dependencies
  return {
    organisations,
    async decide(caller, { vo, fqans: requested }) {
      const organisation = organisations.get(vo)
      if (organisation === undefined) throw unknownOrganisation([...organisations.keys()])
      const known = await groupsOf(dependencies, caller, organisation)
      const available = known === undefined ? [] : fqansOf(organisation, known)
      if (known === undefined || available.length === 0) throw notMember(vo)
      const until = new Date(known.statedAt.getTime() + organisation.groupsValidSeconds * 1000)
      if (until.getTime() - now().getTime() < LEAST_LIFE_MS) throw outdated(organisation)
      const { fqans: selected, missing } = selectFqans(available, requested)
      if (missing.length > 0) throw notYours(missing, available)
      const allowed = caller.presented?.get(vo)
      const fqans = selected.filter((fqan) => allowed === undefined || includes(allowed, fqan))
      if (fqans.length === 0) throw notPresented(vo)
      const isSubset = fqans.length < selected.length
      return { organisation, fqans: fqans.slice(0, MAX_FQANS), isSubset, until }
    },
    async certify({ organisation, fqans, until }, request) {
      const { endEntity, within, targets = [] } = request
      const issuer = await authority()
      const { maximumLifetimeSeconds, server } = organisation
      const lifetimeSeconds = Math.min(
        request.lifetimeSeconds ?? maximumLifetimeSeconds,
        maximumLifetimeSeconds,
      )
      const bounds = [within, endEntity.validity, issuer.certificate.validity]
      return issueAttributeCertificate(issuer, {
        holder: endEntity,
        server,
        fqans,
        targets,
        validity: nestedValidity(now(), lifetimeSeconds, common(bounds, until)),
        serial: serialFrom(randomBytes, ATTRIBUTES_SERIAL_BYTES),
      })
    },
  }
}

/** The time in which all of these are valid, at most until `until`. */
function common(bounds: readonly Validity[], until: Date): Validity {
  const begins = bounds.map(({ notBefore }) => notBefore.getTime())
  const ends = bounds.map(({ notAfter }) => notAfter.getTime())
  return {
    notBefore: new Date(Math.max(...begins)),
    notAfter: new Date(Math.min(...ends, until.getTime())),
  }
}

async function groupsOf(
  { records, now }: AttributesDependencies,
  { identity, claims }: AttributesCaller,
  organisation: VirtualOrganisation,
): Promise<KnownGroups | undefined> {
  // Another provider could put any group into its tokens.
  if (identity.issuer !== organisation.issuer) return undefined
  if (claims !== undefined) return statedGroups(claims, organisation.claims, now())
  return records.find(identity.id)
}

function unknownOrganisation(known: readonly string[]): TtsError {
  return new TtsError(
    'invalid_request',
    known.length === 0
      ? 'voms: this service issues no VOMS attributes'
      : `voms: this service issues no attributes of this VO; it does for ${known.join(', ')}`,
    { check: 'voms_vo', remedy: 'Add the VO to voms.vos.' },
  )
}

function notMember(vo: string): TtsError {
  return new TtsError('access_denied', `you are not a member of the VO ${vo}`, {
    check: 'voms_membership',
    remedy: `Compare the groups in the token (\`tts authz explain\`) with voms.vos.${vo}: its provider, claims and fqans.`,
  })
}

function outdated({ server: { vo } }: VirtualOrganisation): TtsError {
  return new TtsError(
    'access_denied',
    `your groups in the VO ${vo} were last seen too long ago: come again with a new access token`,
    {
      check: 'voms_outdated',
      remedy: `Raise voms.vos.${vo}.groups_valid_seconds if groups may count longer.`,
    },
  )
}

/** The error for FQANs that the presented proxy does not allow. */
export function notPresented(vo: string): TtsError {
  return new TtsError(
    'access_denied',
    `your proxy has attributes of the VO ${vo} already, and not the requested ones`,
    {
      check: 'voms_presented',
      remedy:
        'Use a proxy without attributes of this VO, for new ones never exceed those in the proxy.',
    },
  )
}

function notYours(missing: readonly Fqan[], available: readonly Fqan[]): TtsError {
  const list = (fqans: readonly Fqan[]): string => fqans.slice(0, 20).map(formatFqan).join(', ')
  return new TtsError(
    'access_denied',
    `you do not have ${list(missing)}; you have ${list(available)}`,
    {
      check: 'voms_fqan',
      remedy: 'Ask for FQANs that you have, or for none: then you get those of your groups.',
    },
  )
}
