import { describe, expect, test } from 'vitest'
import { bitString, encode, integer, nullValue, oid, sequence } from '../../ca/asn1.ts'
import { type ChainVerdict, MAX_ANCHORS, validateChain } from '../../ca/chain.ts'
import { MAX_CHAIN_LENGTH } from '../../ca/chain-link.ts'
import { proxyCertInfo } from '../../ca/extensions.ts'
import { formatSlashDn } from '../../ca/name-text.ts'
import {
  buildChain,
  type BuiltChain,
  intermediateName,
  NOW,
  testKey,
  userName,
} from '../support/certificate-builder.ts'
import { dnsName, unknownExtension } from '../support/extensions.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { opensslRefusal } from '../support/openssl.ts'
import { chainCases } from './chain-cases.ts'

const limited = { extensions: { proxyCertInfo: proxyCertInfo('limited', undefined) } }
const independent = { extensions: { proxyCertInfo: proxyCertInfo('independent', undefined) } }

function judge(chain: BuiltChain): ChainVerdict {
  const anchors = chain.anchors
  return validateChain({ certificates: chain.certificates, anchors, now: NOW, allowProxies: true })
}

const found = (verdict: ChainVerdict): string[] =>
  verdict.problems.map(({ certificateIndex, code }) => `${certificateIndex} ${code}`)

describe('validateChain', () => {
  test.for(chainCases)('$name', async ({ plan, problems }) => {
    const verdict = judge(await buildChain(plan))
    expect(found(verdict)).toEqual(problems)
    expect(verdict.ok).toBe(problems.length === 0)
  })

  test('tells every problem, not only the first', async () => {
    const chain = await buildChain({
      endEntity: { ends: -60, extensions: { other: unknownExtension(true) } },
      proxies: [{ begins: 60, signature: 'sha1', extensions: { name: dnsName('a.example') } }],
    })
    expect(found(judge(chain))).toEqual([
      '0 not_yet_valid',
      '0 weak_digest',
      '0 proxy_alternative_name',
      '1 expired',
      '1 unknown_critical_extension',
    ])
  })

  test('names the person, the depth and the limits', async () => {
    const verdict = judge(await buildChain({ proxies: [{}, limited, independent] }))
    expect(verdict).toMatchObject({ proxyDepth: 3, limited: true, independent: true })
    expect(formatSlashDn(verdict.identity ?? [])).toBe(formatSlashDn(userName))
    expect(verdict.path).toHaveLength(5)
  })

  test('a proxy only where it is allowed', async () => {
    const { certificates, anchors } = await buildChain()
    const verdict = validateChain({ certificates, anchors, now: NOW, allowProxies: false })
    expect(found(verdict)).toEqual(['0 proxy_not_allowed'])
  })

  test('a CA of the same name and another key is no anchor', async () => {
    const { certificates } = await buildChain()
    const other = await buildChain({ authority: { privateKey: await testKey('other') } })
    const request = { certificates, now: NOW, allowProxies: true }
    expect(found(validateChain({ ...request, anchors: other.anchors }))).toContain(
      '1 bad_signature',
    )
    expect(found(validateChain({ ...request, anchors: [] }))).toEqual(['1 untrusted'])
  })

  test('of two anchors of one name the one that signed is taken', async () => {
    const { certificates, anchors } = await buildChain()
    const other = await buildChain({ authority: { privateKey: await testKey('other') } })
    const both = [...other.anchors, ...anchors]
    expect(
      found(validateChain({ certificates, anchors: both, now: NOW, allowProxies: true })),
    ).toEqual([])
  })

  test('a root that is only sent along is not trusted', async () => {
    const { certificates, authority } = await buildChain()
    const sent = [...certificates, authority.certificate]
    const verdict = validateChain({ certificates: sent, anchors: [], now: NOW, allowProxies: true })
    expect(found(verdict)).toEqual(['2 untrusted'])
  })

  test('a self-signed leaf and an empty chain', async () => {
    const { authority } = await buildChain()
    const request = { anchors: [], now: NOW, allowProxies: true }
    const self = validateChain({ ...request, certificates: [authority.certificate] })
    expect(found(self)).toEqual(['0 untrusted'])
    expect(found(validateChain({ ...request, certificates: [] }))).toEqual(['0 empty_chain'])
  })
})

describeWithTools('openssl verify beside validateChain', ['openssl'], () => {
  test.for(chainCases)('$name', async ({ plan, problems, openssl }) => {
    const { certificates, anchors } = await buildChain(plan)
    const [leaf, ...untrusted] = certificates
    if (leaf === undefined) throw new Error('empty chain')
    const refusal = await opensslRefusal({ leaf, untrusted, anchors, now: NOW })
    const wanted = openssl ?? (problems.length === 0 ? 'accepts' : 'refuses')
    expect(refusal === undefined ? 'accepts' : 'refuses', refusal).toBe(wanted)
  })
})

describe('bounds', () => {
  test('too many certificates or anchors are refused unread', async () => {
    const { certificates, anchors, authority } = await buildChain()
    const many = (length: number) => Array.from({ length }, () => authority.certificate)
    const request = { now: NOW, allowProxies: true }
    const long = validateChain({ ...request, certificates: many(MAX_CHAIN_LENGTH + 1), anchors })
    expect(found(long)).toEqual(['0 chain_too_long'])
    const wide = validateChain({ ...request, certificates, anchors: many(MAX_ANCHORS + 1) })
    expect(found(wide)).toEqual(['0 chain_too_long'])
  })

  test('two CAs that signed each other do not go round for ever', async () => {
    const one = await buildChain({ authority: { issuer: intermediateName } })
    const two = await buildChain({ intermediate: {} })
    const certificates = [...two.certificates, one.authority.certificate]
    const verdict = validateChain({ certificates, anchors: [], now: NOW, allowProxies: true })
    expect(found(verdict)).toContain('3 chain_too_long')
  })

  test('a giant key is refused and not computed with', async () => {
    const chain = await buildChain()
    const modulus = Buffer.alloc(2048, 0xff)
    const exponent = integer(Buffer.alloc(2048, 0xff))
    const key = encode(sequence(integer(modulus), exponent))
    const algorithm = sequence(oid('1.2.840.113549.1.1.1'), nullValue())
    const publicKeyInfo = sequence(algorithm, bitString(key))
    const giant = { ...chain.endEntity.certificate, publicKeyInfo }
    const [proxy] = chain.certificates
    if (!proxy) throw new Error('no proxy')
    const verdict = validateChain({
      certificates: [proxy, giant],
      anchors: chain.anchors,
      now: NOW,
      allowProxies: true,
    })
    expect(found(verdict)).toContain('1 weak_key')
    expect(found(verdict)).not.toContain('0 bad_signature')
  })
})
