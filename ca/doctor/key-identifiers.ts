/** Rules on key identifiers: a certificate names the key, or issuer and serial number, of the CA that signed it. */
import type { Asn1Node } from '../asn1.ts'
import { childrenOf, contentOf, decode, hasContextTag } from '../asn1-read.ts'
import { type Certificate, findExtension } from '../certificate.ts'
import type { Link } from '../chain-link.ts'
import { CaError } from '../errors.ts'
import { extensionOids } from '../extensions.ts'
import { type DoctorContext, type DoctorRule, nameOf, type Problem } from './context.ts'
import { globus, java, openssl, plainOpenssl, type RelyingParty } from './relying-parties.ts'
import { isSignedBy } from './signatures.ts'
import { sameNode } from './trust-lookup.ts'

const what = 'authorityKeyIdentifier'

/** The parts of an authorityKeyIdentifier; empty when there is none, or when it cannot be read. */
function authorityOf(value: Buffer | undefined): readonly Asn1Node[] {
  if (value === undefined) return []
  try {
    return childrenOf(decode(value, what), what)
  } catch (error) {
    if (error instanceof CaError) return []
    throw error
  }
}

function subjectKeyOf(issuer: Certificate): Buffer | undefined {
  const own = findExtension(issuer, extensionOids.subjectKeyIdentifier)?.value
  try {
    return own && contentOf(decode(own, 'key'), 'key')
  } catch (error) {
    if (error instanceof CaError) return undefined
    throw error
  }
}

const part = (parts: readonly Asn1Node[], number: number): Asn1Node | undefined =>
  parts.find((node) => hasContextTag(node, number))

/**
 * Whether the value of an authorityKeyIdentifier names another key than that of a CA.
 *
 * @param value - of a certificate or a CRL, in DER; undefined if it has none
 * @see RFC 5280 section 4.2.1.1
 */
export function identifiesOtherKey(value: Buffer | undefined, issuer: Certificate): boolean {
  const keyId = part(authorityOf(value), 0)
  const own = subjectKeyOf(issuer)
  return keyId !== undefined && own !== undefined && !contentOf(keyId, what).equals(own)
}

/** As {@link identifiesOtherKey}, of a certificate. */
export function namesOtherKey(certificate: Certificate, issuer: Certificate): boolean {
  const extension = findExtension(certificate, extensionOids.authorityKeyIdentifier)
  return identifiesOtherKey(extension?.value, issuer)
}

/** What an authorityKeyIdentifier says that is not so of the certificate that signed. */
type Mismatch = 'key' | 'serial number' | 'issuer'

function mismatchOf(certificate: Certificate, issuer: Certificate): Mismatch | undefined {
  if (namesOtherKey(certificate, issuer)) return 'key'
  const parts = authorityOf(findExtension(certificate, extensionOids.authorityKeyIdentifier)?.value)
  const serial = part(parts, 2)
  if (serial !== undefined && contentOf(serial, what).toString('hex') !== issuer.serial)
    return 'serial number'
  const names = part(parts, 1)
  const directoryName = names && childrenOf(names, what).find((name) => hasContextTag(name, 4))
  const [issuerOfIssuer] = directoryName ? childrenOf(directoryName, what) : []
  return issuerOfIssuer && !sameNode(issuerOfIssuer, issuer.issuerNode) ? 'issuer' : undefined
}

/** Java compares for the certificate that a CA of the directory signed; caNl-C not for proxies. */
function partiesFor(
  { proxies, endEntity }: DoctorContext,
  link: Link,
  mismatch: Mismatch,
): readonly RelyingParty[] {
  if (proxies.includes(link)) return [...plainOpenssl, ...globus]
  return link === endEntity && mismatch !== 'issuer'
    ? [...openssl, ...globus, ...java]
    : [...openssl, ...globus]
}

/** Each certificate of the chain with the one that signed it; a root with itself. */
function signedPairs({ chain }: DoctorContext): readonly (readonly [Link, Link])[] {
  return chain.flatMap((link, index) => {
    const { subjectNode, issuerNode } = link.certificate
    const issuer = chain[index + 1] ?? (sameNode(subjectNode, issuerNode) ? link : undefined)
    return issuer && isSignedBy(link.certificate, issuer.certificate) ? [[link, issuer]] : []
  })
}

export const keyIdentifierRules: readonly DoctorRule[] = [
  {
    id: 'key-identifier-mismatch',
    severity: 'refuses',
    relyingParties: [...openssl, ...globus, ...java],
    check: (context) =>
      signedPairs(context).flatMap(([link, issuer]): readonly Problem[] => {
        const mismatch = mismatchOf(link.certificate, issuer.certificate)
        if (mismatch === undefined) return []
        return [
          {
            sentence: `The certificate ${nameOf(link)} was signed by ${nameOf(issuer)}, but its authorityKeyIdentifier names another ${mismatch}.`,
            relyingParties: partiesFor(context, link, mismatch),
          },
        ]
      }),
    remedy:
      'Have the certificate reissued. For a proxy, request a new one; for a CA, install the certificate that the identifier names.',
  },
]
