import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { validateChain } from '../../../ca/chain.ts'
import { doctorRules, examine, type Finding, formatFindings } from '../../../ca/doctor/examine.ts'
import { relyingParties } from '../../../ca/doctor/relying-parties.ts'
import { CaError } from '../../../ca/errors.ts'
import { readPem, toPem } from '../../../ca/pem.ts'
import { parseProxyFile } from '../../../ca/proxy-file.ts'
import { trustAnchorFiles } from '../../../ca/trust-anchors.ts'
import { readTrustAnchors } from '../../../ca/trust-directory.ts'
import { formatSlashDn } from '../../../ca/name-text.ts'
import { makeCredential } from '../../support/authority.ts'
import { baseName, NOW, userName } from '../../support/certificate-builder.ts'
import { fileCases, keyCases, proxyCases, timeCases } from './cases.ts'
import { certificateCases, healthy } from './certificate-cases.ts'
import { blocks, makePatient, patient } from './patient.ts'
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

  test.for([
    { name: 'a root', options: {} },
    { name: 'an intermediate', options: { intermediate: true } },
    { name: 'a limited proxy', options: { type: 'limited' } as const },
  ])('finds nothing in what the library issues: $name', async ({ options }) => {
    const { authority, text } = await makeCredential(options)
    const proxyFile = parseProxyFile(text)
    const certificates = [authority.certificate, ...authority.chain]
    const settings = { alias: 'tts', crlUrl: undefined, userNamespace: baseName, crls: [] }
    const files = trustAnchorFiles({ ...settings, certificates }).map((file) => ({
      name: file.name,
      content: Buffer.from('content' in file ? file.content : contentOfAlias(file.linkTo)),
    }))
    function contentOfAlias(alias: string): string {
      const real = trustAnchorFiles({ ...settings, certificates }).find(
        ({ name }) => name === alias,
      )
      return real && 'content' in real ? real.content : ''
    }
    expect(examine({ proxyFile, trustAnchors: readTrustAnchors(files), now: NOW })).toEqual([])
    const verdict = validateChain({
      certificates: proxyFile.certificates,
      anchors: certificates,
      now: NOW,
      allowProxies: true,
    })
    expect(verdict.problems).toEqual([])
  })

  test('any file that can be read can be examined, whatever is in it', async () => {
    const { text, examination } = await makePatient({ plan: { intermediate: {} } })
    const [proxy = '', key = '', ...rest] = blocks(text)
    const der = readPem(proxy, 'proxy')[0]?.der ?? Buffer.alloc(0)
    let read = 0
    fc.assert(
      fc.property(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const changed = Buffer.from(der)
        changed[at] = (changed[at] ?? 0) ^ change
        let proxyFile
        try {
          proxyFile = parseProxyFile([toPem('CERTIFICATE', changed), key, ...rest].join(''))
        } catch (error) {
          expect(error).toBeInstanceOf(CaError)
          return
        }
        read += 1
        // Whatever byte is changed, something is wrong with it.
        expect(examine({ ...examination, proxyFile })).not.toEqual([])
      }),
      { numRuns: 500 },
    )
    expect(read).toBeGreaterThan(50)
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
        '  The file has mode 0640: Globus refuses any permission for group or others.',
        '    by:     Globus, GridFTP, MyProxy',
        '    remedy: Run chmod 600 on the file. `tts proxy init` creates it with that mode.',
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
