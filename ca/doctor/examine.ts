/**
 * The doctor: finds out which relying parties would refuse a proxy file with these trust anchors, why, and how to fix
 * it.
 */
import { authorityRules } from './authority.ts'
import { buildContext, type DoctorContext, type DoctorRule, type Examination } from './context.ts'
import { crlRules } from './crl.ts'
import { crlScopeRules } from './crl-scope.ts'
import { endEntityRules } from './end-entity.ts'
import { extensionRules } from './extensions.ts'
import { fileLineRules } from './file-lines.ts'
import { fileRules } from './file.ts'
import { keyIdentifierRules } from './key-identifiers.ts'
import { keyUsageRules } from './key-usage.ts'
import { digestRules, keyRules } from './keys.ts'
import { nameConstraintRules } from './name-constraints.ts'
import { nameRules } from './names.ts'
import { proxyCertInfoRules } from './proxy-cert-info.ts'
import { proxySubjectRules } from './proxy-subject.ts'
import { relyingParties, type RelyingParty } from './relying-parties.ts'
import { timeRules } from './times.ts'
import { signingPolicyRules } from './signing-policies.ts'
import { trustDirectoryRules } from './trust-directory.ts'
import { vomsRules } from './voms.ts'

/** One reason for a relying party to refuse the file, or to warn. */
export interface Finding {
  /** Id of the rule. */
  readonly rule: string
  readonly severity: DoctorRule['severity']
  readonly relyingParties: readonly RelyingParty[]
  readonly sentence: string
  readonly remedy: string
}

/** All rules, by topic. */
export const doctorRules: readonly DoctorRule[] = [
  ...fileLineRules,
  ...fileRules,
  ...keyRules,
  ...digestRules,
  ...timeRules,
  ...proxySubjectRules,
  ...proxyCertInfoRules,
  ...keyUsageRules,
  ...extensionRules,
  ...endEntityRules,
  ...nameRules,
  ...authorityRules,
  ...keyIdentifierRules,
  ...nameConstraintRules,
  ...vomsRules,
  ...trustDirectoryRules,
  ...signingPolicyRules,
  ...crlRules,
  ...crlScopeRules,
]

/**
 * Checks a proxy file against the rules of every relying party; refusals come before warnings.
 *
 * @throws {TypeError} for a file without certificates, which `parseProxyFile` refuses
 * @see RFC 3820 section 3, RFC 5280 section 4
 * @example
 * const text = formatProxyFile(proxy.der, proxyKey, [endEntity.certificate.der])
 * const findings = examine({ proxyFile: parseProxyFile(text), now })
 * findings.filter(({ severity }) => severity === 'refuses') // => []
 */
export function examine(examination: Examination): readonly Finding[] {
  const context = buildContext(examination)
  const findings = mergeSame(doctorRules.flatMap((rule) => applyRule(rule, context)))
  return [
    ...findings.filter(({ severity }) => severity === 'refuses'),
    ...findings.filter(({ severity }) => severity === 'warns'),
  ]
}

function applyRule(rule: DoctorRule, context: DoctorContext): readonly Finding[] {
  return rule.check(context).map((result) => {
    const problem = typeof result === 'string' ? { sentence: result } : result
    return {
      rule: rule.id,
      severity: problem.severity ?? rule.severity,
      relyingParties: problem.relyingParties ?? rule.relyingParties,
      sentence: problem.sentence,
      remedy: problem.remedy ?? rule.remedy,
    }
  })
}

/** A certificate that is in the file twice, or a CA that is needed twice, is reported once. */
function mergeSame(findings: readonly Finding[]): readonly Finding[] {
  const merged = new Map<string, Finding>()
  for (const finding of findings) {
    const key = `${finding.severity} ${finding.sentence}`
    const known = merged.get(key)
    const parties = new Set([...(known?.relyingParties ?? []), ...finding.relyingParties])
    merged.set(key, { ...(known ?? finding), relyingParties: [...parties] })
  }
  return [...merged.values()]
}

/** What was examined, for the head of the text. */
export interface ExaminedThings {
  /** Path of the trust directory; undefined when none was examined. */
  readonly trustAnchors: string | undefined
}

/**
 * Formats findings for people: each with the relying parties that refuse and the remedy. Says which trust directory was
 * examined; without one, it does not say that relying parties would accept the file.
 *
 * @see RFC 3820 section 3, RFC 5280 section 4
 * @example
 * formatFindings([], { trustAnchors: '/etc/grid-security/certificates' }).includes('would accept it') // => true
 */
export function formatFindings(
  findings: readonly Finding[],
  { trustAnchors }: ExaminedThings,
): string {
  const groups = [
    { title: 'Would be refused', severity: 'refuses' },
    { title: 'Worth knowing', severity: 'warns' },
  ].flatMap(({ title, severity }) => {
    const own = findings.filter((finding) => finding.severity === severity)
    return own.length === 0 ? [] : [`${title}:`, '', ...own.flatMap(formatFinding)]
  })
  const place =
    trustAnchors === undefined
      ? 'Trust anchors, signing policies and CRLs were not examined: there is no trust directory.'
      : `Trust directory: ${trustAnchors}`
  return `${[formatHead(findings, trustAnchors), place, '', ...groups].join('\n').trimEnd()}\n`
}

function formatHead(findings: readonly Finding[], trustAnchors: string | undefined): string {
  const refusing = new Set(
    findings.flatMap(({ severity, relyingParties: by }) => (severity === 'refuses' ? by : [])),
  )
  const all = `${relyingParties.length} relying parties known here`
  if (refusing.size > 0) return `${refusing.size} of ${all} would refuse it.`
  const warnings = findings.length === 1 ? 'a warning' : 'warnings'
  if (trustAnchors === undefined)
    return findings.length === 0
      ? 'Nothing found in the file itself.'
      : `No reason for a refusal found in the file itself, but ${warnings}.`
  return findings.length === 0
    ? `Nothing found: all ${all} would accept it.`
    : `All ${all} would accept it, with ${warnings}.`
}

function formatFinding({ sentence, relyingParties: by, remedy, rule }: Finding): readonly string[] {
  const parties = by.length === relyingParties.length ? 'all' : by.join(', ')
  return [
    `  ${sentence}`,
    `    by:     ${parties}`,
    `    remedy: ${remedy}`,
    `    rule:   ${rule}`,
    '',
  ]
}
