/** Rules on the trust directory: which files relying parties look for, and under which names. */
import type { Certificate } from '../certificate.ts'
import { formatSlashDn } from '../name-text.ts'
import type { HashedFile, TrustDirectory } from '../trust-directory.ts'
import type { DoctorContext, DoctorRule, Problem } from './context.ts'
import { describePemFault } from './file-lines.ts'
import { namesOtherKey } from './key-identifiers.ts'
import { eachNeeded, type NeededAuthority } from './needed-authorities.ts'
import { globusTls, opensslFiles, type RelyingParty, validating } from './relying-parties.ts'
import { installRemedy } from './remedies.ts'
import { isSignedBy } from './signatures.ts'
import {
  certificatesByHash,
  certificatesOfName,
  findForXrootd,
  javaFault,
  javaFinds,
  opensslFault,
  sameNode,
} from './trust-lookup.ts'

/** Why OpenSSL does not find a CA: the rule that says so, and how. */
interface Absence {
  readonly rule: string
  readonly sentence: string
}

const opensslFinds = ({ names, node }: NeededAuthority, trust: TrustDirectory): boolean =>
  certificatesByHash(trust, names).some(({ value }) => sameNode(value.subjectNode, node))

/** The parties that do not find a CA which OpenSSL does not find either. */
function partiesWithout(needed: NeededAuthority, trust: TrustDirectory): readonly RelyingParty[] {
  const { node, hash, oldHash, nearest } = needed
  // Java is content with the CA that signed the EEC, and XRootD does not look for those above it in other files.
  if (!nearest) return opensslFiles
  return [
    ...opensslFiles,
    ...(findForXrootd(trust, node) ? [] : ['XRootD' as const]),
    ...(javaFinds(trust, node, hash) ? [] : ['caNl-Java' as const]),
    ...(javaFinds(trust, node, oldHash) ? [] : ['VOMS Java' as const]),
  ]
}

function explainAbsence(needed: NeededAuthority, trust: TrustDirectory): Absence {
  const { name, hash, node, nearest } = needed
  const broken = trust.unreadable.find((file) => new RegExp(`^${hash}\\.\\d+$`).test(file.name))
  const elsewhere = certificatesOfName(trust, node)
  const file = elsewhere.find((one) => one.hash === hash) ?? elsewhere[0]
  if (file !== undefined) return explainFile(file, needed)
  if (broken !== undefined)
    return {
      rule: 'trust-ca-unreadable',
      sentence: `The file ${broken.name} of the CA ${name} cannot be read: ${broken.reason}.`,
    }
  const other = trust.certificates.find((one) => one.hash === hash)
  return {
    rule: nearest ? 'trust-ca-missing' : 'trust-ca-above-missing',
    sentence: other
      ? `The file ${other.name} is not the CA ${name} but ${formatSlashDn(other.value.subject)}.`
      : `The CA ${name} is not in the trust directory. Expected file: ${hash}.0.`,
  }
}

/** Explains why a file that has the CA is of no use. */
function explainFile(
  file: HashedFile<Certificate>,
  { name, hash, oldHash }: NeededAuthority,
): Absence {
  const fault = opensslFault(file)
  if (file.hash === oldHash)
    return {
      rule: 'trust-hash-missing',
      sentence: `The CA ${name} is installed as ${file.name} but not as ${hash}.0.`,
    }
  if (file.hash !== hash)
    return {
      rule: 'trust-wrong-hash',
      sentence: `The CA ${name} is installed as ${file.name}, but its name has the hash ${hash}.`,
    }
  if (file.format === 'DER')
    return {
      rule: 'trust-ca-not-pem',
      sentence: `The file ${file.name} of the CA ${name} is in DER but must be in PEM.`,
    }
  if (fault !== undefined)
    return {
      rule: 'trust-ca-lines',
      sentence: `The file ${file.name} of the CA ${name} cannot be read because of ${describePemFault(fault)}.`,
    }
  return {
    rule: 'trust-number-missing',
    sentence: `The CA ${name} is installed as ${file.name}, but no readable file has a number below it: relying parties begin with ${hash}.0.`,
  }
}

/** A rule for one reason why OpenSSL does not find a CA. */
function absenceRule(id: string, remedy: string): DoctorRule {
  return {
    id,
    severity: 'refuses',
    relyingParties: validating,
    check: (context) =>
      eachNeeded(context, (needed, trust) => {
        if (opensslFinds(needed, trust)) return []
        const { rule, sentence } = explainAbsence(needed, trust)
        return rule === id ? { sentence, relyingParties: partiesWithout(needed, trust) } : []
      }),
    remedy,
  }
}

const renameRemedy = 'Name the files as openssl rehash does, or install the trust anchors again.'

const absenceRules: readonly DoctorRule[] = [
  absenceRule('trust-ca-missing', installRemedy),
  absenceRule('trust-ca-above-missing', installRemedy),
  absenceRule('trust-hash-missing', renameRemedy),
  absenceRule('trust-wrong-hash', renameRemedy),
  absenceRule('trust-number-missing', renameRemedy),
  absenceRule('trust-ca-not-pem', 'Convert it with openssl x509 -inform DER.'),
  absenceRule('trust-ca-lines', 'Write it again with openssl x509.'),
  absenceRule('trust-ca-unreadable', installRemedy),
]

/** Problems of single parties with a CA that OpenSSL finds. */
function eachFound(
  context: DoctorContext,
  check: (needed: NeededAuthority, trust: TrustDirectory) => string | Problem | undefined,
): readonly (string | Problem)[] {
  return eachNeeded(context, (needed, trust) =>
    needed.nearest && opensslFinds(needed, trust) ? check(needed, trust) : undefined,
  )
}

const singleRules: readonly DoctorRule[] = [
  {
    id: 'trust-old-hash-missing',
    severity: 'refuses',
    relyingParties: ['VOMS Java'],
    check: (context) =>
      eachFound(context, ({ name, oldHash }, { certificates }) =>
        certificates.some(({ hash }) => hash === oldHash)
          ? undefined
          : `The CA ${name} is not installed as ${oldHash}.0, the only file name that voms-proxy-init of Java looks for.`,
      ),
    remedy: 'Add a link to the file with the other hash, as the trust anchors of the IGTF have.',
  },
  {
    id: 'trust-java-file',
    severity: 'refuses',
    relyingParties: ['caNl-Java', 'VOMS Java'],
    check: (context) =>
      eachFound(context, ({ name, node, hash, oldHash }, trust) => {
        const blind = (
          [
            ['caNl-Java', hash],
            ['VOMS Java', oldHash],
          ] as const
        ).filter(
          ([, own]) =>
            trust.certificates.some((file) => file.hash === own) && !javaFinds(trust, node, own),
        )
        const [first] = blind
        const file = first && trust.certificates.find((one) => one.hash === first[1])
        if (file === undefined) return undefined
        const fault = javaFault(file)
        const reason = fault
          ? describePemFault(fault)
          : 'the first certificate in it is another one'
        return {
          sentence: `Java does not find the CA ${name} in ${file.name}: ${reason}.`,
          relyingParties: blind.map(([party]) => party),
        }
      }),
    remedy: 'Write the certificate alone into its file, with openssl x509.',
  },
  {
    id: 'trust-xrootd-file',
    severity: 'refuses',
    relyingParties: ['XRootD'],
    check: (context) =>
      eachFound(context, ({ name, node, names, hash, signed }, trust) => {
        const read = findForXrootd(trust, node)
        const others = certificatesByHash(trust, names)
        return read &&
          (isSignedBy(signed, read) || !others.some(({ value }) => isSignedBy(signed, value)))
          ? undefined
          : `XRootD reads the CA ${name} only from ${hash}.0, as the only certificate in that file, with the label CERTIFICATE.`
      }),
    remedy: 'Write the certificate alone into that file, with openssl x509.',
  },
  {
    id: 'trust-own-file',
    severity: 'refuses',
    relyingParties: globusTls,
    check: (context) =>
      eachNeeded(context, (needed, trust) =>
        opensslFinds(needed, trust) && !opensslFinds({ ...needed, names: [needed.node] }, trust)
          ? `The CA ${needed.name} is only in the file of another CA: GridFTP and MyProxy need it as ${needed.hash}.0.`
          : undefined,
      ),
    remedy: 'Write the certificate into its own file.',
  },
  {
    id: 'trust-other-key',
    severity: 'refuses',
    relyingParties: validating,
    check: (context) =>
      eachNeeded(context, ({ name, node, names, signed }, trust) => {
        const found = certificatesByHash(trust, names)
          .map(({ value }) => value)
          .filter(({ subjectNode }) => sameNode(subjectNode, node))
        return found.length > 0 &&
          found.every((issuer) => !isSignedBy(signed, issuer) && namesOtherKey(signed, issuer))
          ? `The CA ${name} in the trust directory has another key than the CA that signed ${formatSlashDn(signed.subject)}.`
          : undefined
      }),
    remedy: installRemedy,
  },
]

export const trustDirectoryRules: readonly DoctorRule[] = [...absenceRules, ...singleRules]
