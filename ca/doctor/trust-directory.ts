/** Rules on the trust directory: which files relying parties look for, and under which names. */
import type { Asn1Node } from '../asn1.ts'
import { subjectHash, subjectHashOld } from '../name-hash.ts'
import { formatSlashDn } from '../name-text.ts'
import { policyPermits, type SigningPolicy } from '../signing-policy.ts'
import type { TrustDirectory } from '../trust-directory.ts'
import type { DoctorContext, DoctorRule } from './context.ts'
import { globus, type RelyingParty, strict, validating } from './relying-parties.ts'

/** A CA that the chain needs, in the directory or missing. */
interface NeededAuthority {
  readonly name: string
  readonly node: Asn1Node
  readonly hash: string
  readonly oldHash: string
  /** Name of the certificate that it signed. */
  readonly signed: string
}

/** The issuers of EEC and CAs, nearest first. */
export function neededAuthorities({ endEntity, authorities }: DoctorContext): NeededAuthority[] {
  const issued = [...(endEntity ? [endEntity] : []), ...authorities]
  return issued
    .filter(
      ({ certificate }) => formatSlashDn(certificate.issuer) !== formatSlashDn(certificate.subject),
    )
    .map(({ certificate }) => ({
      name: formatSlashDn(certificate.issuer),
      node: certificate.issuerNode,
      hash: subjectHash(certificate.issuerNode),
      oldHash: subjectHashOld(certificate.issuerNode),
      signed: formatSlashDn(certificate.subject),
    }))
}

/** A sentence for each CA that the chain needs; none without a trust directory. */
export function eachNeeded(
  context: DoctorContext,
  what: (needed: NeededAuthority, trust: TrustDirectory) => string | undefined,
): readonly string[] {
  const { trustAnchors } = context
  if (trustAnchors === undefined) return []
  return neededAuthorities(context).flatMap((needed) => what(needed, trustAnchors) ?? [])
}

const hashesIn = ({ certificates }: TrustDirectory): readonly string[] =>
  certificates.map(({ hash }) => hash)

/** The policy that Globus finds, by the new hash. */
function eachPolicy(
  context: DoctorContext,
  what: (policy: SigningPolicy, needed: NeededAuthority) => string | undefined,
): readonly string[] {
  return eachNeeded(context, (needed, { signingPolicies }) => {
    const policy = signingPolicies.get(needed.hash)
    return policy && what(policy, needed)
  })
}

const install =
  'Install the complete trust-anchor archive of the CA: it has all file names and links.'
/** Relying parties that need a signing_policy. */
const policyParties: readonly RelyingParty[] = [...globus, 'caNl-Java']

const policyRules: readonly DoctorRule[] = [
  {
    id: 'signing-policy-missing',
    severity: 'refuses',
    relyingParties: policyParties,
    check: (context) =>
      eachNeeded(context, ({ hash, name }, trust) =>
        hashesIn(trust).includes(hash) && !trust.signingPolicies.has(hash)
          ? `The file ${hash}.signing_policy for the CA ${name} is missing.`
          : undefined,
      ),
    remedy: install,
  },
  {
    id: 'signing-policy-forbids',
    severity: 'refuses',
    relyingParties: policyParties,
    check: (context) =>
      eachPolicy(context, (policy, { name, hash, signed }) =>
        allQuoted(policy) && !policyPermits(policy, name, signed)
          ? `The file ${hash}.signing_policy does not allow the CA ${name} to sign ${signed}.`
          : undefined,
      ),
    remedy: 'Add the name, or its beginning and "*", to cond_subjects of the file.',
  },
  {
    id: 'signing-policy-quotes',
    severity: 'refuses',
    relyingParties: policyParties,
    check: (context) =>
      eachPolicy(context, (policy, { hash }) =>
        allQuoted(policy)
          ? undefined
          : `In ${hash}.signing_policy, cond_subjects has several patterns, and its outer quotes are not single quotes.`,
      ),
    remedy: `Write cond_subjects globus '"/DC=org/DC=example/*"'.`,
  },
  {
    id: 'signing-policy-no-last-newline',
    severity: 'refuses',
    relyingParties: globus,
    check: (context) =>
      eachPolicy(context, ({ text }, { hash }) =>
        text.endsWith('\n')
          ? undefined
          : `The file ${hash}.signing_policy does not end with a newline.`,
      ),
    remedy: 'Add a newline at the end of the file.',
  },
  {
    id: 'signing-policy-without-own-name',
    severity: 'warns',
    relyingParties: ['Globus'],
    check: (context) =>
      eachPolicy(context, (policy, { name, hash, node }) =>
        allQuoted(policy) &&
        context.trustAnchors?.certificates.some(
          ({ value }) => subjectHash(value.subjectNode) === hash && isSelfIssued(value, node),
        ) &&
        !policyPermits(policy, name, name)
          ? `The file ${hash}.signing_policy does not cover the CA's own name ${name}: grid-cert-diagnostics complains.`
          : undefined,
      ),
    remedy: "Add the CA's own name to cond_subjects of the file.",
  },
]

function allQuoted({ blocks }: SigningPolicy): boolean {
  return blocks.every(({ subjects }) => subjects !== undefined)
}

function isSelfIssued({ issuerNode }: { readonly issuerNode: Asn1Node }, node: Asn1Node): boolean {
  return subjectHash(issuerNode) === subjectHash(node)
}

/** CAs of the chain that the directory does not have under any name. */
function missingAuthorities(context: DoctorContext): readonly NeededAuthority[] {
  const trust = context.trustAnchors
  if (trust === undefined) return []
  return neededAuthorities(context).filter(
    ({ hash }) =>
      !trust.certificates.some(({ value }) => subjectHash(value.subjectNode) === hash) &&
      !trust.unreadable.some(({ name }) => name.startsWith(`${hash}.`)),
  )
}

const sayMissing = ({ name, hash }: NeededAuthority): string =>
  `The CA ${name} is not in the trust directory. Expected file: ${hash}.0.`

const issuedFirst = ({ endEntity }: DoctorContext): string | undefined =>
  endEntity && formatSlashDn(endEntity.certificate.subject)

const certificateRules: readonly DoctorRule[] = [
  {
    id: 'trust-ca-missing',
    severity: 'refuses',
    relyingParties: validating,
    check: (context) =>
      missingAuthorities(context)
        .filter(({ signed }) => signed === issuedFirst(context))
        .map(sayMissing),
    remedy: install,
  },
  {
    id: 'trust-ca-above-missing',
    severity: 'refuses',
    relyingParties: strict,
    check: (context) =>
      missingAuthorities(context)
        .filter(({ signed }) => signed !== issuedFirst(context))
        .map(sayMissing),
    remedy: install,
  },
  {
    id: 'trust-hash-missing',
    severity: 'refuses',
    relyingParties: strict.filter((party) => party !== 'VOMS Java'),
    check: (context) =>
      eachNeeded(context, ({ name, hash, oldHash }, trust) =>
        hashesIn(trust).includes(oldHash) && !hashesIn(trust).includes(hash)
          ? `The CA ${name} is installed as ${oldHash}.0 but not as ${hash}.0.`
          : undefined,
      ),
    remedy: install,
  },
  {
    id: 'trust-old-hash-missing',
    severity: 'refuses',
    relyingParties: ['VOMS Java'],
    check: (context) =>
      eachNeeded(context, ({ name, hash, oldHash }, trust) =>
        hashesIn(trust).includes(hash) && !hashesIn(trust).includes(oldHash)
          ? `The CA ${name} is not installed as ${oldHash}.0, the only file name that voms-proxy-init of Java looks for.`
          : undefined,
      ),
    remedy: install,
  },
  {
    id: 'trust-ca-not-pem',
    severity: 'refuses',
    relyingParties: validating,
    check: (context) =>
      eachNeeded(context, ({ hash, name }, { certificates }) =>
        certificates.some((one) => one.hash === hash && one.format === 'DER')
          ? `The file ${hash}.0 of the CA ${name} is in DER but must be in PEM.`
          : undefined,
      ),
    remedy: 'Convert it with openssl x509 -inform DER.',
  },
  {
    id: 'trust-ca-unreadable',
    severity: 'refuses',
    relyingParties: strict,
    check: (context) =>
      eachNeeded(context, ({ hash, name }, { unreadable }) => {
        const file = unreadable.find(
          (one) => one.name.startsWith(`${hash}.`) && !/\.r/.test(one.name),
        )
        return file && `The file ${file.name} of the CA ${name} cannot be read: ${file.reason}.`
      }),
    remedy: install,
  },
  {
    id: 'trust-other-key',
    severity: 'refuses',
    relyingParties: validating,
    check: ({ trustAnchors, verdict }) =>
      trustAnchors !== undefined &&
      verdict.problems.some(({ code }) => code === 'untrusted') &&
      isSelfSignedEnd(verdict.path)
        ? ['The root of the chain in the file does not match any root in the trust directory.']
        : [],
    remedy: install,
  },
]

/** Whether the path ends at a root, which is then not trusted. */
function isSelfSignedEnd(path: DoctorContext['verdict']['path']): boolean {
  const root = path.at(-1)
  return (
    path.length > 1 &&
    root !== undefined &&
    formatSlashDn(root.subject) === formatSlashDn(root.issuer)
  )
}

export const trustDirectoryRules: readonly DoctorRule[] = [...certificateRules, ...policyRules]
