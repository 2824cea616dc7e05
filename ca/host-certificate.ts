/** Certificates of hosts: for the TLS servers of the service, and for its attribute authorities. */
import type { Asn1Node } from './asn1.ts'
import type { Authority } from './authority.ts'
import { issuerKeyId, type Validity } from './certificate.ts'
import { CaError } from './errors.ts'
import {
  authorityKeyIdentifier,
  basicConstraints,
  crlDistributionPoint,
  endEntityKeyUsage,
  serverAndClientAuthentication,
  subjectAltNameDns,
  subjectKeyIdentifier,
} from './extensions.ts'
import { type DistinguishedName, nameNode, startsWithName, withCommonName } from './name.ts'
import type { PublicKey } from './public-key.ts'
import { signCertificate } from './sign-certificate.ts'
import { isNested } from './validity.ts'

export interface HostRequest {
  /** The name's beginning; a CN with the host name is added. */
  readonly base: DistinguishedName
  readonly host: string
  /** RSA: VOMS, MyProxy and Globus clients of today read other keys too, older ones do not. */
  readonly publicKey: PublicKey
  readonly validity: Validity
  readonly serial: Buffer
  /** URL of the CRL in DER, plain http (RFC 5280 section 8); undefined: none. */
  readonly crlUrl: string | undefined
}

/**
 * Fully qualified host names in lower case. At most 64 characters (RFC 5280, ub-common-name), because grid clients
 * compare the CN.
 */
export const hostNamePattern =
  /^(?=.{1,64}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/

/** The name of a host. No user has it: their names have an `@`. */
export function hostSubject(base: DistinguishedName, host: string): DistinguishedName {
  return withCommonName(base, host)
}

/**
 * Issues a host certificate and returns its DER.
 *
 * @throws {CaError} `bad_name`, `bad_lifetime`, `self_check_failed`
 * @see RFC 5280 section 4.2, RFC 6125 section 6.4
 * @example
 * const base = parseSlashDn('/C=EU/O=Example')
 * const request = { base, host: 'voms.example.org', publicKey, validity, serial, crlUrl: undefined }
 * const { subject } = readCertificate(await issueHostCertificate(authority, request))
 * formatSlashDn(subject) // => '/C=EU/O=Example/CN=voms.example.org'
 */
export async function issueHostCertificate(
  authority: Authority,
  request: HostRequest,
): Promise<Buffer> {
  const { base, host, validity, publicKey, serial } = request
  const subject = hostSubject(base, host)
  if (!hostNamePattern.test(host))
    throw new CaError(
      'bad_name',
      'a host must be a DNS name in lower case, at most 64 characters',
      {
        field: 'host',
        reason: 'bad_value',
      },
    )
  if (startsWithName(subject, authority.certificate.subject))
    throw new CaError('bad_name', 'the name of a host must not begin with the name of its CA', {
      field: 'base',
      reason: 'bad_value',
    })
  if (!isNested(validity, authority.certificate.validity))
    throw new CaError('bad_lifetime', 'the validity of a host must be within that of its CA', {
      field: 'validity',
      reason: 'not_nested',
    })
  const template = {
    serial,
    issuer: authority.certificate.subjectNode,
    subject: nameNode(subject),
    validity,
    publicKey,
    extensions: hostExtensions(authority, request),
  }
  return signCertificate(template, authority.signer)
}

function hostExtensions(
  { certificate, signer }: Authority,
  { host, publicKey, crlUrl }: HostRequest,
): readonly Asn1Node[] {
  return [
    basicConstraints(),
    endEntityKeyUsage(publicKey),
    serverAndClientAuthentication(),
    subjectKeyIdentifier(publicKey.keyId),
    authorityKeyIdentifier(issuerKeyId(certificate, signer.publicKey)),
    ...(crlUrl === undefined ? [] : [crlDistributionPoint(crlUrl)]),
    subjectAltNameDns(host),
  ]
}
