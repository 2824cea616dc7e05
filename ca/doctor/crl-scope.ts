/** Rules on CRLs that a relying party cannot use for a certificate, although signature and times are good. */
import { type Asn1Node, encode } from '../asn1.ts'
import { childrenOf, decode, hasContextTag } from '../asn1-read.ts'
import { type Certificate, findExtension } from '../certificate.ts'
import { readLink } from '../chain-link.ts'
import type { Crl } from '../crl.ts'
import { extensionOids } from '../extensions.ts'
import type { DoctorContext, DoctorRule, Problem } from './context.ts'
import { crlsOf, issuersOf } from './crl.ts'
import { identifiesOtherKey, isUnreadable } from './key-identifiers.ts'
import { eachNeeded, type NeededAuthority } from './needed-authorities.ts'
import { ifReadable } from '../readable.ts'
import { crlRequiring, java, type RelyingParty } from './relying-parties.ts'
import { isCrlSignedBy } from './signatures.ts'
import { sameNode } from './trust-lookup.ts'

const ISSUING_DISTRIBUTION_POINT = '2.5.29.28'
const DELTA_CRL = '2.5.29.27'
/** Of an entry (RFC 5280 section 5.3.3). */
const CERTIFICATE_ISSUER = '2.5.29.29'

/** Why a party does not use a CRL. */
interface Objection {
  readonly why: string
  readonly relyingParties: readonly RelyingParty[]
  /** Whether a party that cannot use this CRL does not try another one. */
  readonly fails?: true
}

/** What is looked up in a CRL: OpenSSL looks up the root in its own CRL too, and Java only what it signed. */
interface LookedUp {
  readonly signed: Certificate
  readonly root: Certificate | undefined
}

const looking: readonly RelyingParty[] = [...crlRequiring, ...java]

function objectionsTo(
  crl: Crl,
  lookedUp: LookedUp,
  issuers: readonly Certificate[],
): readonly Objection[] {
  const authorityKey = valueOf(crl, extensionOids.authorityKeyIdentifier)
  // A CRL that another key signed is reported by its signature.
  const signing = issuers.filter((issuer) => isCrlSignedBy(crl, issuer))
  const namesOther =
    signing.length > 0 && signing.every((issuer) => identifiesOtherKey(authorityKey, issuer))
  return [
    ...criticalObjections(crl),
    ...scopeObjections(crl, lookedUp),
    ...(namesOther ? [{ why: 'names another key of the CA', relyingParties: crlRequiring }] : []),
    ...(isUnreadable(authorityKey)
      ? [{ why: 'has an authorityKeyIdentifier that cannot be read', relyingParties: crlRequiring }]
      : []),
  ]
}

const valueOf = ({ extensions }: Crl, oid: string): Buffer | undefined =>
  extensions.find((extension) => extension.oid === oid)?.value

function criticalObjections({ extensions, criticalExtensions }: Crl): readonly Objection[] {
  const ofList = extensions.filter(({ critical }) => critical).map(({ oid }) => oid)
  const ofEntries = criticalExtensions.slice(ofList.length)
  const forJava = ofList.filter((oid) => oid !== ISSUING_DISTRIBUTION_POINT && oid !== DELTA_CRL)
  const forOpenssl = [
    ...forJava.filter((oid) => oid !== extensionOids.authorityKeyIdentifier),
    ...ofEntries.filter((oid) => oid !== CERTIFICATE_ISSUER),
  ]
  return [
    { oids: forOpenssl, relyingParties: crlRequiring },
    { oids: forJava, relyingParties: java, fails: true as const },
  ].flatMap(({ oids, ...who }) =>
    oids.length > 0
      ? [{ why: `has the critical extension ${[...new Set(oids)].join(', ')}`, ...who }]
      : [],
  )
}

/** RFC 5280 section 5.2.5; software reads the extension whether it is critical or not. */
function scopeObjections(crl: Crl, { signed, root }: LookedUp): readonly Objection[] {
  const value = valueOf(crl, ISSUING_DISTRIBUTION_POINT)
  const parts = value && partsOf(value)
  if (parts === undefined) return []
  const part = (number: number): Asn1Node | undefined =>
    parts.find((node) => hasContextTag(node, number))
  const names = part(0)
  const isFor = (certificate: Certificate): boolean =>
    !part(isAuthority(certificate) ? 1 : 2) &&
    (names === undefined || isPublishedAt(certificate, names))
  if (part(5) !== undefined)
    return [{ why: 'is only for attribute certificates', relyingParties: looking }]
  return [
    ...(part(3) || part(4) || !isFor(signed) || (root && !isFor(root))
      ? [{ why: 'is not for all certificates of the CA', relyingParties: crlRequiring }]
      : []),
    ...(isFor(signed)
      ? []
      : [{ why: 'is not for all certificates of the CA', relyingParties: java }]),
  ]
}

function partsOf(value: Buffer): readonly Asn1Node[] | undefined {
  const what = 'issuingDistributionPoint'
  return ifReadable(() => childrenOf(decode(value, what), what))
}

function isAuthority(certificate: Certificate): boolean {
  return readLink(certificate).facts.authority
}

/** Whether the CRL's place is one of those in the certificate (RFC 5280 section 6.3.3). */
function isPublishedAt(certificate: Certificate, names: Asn1Node): boolean {
  const points = findExtension(certificate, extensionOids.crlDistributionPoints)?.value
  const [place] = typeof names.value === 'string' ? [] : names.value
  const own = place === undefined || typeof place.value === 'string' ? [] : place.value
  return points !== undefined && own.some((name) => points.includes(encode(name)))
}

/** What the parties say that can use none of a CA's CRLs; Java fails at one that it does not know in full. */
function problemsWith(context: DoctorContext, needed: NeededAuthority): readonly Problem[] {
  const issuers = issuersOf(context, needed)
  const root = issuers.find(({ subjectNode, issuerNode }) => sameNode(subjectNode, issuerNode))
  const files = crlsOf(context, needed).map(({ name, value }) => ({
    name,
    objections: objectionsTo(value, { signed: needed.signed, root }, issuers),
  }))
  const refuses = (party: RelyingParty): boolean => {
    const ofParty = files.map(({ objections }) =>
      objections.filter(({ relyingParties }) => relyingParties.includes(party)),
    )
    return ofParty.every((ofFile) => ofFile.length > 0) || ofParty.flat().some(({ fails }) => fails)
  }
  // Java takes the CA of the EEC from the directory, and looks no further.
  const refusing = (needed.nearest ? looking : crlRequiring).filter(refuses)
  return files.flatMap(({ name, objections }) =>
    objections.flatMap(({ why, relyingParties }) => {
      const parties = relyingParties.filter((party) => refusing.includes(party))
      const sentence = `The CRL ${name} of the CA ${needed.name} ${why}.`
      return parties.length > 0 ? [{ sentence, relyingParties: parties }] : []
    }),
  )
}

export const crlScopeRules: readonly DoctorRule[] = [
  {
    id: 'crl-not-usable',
    severity: 'refuses',
    relyingParties: looking,
    check: (context) => eachNeeded(context, (needed) => problemsWith(context, needed)),
    remedy:
      'Have the CA issue a complete CRL, without critical extensions. Otherwise remove it, if the site can do without.',
  },
]
