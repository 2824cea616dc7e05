/** Rules on signing_policy and namespaces files. */
import { namespacesPermit, type NamespaceVerdict } from '../namespaces.ts'
import { formatSlashDn } from '../name-text.ts'
import { policyPermits, type SigningPolicy } from '../signing-policy.ts'
import { canlPermits } from '../signing-policy-canl.ts'
import type { TrustDirectory } from '../trust-directory.ts'
import type { DoctorContext, DoctorRule, Problem } from './context.ts'
import { eachNeeded, type NeededAuthority } from './needed-authorities.ts'
import { globus, java, type RelyingParty } from './relying-parties.ts'
import { installRemedy } from './remedies.ts'
import { certificatesByHash, sameNode } from './trust-lookup.ts'

/** Globus knows names as OpenSSL prints them; `formatSlashDn` doubles backslashes. */
const globusName = (name: string): string => name.replaceAll('\\\\', '\\')

/** The policy that Globus finds, by the new hash. */
function eachPolicy(
  context: DoctorContext,
  check: (policy: SigningPolicy, needed: NeededAuthority) => string | undefined,
): readonly (string | Problem)[] {
  return eachNeeded(context, (needed, { signingPolicies }) => {
    const policy = signingPolicies.get(needed.hash)
    return policy && check(policy, needed)
  })
}

const isInstalled = ({ names, node }: NeededAuthority, trust: TrustDirectory): boolean =>
  certificatesByHash(trust, names).some(({ value }) => sameNode(value.subjectNode, node))

function allQuoted({ blocks }: SigningPolicy): boolean {
  return blocks.every(({ subjects }) => subjects !== undefined)
}

/** Whether Globus reads the whole file and finds that the CA must not sign the name. */
function forbids(policy: SigningPolicy, { name, signed }: NeededAuthority): boolean {
  return (
    policy.unexpected === undefined &&
    allQuoted(policy) &&
    !policyPermits(policy, globusName(name), globusName(formatSlashDn(signed.subject)))
  )
}

/** A single-quoted word of a policy ends at an apostrophe, and loses its backslashes. */
const needsEscape = ({ name }: NeededAuthority): boolean => /['\\]/.test(globusName(name))

/** What a Java party decides, and by which kind of file. */
interface Decision {
  readonly verdict: NamespaceVerdict
  readonly kind: 'signing_policy' | 'namespaces'
}

const decisionOf = (permits: boolean): Decision => ({
  verdict: permits ? 'permitted' : 'forbidden',
  kind: 'signing_policy',
})

/** What caNl-Java decides: namespaces come before the signing_policy. Undefined: neither says anything. */
function canlJavaDecides(needed: NeededAuthority, trust: TrustDirectory): Decision | undefined {
  const { hash, name, signed } = needed
  const subject = formatSlashDn(signed.subject)
  const namespaces = trust.namespaces.get(hash)
  const verdict = namespaces && namespacesPermit(namespaces, name, subject)
  if (verdict !== undefined) return { verdict, kind: 'namespaces' }
  const policy = trust.signingPolicies.get(hash)
  const permits = policy && canlPermits(policy, name, subject)
  return permits === undefined ? undefined : decisionOf(permits)
}

/** What VOMS Java decides, by the old hash: the signing_policy comes before the namespaces. */
function vomsJavaDecides(needed: NeededAuthority, trust: TrustDirectory): Decision | undefined {
  const { oldHash, name, signed } = needed
  const subject = formatSlashDn(signed.subject)
  const policy = trust.signingPolicies.get(oldHash)
  const byPolicy = policy && canlPermits(policy, name, subject)
  if (byPolicy !== undefined) return decisionOf(byPolicy)
  const namespaces = trust.namespaces.get(oldHash)
  const verdict = namespaces && namespacesPermit(namespaces, name, subject)
  return verdict && { verdict, kind: 'namespaces' }
}

/** A Java party whose file does not allow the CA to sign the name, or does so in words that are not judged here. */
interface JavaFile {
  readonly party: 'caNl-Java' | 'VOMS Java'
  readonly file: string
  /** The text of the file if it is a signing_policy: the same file under another hash is the same finding. */
  readonly text: string | undefined
}

function javaFiles(
  needed: NeededAuthority,
  trust: TrustDirectory,
  verdict: NamespaceVerdict,
): readonly JavaFile[] {
  const decisions = [
    { party: 'caNl-Java', hash: needed.hash, decision: canlJavaDecides(needed, trust) },
    { party: 'VOMS Java', hash: needed.oldHash, decision: vomsJavaDecides(needed, trust) },
  ] as const
  return decisions.flatMap(({ party, hash, decision }) => {
    if (decision?.verdict !== verdict) return []
    const policy = decision.kind === 'signing_policy' ? trust.signingPolicies.get(hash) : undefined
    return [{ party, file: `${hash}.${decision.kind}`, text: policy?.text }]
  })
}

function sayForbids(
  file: string,
  { name, signed }: NeededAuthority,
  parties: readonly RelyingParty[],
): Problem {
  return {
    sentence: `The file ${file} does not allow the CA ${name} to sign ${formatSlashDn(signed.subject)}.`,
    relyingParties: parties,
  }
}

const unreadableFile = ({ unreadable }: TrustDirectory, name: string) =>
  unreadable.find((file) => file.name === name)

/** Each Java party whose namespaces file cannot be read here. */
function namespacesUnread(
  { hash, oldHash, name }: NeededAuthority,
  trust: TrustDirectory,
): readonly Problem[] {
  const files = [
    { party: 'caNl-Java', file: unreadableFile(trust, `${hash}.namespaces`) },
    { party: 'VOMS Java', file: unreadableFile(trust, `${oldHash}.namespaces`) },
  ] as const
  return files.flatMap(({ party, file }) =>
    file === undefined
      ? []
      : [
          {
            sentence: `The file ${file.name} for the CA ${name} cannot be read: ${file.reason}.`,
            relyingParties: [party],
          },
        ],
  )
}

export const signingPolicyRules: readonly DoctorRule[] = [
  {
    id: 'signing-policy-missing',
    severity: 'refuses',
    relyingParties: globus,
    check: (context) =>
      eachNeeded(context, (needed, trust) => {
        const { hash, name, nearest } = needed
        const installed = isInstalled(needed, trust)
        if (nearest && !installed) return []
        const broken = unreadableFile(trust, `${hash}.signing_policy`)
        const sentence = broken
          ? `The file ${broken.name} for the CA ${name} cannot be read: ${broken.reason}.`
          : `The file ${hash}.signing_policy for the CA ${name} is missing.`
        return [
          ...(trust.signingPolicies.has(hash) || !installed ? [] : [sentence]),
          ...(canlJavaDecides(needed, trust) === undefined
            ? [
                {
                  sentence: trust.signingPolicies.has(hash)
                    ? `Neither ${hash}.namespaces nor ${hash}.signing_policy has rules for the CA ${name} that caNl can read.`
                    : sentence,
                  relyingParties: ['caNl-Java'] as const,
                },
              ]
            : []),
        ]
      }),
    remedy: installRemedy,
  },
  {
    id: 'signing-policy-forbids',
    severity: 'refuses',
    relyingParties: globus,
    check: (context) =>
      eachNeeded(context, (needed, trust) => {
        const policy = trust.signingPolicies.get(needed.hash)
        const parties = [
          ...(policy && forbids(policy, needed) && !needsEscape(needed) ? globus : []),
          ...javaFiles(needed, trust, 'forbidden')
            .filter(({ text }) => text === policy?.text)
            .map(({ party }) => party),
        ]
        return parties.length === 0
          ? []
          : [sayForbids(`${needed.hash}.signing_policy`, needed, parties)]
      }),
    remedy: 'Add the name, or its beginning and "*", to cond_subjects of the file.',
  },
  {
    id: 'namespaces-forbid',
    severity: 'refuses',
    relyingParties: java,
    check: (context) =>
      eachNeeded(context, (needed, trust) =>
        javaFiles(needed, trust, 'forbidden')
          .filter(
            ({ text }) =>
              text === undefined || text !== trust.signingPolicies.get(needed.hash)?.text,
          )
          .map(({ file, party }) => sayForbids(file, needed, [party])),
      ),
    remedy: 'Add the name, or its beginning and a wildcard, to the file.',
  },
  {
    id: 'namespaces-not-judged',
    severity: 'warns',
    relyingParties: java,
    check: (context) =>
      eachNeeded(context, (needed, trust) => [
        ...javaFiles(needed, trust, 'unknown').map(({ file, party }) => ({
          sentence: `The file ${file} has a regular expression for the CA ${needed.name} that only Java can evaluate: whether it allows ${formatSlashDn(needed.signed.subject)} is not known.`,
          relyingParties: [party],
        })),
        ...namespacesUnread(needed, trust),
      ]),
    remedy: 'Compare the name with the file, or try voms-proxy-info of Java.',
  },
  {
    id: 'ca-name-not-sayable',
    severity: 'refuses',
    relyingParties: globus,
    check: (context) =>
      eachPolicy(context, (policy, needed) =>
        needsEscape(needed) && (forbids(policy, needed) || policy.unexpected !== undefined)
          ? `The file ${needed.hash}.signing_policy does not write the name of the CA ${needed.name} as Globus reads it.`
          : undefined,
      ),
    remedy:
      'Use a CA with an ASCII name without slash, plus and apostrophe. Otherwise put a backslash before each backslash and apostrophe of its name in the file.',
  },
  {
    id: 'signing-policy-unexpected-word',
    severity: 'refuses',
    relyingParties: globus,
    check: (context) =>
      eachPolicy(context, ({ unexpected }, needed) =>
        unexpected && !needsEscape(needed)
          ? `The file ${needed.hash}.signing_policy has an unexpected word in line ${unexpected.line}, so Globus refuses the whole file: ${JSON.stringify(unexpected.word.slice(0, 40))}.`
          : undefined,
      ),
    remedy:
      'Write only access_id_CA, pos_rights and cond_subjects, and begin comments with "#". Save the file without a byte order mark.',
  },
  {
    id: 'signing-policy-quotes',
    severity: 'refuses',
    relyingParties: globus,
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
        text === '' || text.endsWith('\n')
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
      eachPolicy(context, (policy, needed) => {
        const { name, hash, node } = needed
        const isRoot = context.authorities.some(
          ({ certificate: { subjectNode, issuerNode } }) =>
            sameNode(subjectNode, node) && sameNode(issuerNode, node),
        )
        const own = { ...needed, signed: { ...needed.signed, subject: ownName(context, needed) } }
        return isRoot && forbids(policy, own) && !needsEscape(needed)
          ? `The file ${hash}.signing_policy does not cover the CA's own name ${name}: grid-cert-diagnostics complains.`
          : undefined
      }),
    remedy: "Add the CA's own name to cond_subjects of the file.",
  },
]

const ownName = (context: DoctorContext, { node, signed }: NeededAuthority) =>
  context.authorities.find(({ certificate }) => sameNode(certificate.subjectNode, node))
    ?.certificate.subject ?? signed.subject
