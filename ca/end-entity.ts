/** End-entity certificates (EECs), with a profile that all relying parties accept. */
import type { Asn1Node } from './asn1.ts'
import type { Authority } from './authority.ts'
import { issuerKeyId, type Validity } from './certificate.ts'
import { signCertificate } from './sign-certificate.ts'
import { CaError, type CaErrorDetails } from './errors.ts'
import {
  authorityKeyIdentifier,
  basicConstraints,
  certificatePolicies,
  clientAuthentication,
  crlDistributionPoint,
  endEntityKeyUsage,
  subjectAltNameUri,
  subjectKeyIdentifier,
} from './extensions.ts'
import type { FurtherExtension } from './further-extensions.ts'
import type { PublicKey } from './public-key.ts'
import { type DistinguishedName, lastCommonName, nameNode, startsWithName } from './name.ts'
import { isNested } from './validity.ts'

/** The settings that are the same for all EECs of an installation. */
export interface EndEntityProfile {
  /** URL of the CRL in DER, plain http (RFC 5280 section 8); undefined: none. */
  readonly crlUrl: string | undefined
  /** Policy identifiers to claim. Claim only true ones (those of IGTF need an accreditation). */
  readonly policyOids: readonly string[]
}

export interface EndEntityRequest {
  readonly subject: DistinguishedName
  readonly publicKey: PublicKey
  readonly validity: Validity
  readonly serial: Buffer
  readonly profile: EndEntityProfile
  /** URI for subjectAltName, ASCII; undefined: none. */
  readonly subjectUri?: string
  /** Extensions in addition to those of the profile; undefined: none. */
  readonly extensions?: readonly FurtherExtension[] | undefined
}

/**
 * Issues an EEC and returns its DER.
 *
 * @throws {CaError} `bad_name`, `bad_lifetime`, `bad_request`, `self_check_failed`
 * @see RFC 5280 section 4.2
 * @example
 * const subject = parseSlashDn('/C=EU/O=Example/CN=Bob')
 * const validity = nestedValidity(now, 11 * 86_400, authority.certificate.validity)
 * const serial = serialFrom(randomBytes, END_ENTITY_SERIAL_BYTES)
 * const profile = { crlUrl: 'http://ca.example.org/crl', policyOids: [] }
 * const der = await issueEndEntity(authority, { subject, publicKey, validity, serial, profile })
 * formatSlashDn(readCertificate(der).issuer) // => formatSlashDn(authority.certificate.subject)
 */
export async function issueEndEntity(
  authority: Authority,
  request: EndEntityRequest,
): Promise<Buffer> {
  const { subject, publicKey, validity, serial } = request
  checkSubject(subject, authority)
  if (!isNested(validity, authority.certificate.validity)) {
    throw new CaError('bad_lifetime', 'the validity of the EEC must be within that of its CA', {
      field: 'validity',
      reason: 'not_nested',
    })
  }
  const template = {
    serial,
    issuer: authority.certificate.subjectNode,
    subject: nameNode(subject),
    validity,
    publicKey,
    extensions: endEntityExtensions(authority, request),
    furtherExtensions: request.extensions,
  }
  return signCertificate(template, authority.signer)
}

function endEntityExtensions(authority: Authority, request: EndEntityRequest): readonly Asn1Node[] {
  const { publicKey, profile, subjectUri } = request
  // Only basicConstraints and keyUsage are critical: Globus refuses nearly every other critical extension.
  return [
    basicConstraints(),
    endEntityKeyUsage(publicKey),
    clientAuthentication(),
    subjectKeyIdentifier(publicKey.keyId),
    authorityKeyIdentifier(issuerKeyId(authority.certificate, authority.signer.publicKey)),
    ...(profile.policyOids.length > 0 ? [certificatePolicies(profile.policyOids)] : []),
    ...(profile.crlUrl === undefined ? [] : [crlDistributionPoint(profile.crlUrl)]),
    ...(subjectUri === undefined ? [] : [subjectAltNameUri(subjectUri)]),
  ]
}

function badSubject(message: string, details: Omit<CaErrorDetails, 'field'>): CaError {
  return new CaError('bad_name', message, { field: 'subject', ...details })
}

function checkSubject(subject: DistinguishedName, authority: Authority): void {
  const commonName = lastCommonName(subject)
  if (commonName === undefined)
    throw badSubject('the subject of an EEC must end in a CN', { reason: 'missing' })
  if (commonName.length === 0 || commonName.length > 64) {
    throw badSubject('the CN of an EEC must have 1 to 64 characters (RFC 5280, ub-common-name)', {
      reason: commonName.length === 0 ? 'too_small' : 'too_large',
      limit: commonName.length === 0 ? 1 : 64,
      actual: commonName.length,
    })
  }
  if (subject.some((rdn) => rdn.length !== 1)) {
    throw badSubject('the subject of an EEC must have one attribute in each RDN', {
      reason: 'too_many',
    })
  }
  // Relying parties write a slash in three ways, so no grid-map entry would match everywhere. Control characters end
  // lines and strings.
  // oxlint-disable-next-line no-control-regex -- these are refused
  if (subject.flat().some(({ value }) => /[\x00-\x1f\x7f/]/.test(value.toString()))) {
    throw badSubject('the subject of an EEC must not contain a slash or a control character', {
      reason: 'bad_value',
    })
  }
  // Globus treats CN=proxy and CN=limited proxy as a legacy proxy, arcproxy a CN of digits as an RFC 3820 one.
  if (/^(limited )?proxy$/i.test(commonName) || /^\d+$/.test(commonName)) {
    throw badSubject('the CN of an EEC must not look like that of a proxy', { reason: 'bad_value' })
  }
  // XRootD treats an EEC whose name begins with the CA's whole name as a proxy of the CA.
  if (startsWithName(subject, authority.certificate.subject)) {
    throw badSubject('the subject of an EEC must not begin with the subject of its CA', {
      reason: 'bad_value',
    })
  }
}
