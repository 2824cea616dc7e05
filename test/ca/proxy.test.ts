import { beforeAll, describe, expect, test } from 'vitest'
import { characterString, encode, oid, sequence, set, Tag } from '../../ca/asn1.ts'
import { childrenOf } from '../../ca/asn1-read.ts'
import type { Authority } from '../../ca/authority.ts'
import { type Certificate, findExtension, readCertificate } from '../../ca/certificate.ts'
import { signCertificate } from '../../ca/sign-certificate.ts'
import { issueEndEntity } from '../../ca/end-entity.ts'
import { extensionOids, keyUsage, type KeyUsage, type ProxyType } from '../../ca/extensions.ts'
import { lastCommonName } from '../../ca/name.ts'
import { formatSlashDn } from '../../ca/name-text.ts'
import { type EndEntity, issueProxy, type ProxyRequest } from '../../ca/proxy.ts'
import { createSigner } from '../../ca/key.ts'
import { buildChain, type ChainPlan } from '../support/certificate-builder.ts'
import { extendedKeyUsage } from '../support/extensions.ts'
import {
  endEntityRequest,
  makeAuthority,
  makeEndEntity,
  proxyRequest,
  validFor,
} from '../support/issuing.ts'
import { sharedSigner } from '../support/keys.ts'
import { colons, openssl } from '../support/openssl.ts'

let authority: Authority
let endEntity: EndEntity
let request: ProxyRequest
beforeAll(async () => {
  authority = await makeAuthority()
  endEntity = await makeEndEntity(authority)
  request = await proxyRequest(endEntity)
})

const refusal = (code: string, message = /./): Error =>
  expect.objectContaining({
    name: 'CaError',
    code,
    message: expect.stringMatching(message) as string,
  }) as Error

const issue = async (
  changes: Partial<ProxyRequest> = {},
  under = endEntity,
): Promise<Certificate> => readCertificate(await issueProxy(under, { ...request, ...changes }))

const oids = ({ extensions }: Certificate): string[] => extensions.map(({ oid: id }) => id)

/** An EEC that differs from ours, and its key. */
async function foreignEndEntity(plan: ChainPlan['endEntity']): Promise<EndEntity> {
  const { endEntity: built } = await buildChain({ endEntity: plan ?? {} })
  return { certificate: built.certificate, signer: createSigner(built.privateKey) }
}

describe('ProxyCertInfo', () => {
  test.for<readonly [ProxyType, number | undefined, string]>([
    ['impersonation', undefined, '300c300a06082b06010505071501'],
    ['impersonation', 0, '300f020100300a06082b06010505071501'],
    ['impersonation', 2, '300f020102300a06082b06010505071501'],
    ['impersonation', 128, '301002020080300a06082b06010505071501'],
    ['independent', undefined, '300c300a06082b06010505071502'],
    ['independent', 0, '300f020100300a06082b06010505071502'],
    ['limited', undefined, '300f300d060b2b060104019b5001010109'],
    ['limited', 1, '3012020101300d060b2b060104019b5001010109'],
  ])('%s with path length %s', async ([type, pathLength, hex]) => {
    const proxy = await issue({ type, pathLength })
    const info = findExtension(proxy, extensionOids.proxyCertInfo)
    expect(info?.value.toString('hex')).toBe(hex)
    expect(info?.critical).toBe(true)
    const { text } = await openssl(
      ['x509', '-inform', 'DER', '-in', 'c', '-noout', '-ext', 'proxyCertInfo'],
      { c: proxy.der },
    )
    expect(text).toContain('Proxy Certificate Information: critical')
    expect(text).toContain(
      `Path Length Constraint: ${pathLength === undefined ? 'infinite' : pathLength.toString(16).toUpperCase().padStart(2, '0')}`,
    )
    const languages = {
      impersonation: 'Inherit all',
      independent: 'Independent',
      limited: '1.3.6.1.4.1.3536.1.1.1.9',
    }
    expect(text).toContain(`Policy Language: ${languages[type]}`)
    expect(text).not.toContain('Policy Text')
  })

  test.for([-1, 1.5, Number.NaN])('path length %d is refused', async (pathLength) => {
    await expect(issue({ pathLength })).rejects.toThrow(refusal('bad_request'))
  })
})

describe('the profile of proxies', () => {
  test('five extensions, in order; the first two critical', async () => {
    const proxy = await issue()
    expect(oids(proxy)).toEqual([
      extensionOids.keyUsage,
      extensionOids.proxyCertInfo,
      extensionOids.extKeyUsage,
      extensionOids.authorityKeyIdentifier,
      extensionOids.subjectKeyIdentifier,
    ])
    const critical = proxy.extensions.map((extension) => extension.critical)
    expect(critical).toEqual([true, true, false, false, false])
    const { text } = await openssl(['x509', '-inform', 'DER', '-in', 'c', '-noout', '-text'], {
      c: proxy.der,
    })
    expect(text).toContain('Digital Signature, Key Encipherment\n')
    expect(text).toContain('TLS Web Client Authentication\n')
    const keyId = colons(endEntity.signer.publicKey.keyId)
    expect(text).toContain(`Authority Key Identifier: \n                ${keyId}\n`)
    // Not that of its own key: see `ca/proxy.ts`.
    expect(text).toContain(`Subject Key Identifier: \n                ${keyId}\n`)
    expect(text).not.toMatch(
      /Alternative Name|Distribution Points|Policies|Authority Information|Basic Constraints/,
    )
  })

  test('nothing else is taken over from an EEC that has everything', async () => {
    const profile = { crlUrl: 'http://tts.example.org/crl', policyOids: ['1.2.3'] }
    const wanted = {
      ...(await endEntityRequest()),
      profile,
      subjectUri: 'https://iam.example.org/',
    }
    const certificate = readCertificate(await issueEndEntity(authority, wanted))
    expect(certificate.extensions).toHaveLength(8)
    expect(oids(await issue({}, { certificate, signer: endEntity.signer }))).toEqual(
      oids(await issue()),
    )
  })

  test('the subject is that of the EEC and one CN, the decimal serial number', async () => {
    const decimal = '1199038364791120855039' // 0x40ffffffffffffffff
    const proxy = await issue()
    expect(encode(proxy.issuerNode)).toEqual(encode(endEntity.certificate.subjectNode))
    expect(proxy.subject.slice(0, -1)).toEqual(endEntity.certificate.subject)
    expect(lastCommonName(proxy.subject)).toBe(decimal)
    expect(proxy.serial).toBe('40ffffffffffffffff')
    const { text } = await openssl(
      ['x509', '-inform', 'DER', '-in', 'c', '-noout', '-subject', '-nameopt', 'compat'],
      { c: proxy.der },
    )
    expect(text.trim()).toBe(
      `subject=${formatSlashDn(endEntity.certificate.subject)}/CN=${decimal}`,
    )
  })

  test('the bytes of the subject are those of the EEC, whatever string types it has', async () => {
    // openssl writes UTF8Strings where we write PrintableStrings.
    const value = (tag: number, text: string): ReturnType<typeof set> =>
      set(sequence(oid('2.5.4.3'), characterString(tag, Buffer.from(text, 'latin1'))))
    const subject = sequence(
      value(Tag.utf8String, 'INDIGO'),
      value(Tag.teletexString, 'J\xe9'),
      value(Tag.ia5String, 'a'),
    )
    const template = {
      serial: Buffer.of(9),
      issuer: authority.certificate.subjectNode,
      subject,
      validity: validFor(-300, 86_400),
      publicKey: endEntity.signer.publicKey,
      extensions: [],
    }
    const certificate = readCertificate(await signCertificate(template, authority.signer))
    const proxy = await issue({}, { certificate, signer: endEntity.signer })
    const rdns = (node: typeof subject): string[] =>
      childrenOf(node, 'name').map((rdn) => encode(rdn).toString('hex'))
    expect(rdns(proxy.subjectNode).slice(0, -1)).toEqual(rdns(subject))
    expect(rdns(proxy.subjectNode)).toHaveLength(4)
    expect(rdns(proxy.issuerNode)).toEqual(rdns(subject))
  })
})

describe('key usages', () => {
  test.for<readonly [string, readonly KeyUsage[], 'rsa-2048' | 'ec-p256', string[]]>([
    [
      'RSA under both',
      ['digitalSignature', 'keyEncipherment'],
      'rsa-2048',
      ['Digital Signature', 'Key Encipherment'],
    ],
    ['RSA under digitalSignature', ['digitalSignature'], 'rsa-2048', ['Digital Signature']],
    [
      'RSA under all',
      [
        'digitalSignature',
        'nonRepudiation',
        'keyEncipherment',
        'dataEncipherment',
        'keyAgreement',
        'keyCertSign',
        'cRLSign',
      ],
      'rsa-2048',
      ['Digital Signature', 'Key Encipherment'],
    ],
    ['EC under both', ['digitalSignature', 'keyEncipherment'], 'ec-p256', ['Digital Signature']],
  ])('%s', async ([, usages, kind, wanted]) => {
    const under = await foreignEndEntity({ extensions: { keyUsage: keyUsage(usages) } })
    const { publicKey } = await sharedSigner(kind, 'proxy')
    const { der } = await issue({ publicKey }, under)
    const { text } = await openssl(
      ['x509', '-inform', 'DER', '-in', 'c', '-noout', '-ext', 'keyUsage'],
      { c: der },
    )
    expect(text).toBe(`X509v3 Key Usage: critical\n    ${wanted.join(', ')}\n`)
  })

  test('an EEC without keyUsage limits nothing', async () => {
    const under = await foreignEndEntity({ extensions: { keyUsage: undefined } })
    const usage = findExtension(await issue({}, under), extensionOids.keyUsage)
    expect(usage?.value.toString('hex')).toBe('030205a0')
  })

  test('an EEC that may not sign has no proxies', async () => {
    const under = await foreignEndEntity({
      extensions: { keyUsage: keyUsage(['keyEncipherment']) },
    })
    await expect(issue({}, under)).rejects.toThrow(refusal('bad_request', /digitalSignature/))
  })

  test.for([
    ['clientAuth', '1.3.6.1.5.5.7.3.2'],
    ['emailProtection', '1.3.6.1.5.5.7.3.4'],
  ] as const)('extKeyUsage %s is kept and not widened', async ([, purpose]) => {
    const wanted = extendedKeyUsage(purpose)
    const under = await foreignEndEntity({ extensions: { extKeyUsage: wanted } })
    const proxy = await issue({}, under)
    const [, value] = childrenOf(wanted, 'extension')
    expect(findExtension(proxy, extensionOids.extKeyUsage)?.value.toString('latin1')).toBe(
      value?.value,
    )
  })

  test('without extKeyUsage in the EEC there is none in the proxy', async () => {
    const under = await foreignEndEntity({ extensions: { extKeyUsage: undefined } })
    expect(oids(await issue({}, under))).not.toContain(extensionOids.extKeyUsage)
  })
})

describe('what is refused', () => {
  const elevenDays = 11 * 86_400
  test.for([
    ['as long as the EEC', -300, elevenDays, undefined],
    ['a second longer than the EEC', -300, elevenDays + 1, 'bad_lifetime'],
    ['begun a second before the EEC', -301, 60, 'bad_lifetime'],
    ['ended before it begins', 60, 0, 'bad_lifetime'],
  ] as const)('a proxy %s', async ([, begins, ends, code]) => {
    const issued = issue({ validity: validFor(begins, ends) })
    if (code === undefined) await expect(issued).resolves.toBeDefined()
    else await expect(issued).rejects.toThrow(refusal(code))
  })

  test('a proxy with the key of its EEC', async () => {
    const { publicKey } = endEntity.signer
    await expect(issue({ publicKey })).rejects.toThrow(refusal('bad_request', /key of its EEC/))
  })

  test.for(['', '00', '01'.repeat(21)])('serial number "%s"', async (hex) => {
    await expect(issue({ serial: Buffer.from(hex, 'hex') })).rejects.toThrow(
      refusal('bad_request', /serial/),
    )
  })

  test('a proxy under a proxy, a CA or another key', async () => {
    const certificate = await issue()
    const signer = await sharedSigner('rsa-2048', 'proxy')
    await expect(issue({}, { certificate, signer })).rejects.toThrow(
      refusal('bad_request', /not under a proxy/),
    )
    await expect(issue({}, authority)).rejects.toThrow(refusal('bad_request', /not under a CA/))
    const mixed = { certificate: endEntity.certificate, signer }
    const { publicKey } = await sharedSigner('rsa-2048', 'third')
    await expect(issue({ publicKey }, mixed)).rejects.toThrow(
      refusal('bad_request', /not that of the EEC/),
    )
  })

  test('a signature that is wrong', async () => {
    const signer = { ...endEntity.signer, sign: () => Promise.resolve(Buffer.alloc(256)) }
    await expect(issue({}, { ...endEntity, signer })).rejects.toThrow(refusal('self_check_failed'))
  })
})
