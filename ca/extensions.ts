/**
 * Certificate extensions that this library writes: identifiers and values (RFC 5280 section 4.2, RFC 3820 section 3.8).
 */
import {
  type Asn1Node,
  booleanTrue,
  encode,
  explicit,
  implicitConstructed,
  implicitPrimitive,
  namedBits,
  octetString,
  oid,
  sequence,
  smallInteger,
} from './asn1.ts'
import { CaError } from './errors.ts'
import type { PublicKey } from './public-key.ts'

/** Extension identifiers in dotted form. */
export const extensionOids = {
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  crlNumber: '2.5.29.20',
  reasonCode: '2.5.29.21',
  crlDistributionPoints: '2.5.29.31',
  certificatePolicies: '2.5.29.32',
  authorityKeyIdentifier: '2.5.29.35',
  extKeyUsage: '2.5.29.37',
  proxyCertInfo: '1.3.6.1.5.5.7.1.14',
} as const

/** Bits of keyUsage by name (RFC 5280 section 4.2.1.3). */
export const keyUsageBits = {
  digitalSignature: 0,
  nonRepudiation: 1,
  keyEncipherment: 2,
  dataEncipherment: 3,
  keyAgreement: 4,
  keyCertSign: 5,
  cRLSign: 6,
} as const
export type KeyUsage = keyof typeof keyUsageBits

/** Kinds of proxy that we issue, and their policy languages (RFC 3820 section 3.8.1; the limited one is Globus's). */
export const proxyPolicyLanguages = {
  impersonation: '1.3.6.1.5.5.7.21.1',
  independent: '1.3.6.1.5.5.7.21.2',
  limited: '1.3.6.1.4.1.3536.1.1.1.9',
} as const
export type ProxyType = keyof typeof proxyPolicyLanguages

function extension(id: keyof typeof extensionOids, critical: boolean, value: Asn1Node): Asn1Node {
  return sequence(
    oid(extensionOids[id]),
    critical ? booleanTrue() : undefined,
    octetString(encode(value)),
  )
}

/** basicConstraints, critical: a CA with its path length, or an end entity. */
export function basicConstraints(authority?: {
  readonly pathLength: number | undefined
}): Asn1Node {
  const pathLength =
    authority?.pathLength === undefined ? undefined : smallInteger(authority.pathLength)
  return extension(
    'basicConstraints',
    true,
    sequence(authority ? booleanTrue() : undefined, pathLength),
  )
}

/** keyUsage, critical. */
export function keyUsage(usages: readonly KeyUsage[]): Asn1Node {
  return extension('keyUsage', true, namedBits(usages.map((usage) => keyUsageBits[usage])))
}

/** extKeyUsage clientAuth, not critical. */
export function clientAuthentication(): Asn1Node {
  return extension('extKeyUsage', false, sequence(oid('1.3.6.1.5.5.7.3.2')))
}

/** keyUsage of an end entity, critical: digitalSignature, and keyEncipherment for RSA keys, as in TLS 1.2. */
export function endEntityKeyUsage({ kind }: Pick<PublicKey, 'kind'>): Asn1Node {
  return keyUsage(
    kind.startsWith('rsa') ? ['digitalSignature', 'keyEncipherment'] : ['digitalSignature'],
  )
}

/** extKeyUsage serverAuth and clientAuth, not critical. */
export function serverAndClientAuthentication(): Asn1Node {
  return extension(
    'extKeyUsage',
    false,
    sequence(oid('1.3.6.1.5.5.7.3.1'), oid('1.3.6.1.5.5.7.3.2')),
  )
}

/** extKeyUsage copied from another certificate, not critical. */
export function sameExtendedKeyUsage(value: Buffer): Asn1Node {
  return sequence(oid(extensionOids.extKeyUsage), octetString(value))
}

/** subjectKeyIdentifier, not critical. */
export function subjectKeyIdentifier(keyId: Buffer): Asn1Node {
  return extension('subjectKeyIdentifier', false, octetString(keyId))
}

/** authorityKeyIdentifier by key id only, not critical. */
export function authorityKeyIdentifier(keyId: Buffer): Asn1Node {
  return extension('authorityKeyIdentifier', false, sequence(implicitPrimitive(0, keyId)))
}

/** certificatePolicies: identifiers only, and never critical, since Globus refuses that. */
export function certificatePolicies(policyOids: readonly string[]): Asn1Node {
  return extension(
    'certificatePolicies',
    false,
    sequence(...policyOids.map((dotted) => sequence(oid(dotted)))),
  )
}

/** `[6]` of a GeneralName: an IA5String, so ASCII without spaces (RFC 3986). */
function uriName(uri: string): Asn1Node {
  if (!/^[\x21-\x7e]+$/.test(uri)) {
    throw new CaError(
      'bad_name',
      'a URI in a certificate may contain only visible ASCII characters',
      {
        field: 'URI',
        reason: 'bad_value',
      },
    )
  }
  return implicitPrimitive(6, Buffer.from(uri, 'latin1'))
}

/** cRLDistributionPoints with one URL, not critical. @throws {CaError} `bad_name` */
export function crlDistributionPoint(url: string): Asn1Node {
  const uri = uriName(url)
  const fullName = implicitConstructed(0, [implicitConstructed(0, [uri])])
  return extension('crlDistributionPoints', false, sequence(sequence(fullName)))
}

/** subjectAltName with one URI, not critical. @throws {CaError} `bad_name` */
export function subjectAltNameUri(uri: string): Asn1Node {
  return extension('subjectAltName', false, sequence(uriName(uri)))
}

/** subjectAltName with one DNS name, not critical. */
export function subjectAltNameDns(host: string): Asn1Node {
  return extension('subjectAltName', false, sequence(implicitPrimitive(2, Buffer.from(host))))
}

/** ProxyCertInfo, critical; no policy octets, which Globus refuses and RFC 3820 section 3.8.2 forbids here. */
export function proxyCertInfo(type: ProxyType, pathLength: number | undefined): Asn1Node {
  const policy = sequence(oid(proxyPolicyLanguages[type]))
  const value = sequence(pathLength === undefined ? undefined : smallInteger(pathLength), policy)
  return extension('proxyCertInfo', true, value)
}

/** crlNumber, not critical (RFC 5280 section 5.2.3). */
export function crlNumber(number: number): Asn1Node {
  return extension('crlNumber', false, smallInteger(number))
}

/** reasonCode of a CRL entry, not critical (RFC 5280 section 5.3.1). */
export function reasonCode(value: Asn1Node): Asn1Node {
  return extension('reasonCode', false, value)
}

/** `[3] EXPLICIT Extensions` of a certificate. */
export function extensionsField(extensions: readonly Asn1Node[]): Asn1Node {
  return explicit(3, sequence(...extensions))
}
