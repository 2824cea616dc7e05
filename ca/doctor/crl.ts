/** Rules on CRLs. A CRL is optional, but an existing one must be valid. */
import type { Certificate } from '../certificate.ts'
import type { Crl } from '../crl.ts'
import type { HashedFile, TrustDirectory } from '../trust-directory.ts'
import {
  type DoctorContext,
  type DoctorRule,
  endEntityOf,
  nameOf,
  type Problem,
} from './context.ts'
import { describePemFault } from './file-lines.ts'
import { eachNeeded, type NeededAuthority } from './needed-authorities.ts'
import { crlRequiring, globus, java, type RelyingParty } from './relying-parties.ts'
import { newCrlRemedy } from './remedies.ts'
import { isCrlSignedBy } from './signatures.ts'
import { certificatesByHash, crlsByHash, opensslFault, sameNode } from './trust-lookup.ts'

/** Those that look at CRLs with OpenSSL. */
const refusing: readonly RelyingParty[] = [...globus, ...crlRequiring]
const SOON_MS = 24 * 3600 * 1000

/** The certificates of a CA in the chain. */
export const issuersOf = (
  { authorities }: DoctorContext,
  { node }: Pick<NeededAuthority, 'node'>,
): readonly Certificate[] =>
  authorities
    .map(({ certificate }) => certificate)
    .filter(({ subjectNode }) => sameNode(subjectNode, node))

/** The CRLs of a CA that OpenSSL finds, the best first: signed by the CA and in time, then the newest. */
export function crlsOf(
  context: DoctorContext,
  { node }: NeededAuthority,
): readonly HashedFile<Crl>[] {
  const { trustAnchors } = context
  const issuers = issuersOf(context, { node })
  const score = ({ value }: HashedFile<Crl>): number =>
    (isSigned(value, issuers) ? 2 : 0) + (isInTime(value, context.now) ? 1 : 0)
  return (trustAnchors ? crlsByHash(trustAnchors, node) : []).toSorted(
    (one, other) =>
      score(other) - score(one) ||
      other.value.thisUpdate.getTime() - one.value.thisUpdate.getTime(),
  )
}

/** True also where the signature cannot be computed. */
const isSigned = (crl: Crl, issuers: readonly Certificate[]): boolean =>
  issuers.length === 0 || issuers.some((issuer) => isCrlSignedBy(crl, issuer) !== false)

const isInTime = ({ thisUpdate, nextUpdate }: Crl, now: Date): boolean =>
  thisUpdate <= now && (nextUpdate === undefined || nextUpdate > now)

/** A problem with the best CRL of each CA of the chain; `check` returns what follows "The CRL NAME of the CA". */
function eachCrl(
  context: DoctorContext,
  check: (file: HashedFile<Crl>) => string | undefined,
): readonly (string | Problem)[] {
  return eachNeeded(context, (needed) => {
    const [file] = crlsOf(context, needed)
    const problem = file && check(file)
    return problem && `The CRL ${file.name} of the CA ${needed.name} ${problem}.`
  })
}

/** The first file that should be a CRL of the CA, and why OpenSSL does not read it. */
function unreadableCrl(
  { hash }: NeededAuthority,
  { crls, unreadable }: TrustDirectory,
): { readonly name: string; readonly reason: string; readonly isDer: boolean } | undefined {
  const own = crls.filter((file) => file.hash === hash)
  const der = own.find(({ format }) => format === 'DER')
  if (der) return { name: der.name, reason: 'it is in DER but must be in PEM', isDer: true }
  const odd = own.find((file) => opensslFault(file) !== undefined)
  const fault = odd && opensslFault(odd)
  if (fault) return { name: odd.name, reason: describePemFault(fault), isDer: false }
  const broken = unreadable.find(({ name }) => new RegExp(`^${hash}\\.r\\d+$`).test(name))
  return broken && { ...broken, isDer: false }
}

/**
 * Of several CRLs OpenSSL takes the best, Globus the first that is in time, and Java any that is good: not always the
 * same one.
 */
function partiesThatSeeRevocation(
  context: DoctorContext,
  needed: NeededAuthority,
): readonly RelyingParty[] {
  const best = crlsOf(context, needed)
  const inOrder = best.toSorted((one, other) => one.number - other.number)
  const issuers = issuersOf(context, needed)
  const inTime = inOrder.filter(({ value }) => isInTime(value, context.now))
  const good = inTime.filter(({ value }) => isSigned(value, issuers))
  const has = (file: HashedFile<Crl> | undefined): boolean =>
    file?.value.revoked.has(needed.signed.serial) === true
  return [
    ...(has(inTime[0] ?? inOrder[0]) ? globus : []),
    ...(has(best[0]) ? crlRequiring : []),
    ...((good.length > 0 ? good : inOrder).some(has) ? java : []),
  ]
}

function unreadableRule(id: string, isDer: boolean, remedy: string): DoctorRule {
  return {
    id,
    severity: 'refuses',
    relyingParties: refusing,
    check: (context) =>
      eachNeeded(context, (needed, trust) => {
        const file = unreadableCrl(needed, trust)
        return file?.isDer === isDer
          ? `The CRL ${file.name} of the CA ${needed.name} cannot be read: ${file.reason}.`
          : undefined
      }),
    remedy,
  }
}

/** Whether the directory has CRLs at all: then OpenSSL with -crl_check_all requires those of all CAs. */
const hasCrls = ({ crls, unreadable }: TrustDirectory): boolean =>
  crls.length > 0 || unreadable.some(({ name }) => /^[0-9a-f]{8}\.r\d+$/.test(name))

export const crlRules: readonly DoctorRule[] = [
  unreadableRule('crl-not-pem', true, 'Convert it with openssl crl -inform DER.'),
  unreadableRule('crl-unreadable', false, newCrlRemedy),
  {
    id: 'crl-bad-signature',
    severity: 'refuses',
    relyingParties: [...refusing, 'XRootD', ...java],
    check: (context) =>
      eachNeeded(context, (needed) => {
        const issuers = issuersOf(context, needed)
        const files = crlsOf(context, needed)
        const bad = files.filter(({ value }) => !isSigned(value, issuers))
        const first = bad.find(({ number }) => number === 0) ?? bad[0]
        if (first === undefined) return undefined
        const sentence = `The CRL ${first.name} of the CA ${needed.name} is not signed by the key of that CA.`
        if (bad.length === files.length) return sentence
        // Globus and XRootD take the first one.
        return first.number === 0 ? { sentence, relyingParties: [...globus, 'XRootD'] } : undefined
      }),
    remedy: newCrlRemedy,
  },
  {
    id: 'crl-ended',
    severity: 'refuses',
    relyingParties: [...refusing, ...java],
    check: (context) =>
      eachCrl(context, ({ value: { nextUpdate } }) =>
        nextUpdate && nextUpdate <= context.now
          ? `expired at ${nextUpdate.toISOString()}: every certificate of this CA is refused`
          : undefined,
      ),
    remedy: newCrlRemedy,
  },
  {
    id: 'crl-ended-where-required',
    severity: 'warns',
    relyingParties: ['XRootD'],
    check: (context) =>
      eachCrl(context, ({ value: { nextUpdate } }) =>
        nextUpdate && nextUpdate <= context.now
          ? 'has expired: an XRootD server that requires CRLs (-crl:3) refuses, others only log it'
          : undefined,
      ),
    remedy: newCrlRemedy,
  },
  {
    id: 'crl-not-begun',
    severity: 'refuses',
    relyingParties: refusing,
    check: (context) =>
      eachCrl(context, ({ value: { thisUpdate } }) =>
        thisUpdate > context.now ? `is not valid before ${thisUpdate.toISOString()}` : undefined,
      ),
    remedy: 'Correct the clocks of the CA and of the relying party.',
  },
  {
    id: 'crl-ends-soon',
    severity: 'warns',
    relyingParties: [...refusing, ...java],
    check: (context) =>
      eachCrl(context, ({ value: { nextUpdate } }) =>
        nextUpdate &&
        nextUpdate > context.now &&
        nextUpdate.getTime() - context.now.getTime() < SOON_MS
          ? `expires at ${nextUpdate.toISOString()}; after that every certificate of this CA is refused`
          : undefined,
      ),
    remedy: newCrlRemedy,
  },
  {
    id: 'crl-revoked',
    severity: 'refuses',
    relyingParties: [...globus, ...crlRequiring, ...java],
    check: (context) =>
      eachNeeded(context, (needed) => {
        const parties = partiesThatSeeRevocation(context, needed)
        const subject = [...endEntityOf(context), ...context.authorities].find(
          ({ certificate }) => certificate === needed.signed,
        )
        return subject === undefined || parties.length === 0
          ? undefined
          : {
              sentence: `The certificate ${nameOf(subject)} is revoked by the CRL of its CA.`,
              relyingParties: parties,
            }
      }),
    remedy: 'Find out why it was revoked, then request a new EEC and proxy.',
  },
  {
    id: 'crl-missing-above',
    severity: 'refuses',
    relyingParties: crlRequiring,
    check: (context) =>
      eachNeeded(context, (needed, trust) =>
        // A missing CA and an unreadable CRL are reported by other rules.
        !hasCrls(trust) ||
        unreadableCrl(needed, trust) !== undefined ||
        certificatesByHash(trust, needed.names).every(
          ({ value }) => !sameNode(value.subjectNode, needed.node),
        ) ||
        crlsOf(context, needed).length > 0
          ? undefined
          : `The CRL ${needed.hash}.r0 of the CA ${needed.name} is missing, while the directory has other CRLs: where revocation is checked (openssl -crl_check_all, SSLCARevocationCheck chain), all CAs of the chain need one.`,
      ),
    remedy: 'Install the CRLs of all CAs of the chain, for instance with fetch-crl.',
  },
]
