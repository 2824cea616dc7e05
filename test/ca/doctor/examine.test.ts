import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { validateChain } from '../../../ca/chain.ts'
import { doctorRules, examine, type Finding, formatFindings } from '../../../ca/doctor/examine.ts'
import { relyingParties } from '../../../ca/doctor/relying-parties.ts'
import { CaError } from '../../../ca/errors.ts'
import { readPem, toPem } from '../../../ca/pem.ts'
import { parseProxyFile } from '../../../ca/proxy-file.ts'
import { trustAnchorFiles } from '../../../ca/trust-anchors.ts'
import { type DirectoryFile, readTrustAnchors } from '../../../ca/trust-directory.ts'
import { formatSlashDn } from '../../../ca/name-text.ts'
import { makeCredential } from '../../support/authority.ts'
import { baseName, NOW, userName } from '../../support/certificate-builder.ts'
import { unknownExtension } from '../../support/extensions.ts'
import { allCases } from './all-cases.ts'
import { nameCases } from './odd-chain-cases.ts'
import { oddCrlCases } from './odd-crl-cases.ts'
import { blocks, type Illness, makePatient, patient } from './patient.ts'

const rulesOf = (findings: readonly Finding[]): string[] => [
  ...new Set(findings.map(({ rule }) => rule)),
]

describe('the doctor', () => {
  test.for(allCases)('finds its rules in: $title', async (one) => {
    const { examination } = await makePatient(one)
    // What our parser refuses, the command reports as not a proxy file.
    if (one.title === 'four dashes') expect(examination).toBeUndefined()
    else expect(rulesOf(examine(await patient(one))).sort()).toEqual(one.rules)
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
    const { text } = await makePatient({ plan: { intermediate: {} } })
    const examination = await patient({ plan: { intermediate: {} } })
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
    expect([...new Set(allCases.flatMap(({ rules }) => rules))].sort()).toEqual(ids.sort())
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

describe('what the doctor says', () => {
  const sentencesOf = async (illness: Illness): Promise<readonly string[]> =>
    examine(await patient(illness)).map(({ sentence }) => sentence)

  test('each finding once, also of a certificate that is in the file twice', async () => {
    const twice = await sentencesOf({
      plan: { endEntity: { ends: -60, begins: -3600 }, intermediate: {} },
      text: ({ text }) => text + (blocks(text)[2] ?? ''),
    })
    expect(twice.length).toBeGreaterThan(1)
    expect(new Set(twice).size).toBe(twice.length)
  })

  test.for([
    {
      ends: 50,
      says: ['The file is valid for 50 seconds more; at least 60 seconds are required.'],
    },
    { ends: 50, says: ['The file is valid for 50 seconds more; at least 2 minutes are required.'] },
    {
      ends: 11 * 3600,
      says: ['The file is valid for 11 hours more; at least 12 hours are required.'],
    },
    {
      ends: 3660,
      says: ['The file is valid for 1 hour 1 minute more; at least 12 hours are required.'],
    },
  ])('a file that ends in $ends seconds: $says', async ({ ends, says }) => {
    expect(await sentencesOf({ plan: { proxies: [{ ends }] } })).toEqual(
      expect.arrayContaining(says),
    )
  })

  test.for([
    {
      title: 'crl-revoked',
      by: ['Globus', 'GridFTP', 'MyProxy', 'OpenSSL', 'GridSite', 'caNl-Java', 'VOMS Java'],
    },
    { title: 'revoked in a newer .r1', by: ['OpenSSL', 'GridSite', 'caNl-Java', 'VOMS Java'] },
    { title: 'revoked only in an older .r1', by: ['caNl-Java', 'VOMS Java'] },
  ])('who sees the revocation of: $title', async ({ title, by }) => {
    const illness = allCases.find((one) => one.title === title) ?? {}
    const findings = examine(await patient(illness))
    expect(findings.find(({ rule }) => rule === 'crl-revoked')?.relyingParties).toEqual(by)
  })

  test('one missing policy is one finding, by all whom it concerns', async () => {
    const files = (all: readonly DirectoryFile[]): readonly DirectoryFile[] =>
      all.filter(({ name }) => !/\.(namespaces|signing_policy)$/.test(name))
    const findings = examine(await patient({ files }))
    expect(findings.map(({ relyingParties: by }) => by)).toEqual([
      ['Globus', 'GridFTP', 'MyProxy', 'caNl-Java'],
    ])
  })

  test('the identifier of an unknown critical extension', async () => {
    const [sentence] = await sentencesOf({
      plan: { endEntity: { extensions: { other: unknownExtension(true) } } },
    })
    expect(sentence).toContain('has the critical extension 1.3.6.1.4.1.99999.1, which no')
  })

  test('a proxy without ProxyCertInfo is not told to change its CA', async () => {
    const findings = examine(
      await patient({ plan: { proxies: [{ extensions: { proxyCertInfo: undefined } }] } }),
    )
    expect(findings).toMatchObject([
      {
        rule: 'proxy-not-rfc3820',
        sentence: expect.stringMatching(/^The proxy .* has no ProxyCertInfo\.$/) as string,
        remedy: 'Request an RFC 3820 proxy (with Globus: grid-proxy-init -rfc).',
      },
    ])
  })

  test('a CRL of a CA with a small key is not called forged', async () => {
    const illness = oddCrlCases.find(({ name }) => name === 'weak CA with a CRL') ?? {}
    const said = await sentencesOf(illness)
    expect(said).toEqual([expect.stringMatching(/has an RSA key of 1024 bits, under 2048\.$/)])
  })

  test('a missing CA is not only to be had from this service', async () => {
    const [finding] = examine(await patient({ files: () => [] }))
    expect(finding).toMatchObject({ rule: 'trust-ca-missing' })
    expect(finding?.remedy).toContain('IGTF')
  })

  test.for([
    { mode: 0o600, by: [] },
    { mode: 0o400, by: ['VOMS Java'] },
    { mode: 0o700, by: ['Globus', 'GridFTP', 'MyProxy', 'VOMS Java'] },
    { mode: 0o640, by: ['Globus', 'GridFTP', 'MyProxy', 'caNl-C', 'VOMS Java'] },
    { mode: 0o604, by: ['Globus', 'GridFTP', 'MyProxy', 'caNl-C', 'arcproxy', 'VOMS Java'] },
  ])('mode $mode is refused by $by', async ({ mode, by }) => {
    const findings = examine(await patient({ fileFacts: { mode } }))
    expect(findings.flatMap(({ relyingParties: parties }) => parties)).toEqual(by)
  })

  test('how grid maps must write a name', async () => {
    const illness = nameCases.find(({ name }) => name === 'EEC named robot/jane') ?? {}
    expect(await sentencesOf(illness)).toEqual([
      'In a grid map of GridFTP, the name must be written "/C=EU/O=INDIGO/OU=TTS/CN=robot\\\\/jane".',
      'In a grid map of XRootD, the name must be written "/C=EU/O=INDIGO/OU=TTS/CN=robot/jane".',
      String.raw`In a map file of HTCondor with OpenSSL 3, the name must be written "/C=EU/O=INDIGO/OU=TTS/CN=robot\\/jane"; older versions of OpenSSL add no backslash before / and +.`,
    ])
  })

  test('a file that cannot be read matters only when the chain needs it', async () => {
    const unreadable = (name: string): DirectoryFile => ({
      name,
      content: Buffer.alloc(0),
      problem: 'permission denied',
    })
    const add = (name: string) => (files: readonly DirectoryFile[]) => [...files, unreadable(name)]
    expect(await sentencesOf({ files: add('deadbeef.0') })).toEqual([])
    const [sentence] = await sentencesOf({
      files: (files) =>
        files.map((file) => (file.name.endsWith('.0') ? unreadable(file.name) : file)),
    })
    expect(sentence).toMatch(
      /^The file [0-9a-f]{8}\.0 of the CA .* cannot be read: permission denied\.$/,
    )
  })
})

describe('formatFindings', () => {
  test('a good one', () => {
    expect(formatFindings([], { trustAnchors: '/etc/ca' })).toBe(
      `Nothing found: all ${relyingParties.length} relying parties known here would accept it.\nTrust directory: /etc/ca\n`,
    )
  })

  test('without a trust directory nothing is said of relying parties', async () => {
    const { proxyFile } = await patient()
    const none = { trustAnchors: undefined }
    const place =
      'Trust anchors, signing policies and CRLs were not examined: there is no trust directory.\n'
    expect(formatFindings(examine({ proxyFile, now: NOW }), none)).toBe(
      `Nothing found in the file itself.\n${place}`,
    )
    const short = await patient({ plan: { proxies: [{ ends: 3600 }] } })
    const text = formatFindings(examine({ proxyFile: short.proxyFile, now: NOW }), none)
    expect(
      text.startsWith(`No reason for a refusal found in the file itself, but a warning.\n${place}`),
    ).toBe(true)
    expect(text).not.toContain('would accept')
  })

  test('says who, why and what to do; refusals first', async () => {
    const findings = examine(
      await patient({
        plan: { proxies: [{ key: 'ec-p256', ends: 3600 }] },
        fileFacts: { mode: 0o640 },
      }),
    )
    const text = formatFindings(findings, { trustAnchors: '/etc/ca' })
    expect(text).toMatch(/^\d+ of 18 relying parties known here would refuse it\.\n/)
    expect(text).toContain(
      [
        '  The file has mode 0640; only mode 0600 suits all.',
        '    by:     Globus, GridFTP, MyProxy, caNl-C, VOMS Java',
        '    remedy: Run chmod 600 on the file. `tts proxy init` creates it with that mode.',
        '    rule:   file-mode-not-private',
      ].join('\n'),
    )
    expect(text.indexOf('Would be refused')).toBeLessThan(text.indexOf('Worth knowing'))
    expect(text).toContain(`The proxy ${formatSlashDn(userName)}/CN=`)
  })

  test('warnings alone are no refusal', async () => {
    const text = formatFindings(examine(await patient({ plan: { proxies: [{ ends: 3600 }] } })), {
      trustAnchors: '/etc/ca',
    })
    expect(text).toMatch(/^All 18 relying parties known here would accept it, with a warning\.\n/)
    expect(text).not.toContain('Would be refused')
  })
})
