/** Rules on key identifiers: a certificate names the key, or issuer and serial number, of the CA that signed it. */
import type { Asn1Node } from '../asn1.ts'
import { childrenOf, contentOf, decode, hasContextTag } from '../asn1-read.ts'
import { type Certificate, findExtension } from '../certificate.ts'
import type { Link } from '../chain-link.ts'
import { extensionOids } from '../extensions.ts'
import { canonicalName } from '../name-hash.ts'
import { type DoctorContext, type DoctorRule, nameOf, type Problem } from './context.ts'
import { ifReadable } from '../readable.ts'
import { globus, java, openssl, plainOpenssl, type RelyingParty } from './relying-parties.ts'
import { isSignedBy } from './signatures.ts'
import { sameNode } from './trust-lookup.ts'

const what = 'authorityKeyIdentifier'

/** What an authorityKeyIdentifier names (RFC 5280 section 4.2.1.1). */
interface AuthorityKey {
  readonly keyId: Buffer | undefined
  /** Name of the issuer of the CA, in the form in which names are compared. */
  readonly issuer: Buffer | undefined
  /** Of the CA, content octets as hex. */
  readonly serial: string | undefined
}

/** Undefined if it cannot be read. */
function readAuthorityKey(value: Buffer): AuthorityKey | undefined {
  return ifReadable(() => {
    const parts = childrenOf(decode(value, what), what)
    const part = (number: number): Asn1Node | undefined =>
      parts.find((node) => hasContextTag(node, number))
    const [keyId, issuers, serial] = [part(0), part(1), part(2)]
    const directoryName =
      issuers && childrenOf(issuers, what).find((name) => hasContextTag(name, 4))
    const name = directoryName && childrenOf(directoryName, what)[0]
    return {
      keyId: keyId && contentOf(keyId, what),
      issuer: name && canonicalName(name),
      serial: serial && contentOf(serial, what).toString('hex'),
    }
  })
}

/** Whether there is an authorityKeyIdentifier, and it cannot be read. */
export const isUnreadable = (value: Buffer | undefined): boolean =>
  value !== undefined && readAuthorityKey(value) === undefined

function subjectKeyOf(issuer: Certificate): Buffer | undefined {
  const own = findExtension(issuer, extensionOids.subjectKeyIdentifier)?.value
  return own && ifReadable(() => contentOf(decode(own, 'key'), 'key'))
}

/**
 * Whether the value of an authorityKeyIdentifier names another key than that of a CA; false if it cannot be read.
 *
 * @param value - of a certificate or a CRL, in DER; undefined if it has none
 * @see RFC 5280 section 4.2.1.1
 */
export function identifiesOtherKey(value: Buffer | undefined, issuer: Certificate): boolean {
  const keyId = value && readAuthorityKey(value)?.keyId
  const own = subjectKeyOf(issuer)
  return keyId !== undefined && own !== undefined && !keyId.equals(own)
}

/** As {@link identifiesOtherKey}, of a certificate. */
export function namesOtherKey(certificate: Certificate, issuer: Certificate): boolean {
  return identifiesOtherKey(authorityKeyOf(certificate), issuer)
}

const authorityKeyOf = (certificate: Certificate): Buffer | undefined =>
  findExtension(certificate, extensionOids.authorityKeyIdentifier)?.value

/** What an authorityKeyIdentifier says that is not so of the certificate that signed. */
type Mismatch = 'key' | 'serial number' | 'issuer'

function mismatchOf(certificate: Certificate, issuer: Certificate): Mismatch | undefined {
  if (namesOtherKey(certificate, issuer)) return 'key'
  const value = authorityKeyOf(certificate)
  const named = value && readAuthorityKey(value)
  if (named === undefined) return undefined
  if (named.serial !== undefined && named.serial !== issuer.serial) return 'serial number'
  const isOther = named.issuer?.equals(canonicalName(issuer.issuerNode)) === false
  return isOther ? 'issuer' : undefined
}

/** Java compares for the certificate that a CA of the directory signed; caNl-C not for proxies. */
function partiesFor(
  { proxies, endEntity }: DoctorContext,
  link: Link,
  mismatch?: Mismatch,
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

const reissue =
  'Have the certificate reissued. For a proxy, request a new one; for a CA, install the certificate that the identifier names.'

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
    remedy: reissue,
  },
  {
    id: 'key-identifier-unreadable',
    severity: 'refuses',
    relyingParties: [...openssl, ...globus, ...java],
    check: (context) =>
      context.chain.flatMap((link): readonly Problem[] =>
        isUnreadable(authorityKeyOf(link.certificate))
          ? [
              {
                sentence: `The certificate ${nameOf(link)} has an authorityKeyIdentifier that cannot be read.`,
                relyingParties: partiesFor(context, link),
              },
            ]
          : [],
      ),
    remedy: reissue,
  },
]
