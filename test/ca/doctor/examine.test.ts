import { describe, expect, test } from 'vitest'
import { doctorRules, examine, type Finding, formatFindings } from '../../../ca/doctor/examine.ts'
import { relyingParties } from '../../../ca/doctor/relying-parties.ts'
import { formatSlashDn } from '../../../ca/name-text.ts'
import { NOW, userName } from '../../support/certificate-builder.ts'
import { certificateCases, fileCases, healthy, keyCases, proxyCases, timeCases } from './cases.ts'
import { patient } from './patient.ts'
import { crlCases, trustCases } from './trust-cases.ts'

const cases = [
  ...keyCases,
  ...timeCases,
  ...fileCases,
  ...proxyCases,
  ...certificateCases,
  ...trustCases,
  ...crlCases,
].map((one) => ({ ...one, title: one.name === undefined ? one.rule : `${one.rule}: ${one.name}` }))

const rulesOf = (findings: readonly Finding[]): string[] => [
  ...new Set(findings.map(({ rule }) => rule)),
]

describe('the doctor', () => {
  test.for(cases)('finds $title', async (one) => {
    const found = rulesOf(examine(await patient(one)))
    expect(found.sort()).toEqual([one.rule, ...(one.also ?? [])].sort())
  })

  test.for(healthy)('finds nothing in $name', async (one) => {
    expect(examine(await patient(one))).toEqual([])
  })

  test('every rule has a case', () => {
    const ids = doctorRules.map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    expect([...new Set(cases.map(({ rule }) => rule))].sort()).toEqual(ids.sort())
  })

  test('every relying party is named by a rule, none twice in one', () => {
    const named = doctorRules.flatMap((rule) => [...new Set(rule.relyingParties)])
    expect(new Set(named)).toEqual(new Set(relyingParties))
    for (const { id, relyingParties: parties } of doctorRules)
      expect(new Set(parties).size, id).toBe(parties.length)
  })

  test('without file facts and trust anchors their rules are left out', async () => {
    const { proxyFile } = await patient({ fileFacts: { mode: 0o777 } })
    expect(examine({ proxyFile, now: NOW })).toEqual([])
  })
})

describe('formatFindings', () => {
  test('a good one', () => {
    expect(formatFindings([])).toBe(
      `Nothing found: all ${relyingParties.length} relying parties known here would accept it.\n`,
    )
  })

  test('says who, why and what to do; refusals first', async () => {
    const findings = examine(
      await patient({
        plan: { proxies: [{ key: 'ec-p256', ends: 3600 }] },
        fileFacts: { mode: 0o640 },
      }),
    )
    const text = formatFindings(findings)
    expect(text).toMatch(/^\d+ of 16 relying parties known here would refuse it\.\n/)
    expect(text).toContain(
      [
        '  The file has mode 0640: Globus takes no permission for group or others.',
        '    by:     Globus, GridFTP, MyProxy',
        '    remedy: chmod 600 the file; `tts proxy init` makes it so from the first byte.',
        '    rule:   file-mode-not-private',
      ].join('\n'),
    )
    expect(text.indexOf('Would be refused')).toBeLessThan(text.indexOf('Worth knowing'))
    expect(text).toContain(`The proxy ${formatSlashDn(userName)}/CN=`)
  })

  test('warnings alone are no refusal', async () => {
    const text = formatFindings(examine(await patient({ plan: { proxies: [{ ends: 3600 }] } })))
    expect(text).toMatch(/^All 16 relying parties known here would accept it, with a warning\.\n/)
    expect(text).not.toContain('Would be refused')
  })
})
