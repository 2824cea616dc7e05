import { describe, expect, test } from 'vitest'
import { createCrl } from '../../ca/crl.ts'
import { type DistinguishedName, withCommonName } from '../../ca/name.ts'
import { subjectHash, subjectHashOld } from '../../ca/name-hash.ts'
import { parseSlashDn } from '../../ca/name-text.ts'
import { policyPermits, readSigningPolicy } from '../../ca/signing-policy.ts'
import { type TrustAnchorFile, trustAnchorFiles } from '../../ca/trust-anchors.ts'
import { readTrustAnchors } from '../../ca/trust-directory.ts'
import {
  asAuthority,
  authorityName,
  baseName,
  buildChain,
  NOW,
} from '../support/certificate-builder.ts'

const hour = 3_600_000
const crlRequest = {
  number: 7,
  thisUpdate: new Date(NOW.getTime() - hour),
  nextUpdate: new Date(NOW.getTime() + hour),
  entries: [],
}
const settings = {
  alias: 'tts',
  crlUrl: 'http://tts.example/ca/crl.der',
  userNamespace: baseName,
}

const contentOf = (files: readonly TrustAnchorFile[], name: string): string => {
  const file = files.find((one) => one.name === name)
  if (file && 'linkTo' in file) return contentOf(files, file.linkTo)
  return file?.content ?? `no ${name}`
}

async function rootFiles() {
  const chain = await buildChain()
  const certificate = chain.authority.certificate
  const crl = await createCrl(asAuthority(chain.authority), crlRequest)
  const files = trustAnchorFiles({ ...settings, certificates: [certificate], crls: [crl] })
  const hash = subjectHash(certificate.subjectNode)
  const old = subjectHashOld(certificate.subjectNode)
  return { chain, certificate, crl, files, hash, old }
}

describe('trustAnchorFiles of a root', () => {
  test('real files under the alias, links under both hashes, links last', async () => {
    const { files, hash, old } = await rootFiles()
    expect(
      files.map((file) => ('linkTo' in file ? `${file.name} -> ${file.linkTo}` : file.name)),
    ).toEqual([
      'tts.pem',
      'tts.signing_policy',
      'tts.namespaces',
      'tts.info',
      'tts.crl_url',
      ...[hash, old].flatMap((one) => [
        `${one}.0 -> tts.pem`,
        `${one}.signing_policy -> tts.signing_policy`,
        `${one}.namespaces -> tts.namespaces`,
      ]),
      `${hash}.r0`,
      `${old}.r0`,
    ])
  })

  test('policy files word for word', async () => {
    const { files } = await rootFiles()
    expect(contentOf(files, 'tts.signing_policy')).toBe(
      "access_id_CA   X509    '/C=EU/O=INDIGO/OU=TTS/CN=TTS-CA'\n" +
        'pos_rights     globus  CA:sign\n' +
        `cond_subjects  globus  '"/C=EU/O=INDIGO/OU=TTS/*"'\n`,
    )
    expect(contentOf(files, 'tts.namespaces')).toBe(
      '#NAMESPACES-VERSION: 1.0\n\n' +
        'TO Issuer "/C=EU/O=INDIGO/OU=TTS/CN=TTS-CA" \\\n' +
        '  PERMIT Subject "/C=EU/O=INDIGO/OU=TTS/.*"\n',
    )
    expect(contentOf(files, 'tts.crl_url')).toBe('http://tts.example/ca/crl.der\n')
  })

  test('info has only keys that dCache knows', async () => {
    const { chain, crl } = await rootFiles()
    const files = trustAnchorFiles({
      ...settings,
      certificates: [chain.authority.certificate],
      crls: [crl],
      url: 'https://tts.example/',
      email: 'ca@tts.example',
    })
    const info = contentOf(files, 'tts.info')
    const known =
      'alias version status url ca_url crl_url policy_url email sha1fp.0 subjectdn requires obsoletes'
    for (const line of info.trim().split('\n'))
      expect(known.split(' ')).toContain(line.split(' = ')[0])
    expect(info).toContain('status = unaccredited\n')
    expect(info).toContain('subjectdn = "/C=EU/O=INDIGO/OU=TTS/CN=TTS-CA"\n')
    expect(info).toMatch(/^sha1fp\.0 = ([0-9A-F]{2}:){19}[0-9A-F]{2}$/m)
  })

  test('a CA outside of the name space of its users gets its own name too', async () => {
    const { certificate } = await rootFiles()
    const userNamespace = parseSlashDn('/DC=org/DC=example.x')
    const files = trustAnchorFiles({
      ...settings,
      certificates: [certificate],
      crls: [],
      userNamespace,
    })
    expect(contentOf(files, 'tts.signing_policy')).toContain(
      `'"/DC=org/DC=example.x/*" "/C=EU/O=INDIGO/OU=TTS/CN=TTS-CA"'`,
    )
    expect(contentOf(files, 'tts.namespaces')).toContain('"/DC=org/DC=example\\.x/.*"')
    const policy = readSigningPolicy(contentOf(files, 'tts.signing_policy'))
    const permits = (subject: string): boolean =>
      policyPermits(policy, '/C=EU/O=INDIGO/OU=TTS/CN=TTS-CA', subject)
    expect(permits('/dc=ORG/dc=example.x/cn=a')).toBe(true)
    expect(permits('/C=EU/O=INDIGO/OU=TTS/CN=TTS-CA')).toBe(true)
    expect(permits('/DC=org/DC=example.xy/CN=a')).toBe(false)
  })

  test('reads back what a relying party finds', async () => {
    const { files, hash, old, certificate, crl } = await rootFiles()
    const directory = readTrustAnchors(
      files.map(({ name }) => ({ name, content: Buffer.from(contentOf(files, name)) })),
    )
    expect(directory.certificates.map(({ name }) => name)).toEqual([`${hash}.0`, `${old}.0`])
    expect(directory.certificates[0]?.value.der).toEqual(certificate.der)
    expect(directory.crls.map(({ name, format }) => `${name} ${format}`)).toEqual([
      `${hash}.r0 PEM`,
      `${old}.r0 PEM`,
    ])
    expect(directory.crls[0]?.value.number).toBe(7)
    expect([...directory.signingPolicies.keys()]).toEqual([hash, old])
    expect([...directory.namespaces.keys()]).toEqual([hash, old])
    expect(directory.unreadable).toEqual([])
    const der = readTrustAnchors([{ name: `${hash}.r0`, content: crl }])
    expect(der.crls[0]?.format).toBe('DER')
  })

  test('a file that cannot be read is named, the others are there', () => {
    const files = [
      { name: '00000000.0', content: Buffer.from('no certificate') },
      { name: '00000001.r0', content: Buffer.from([0x30, 1]) },
      { name: 'README', content: Buffer.from('other') },
    ]
    const { unreadable, certificates } = readTrustAnchors(files)
    expect(unreadable.map(({ name }) => name)).toEqual(['00000000.0', '00000001.r0'])
    expect(certificates).toEqual([])
  })
})

describe('trustAnchorFiles of an intermediate', () => {
  test('each CA has its files; the CRL is where there is one', async () => {
    const chain = await buildChain({ intermediate: {} })
    const { intermediate, authority } = chain
    if (!intermediate) throw new Error('no intermediate')
    const crl = await createCrl(asAuthority(intermediate), crlRequest)
    const certificates = [intermediate.certificate, authority.certificate]
    const files = trustAnchorFiles({ ...settings, certificates, crls: [crl] })
    const names = files.map(({ name }) => name)
    const hash = subjectHash(intermediate.certificate.subjectNode)
    const rootHash = subjectHash(authority.certificate.subjectNode)
    expect(names).toContain('tts-root.pem')
    expect(names).toContain(`${rootHash}.0`)
    expect(names).toContain(`${hash}.r0`)
    expect(names).not.toContain(`${rootHash}.r0`)
    expect(names).not.toContain('tts-root.crl_url')
    expect(contentOf(files, 'tts.info')).toContain('requires = tts-root\n')
    expect(contentOf(files, 'tts-root.signing_policy')).toContain(
      `'"/C=EU/O=INDIGO/OU=TTS/CN=TTS-CA" "/C=EU/O=INDIGO/OU=TTS/CN=TTS-Issuing-CA"'`,
    )
    expect(new Set(names).size).toBe(names.length)
  })

  test('two CAs of one name count up, each with its CRL', async () => {
    const first = await buildChain()
    const second = await buildChain({ authority: { privateKey: first.endEntity.privateKey } })
    const certificates = [first.authority.certificate, second.authority.certificate]
    const crl = await createCrl(asAuthority(second.authority), crlRequest)
    const names = trustAnchorFiles({ ...settings, certificates, crls: [crl] }).map((f) => f.name)
    const hash = subjectHash(first.authority.certificate.subjectNode)
    expect(names.filter((name) => name.startsWith(hash))).toEqual([
      `${hash}.0`,
      `${hash}.signing_policy`,
      `${hash}.namespaces`,
      `${hash}.1`,
      `${hash}.r1`,
    ])
  })
})

describe('refusals', () => {
  const named = async (subject: DistinguishedName) => [
    (await buildChain({ authority: { subject } })).authority.certificate,
  ]
  const good = { ...settings, crls: [] }
  test.for([
    { name: 'alias with a slash', change: { alias: '../x' } },
    { name: 'alias that is hidden', change: { alias: '.x' } },
    { name: 'URL of two lines', change: { crlUrl: 'http://a.example/\nx' } },
    { name: 'empty name space', change: { userNamespace: [] } },
    {
      name: 'name space with an asterisk',
      change: { userNamespace: withCommonName(baseName, '*') },
    },
    {
      name: 'name space with an apostrophe',
      change: { userNamespace: withCommonName(baseName, "O'Neill") },
    },
    { name: 'no certificate', change: { certificates: [] } },
  ])('$name', async ({ change }) => {
    const certificates = await named(authorityName)
    expect(() => trustAnchorFiles({ ...good, certificates, ...change })).toThrow(
      expect.objectContaining({ code: 'bad_request' }),
    )
  })

  test('a CA whose name cannot be said, and a CRL of another CA', async () => {
    const certificates = await named(withCommonName(baseName, 'caf\u00e9'))
    const refusal = expect.objectContaining({ code: 'bad_request' })
    expect(() => trustAnchorFiles({ ...good, certificates })).toThrow(refusal)
    const chain = await buildChain()
    const crl = await createCrl(asAuthority(chain.endEntity), crlRequest)
    const own = [chain.authority.certificate]
    expect(() => trustAnchorFiles({ ...good, certificates: own, crls: [crl] })).toThrow(refusal)
  })
})
