/**
 * The doctor: finds out which relying parties would refuse a proxy file with these trust anchors, why, and how to fix
 * it.
 */
import { authorityRules } from './authority.ts'
import { buildContext, type DoctorRule, type Examination } from './context.ts'
import { crlRules } from './crl.ts'
import { endEntityRules } from './end-entity.ts'
import { extensionRules } from './extensions.ts'
import { fileRules } from './file.ts'
import { keyUsageRules } from './key-usage.ts'
import { digestRules, keyRules } from './keys.ts'
import { nameRules } from './names.ts'
import { proxyCertInfoRules } from './proxy-cert-info.ts'
import { proxySubjectRules } from './proxy-subject.ts'
import { relyingParties, type RelyingParty } from './relying-parties.ts'
import { timeRules } from './times.ts'
import { trustDirectoryRules } from './trust-directory.ts'

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
  ...trustDirectoryRules,
  ...crlRules,
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
  const findings = doctorRules.flatMap((rule) =>
    rule.check(context).map((sentence) => ({
      rule: rule.id,
      severity: rule.severity,
      relyingParties: rule.relyingParties,
      sentence,
      remedy: rule.remedy,
    })),
  )
  return [
    ...findings.filter(({ severity }) => severity === 'refuses'),
    ...findings.filter(({ severity }) => severity === 'warns'),
  ]
}

/**
 * Formats findings for people: each with the relying parties that refuse and the remedy.
 *
 * @see RFC 3820 section 3, RFC 5280 section 4
 * @example
 * formatFindings([]).startsWith('Nothing found') // => true
 */
export function formatFindings(findings: readonly Finding[]): string {
  if (findings.length === 0)
    return `Nothing found: all ${relyingParties.length} relying parties known here would accept it.\n`
  const refusing = new Set(
    findings.flatMap(({ severity, relyingParties: by }) => (severity === 'refuses' ? by : [])),
  )
  const head =
    refusing.size > 0
      ? `${refusing.size} of ${relyingParties.length} relying parties known here would refuse it.`
      : `All ${relyingParties.length} relying parties known here would accept it, with ${findings.length === 1 ? 'a warning' : 'warnings'}.`
  const groups = [
    { title: 'Would be refused', severity: 'refuses' },
    { title: 'Worth knowing', severity: 'warns' },
  ].flatMap(({ title, severity }) => {
    const own = findings.filter((finding) => finding.severity === severity)
    return own.length === 0 ? [] : [`${title}:`, '', ...own.flatMap(formatFinding)]
  })
  return `${[head, '', ...groups].join('\n').trimEnd()}\n`
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
