import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Asn1Node,
  characterString,
  encode,
  oid,
  sequence,
  set,
  smallInteger,
  Tag,
} from '../../ca/asn1.ts'
import { childrenOf, decode } from '../../ca/asn1-read.ts'
import {
  attributeTypes,
  type DistinguishedName,
  lastCommonName,
  nameNode,
  readName,
  sameName,
  startsWithName,
  withCommonName,
} from '../../ca/name.ts'
import { formatSlashDn, parseSlashDn } from '../../ca/name-text.ts'
import { distinguishedName, hostileValues } from '../support/arbitraries.ts'

const badName = expect.objectContaining({ name: 'CaError', code: 'bad_name' }) as Error
const malformed = expect.objectContaining({ name: 'CaError', code: 'malformed' }) as Error

/** A SET has an order of its own, so attributes of one RDN are compared in any order. */
const sorted = (name: DistinguishedName): unknown =>
  name.map((rdn) => rdn.map(({ type, value }) => `${type}=${value.toString()}`).toSorted())

const readBack = (name: DistinguishedName): DistinguishedName =>
  readName(decode(encode(nameNode(name)), 'name'), 'name')

const named = (type: string, value: string): DistinguishedName => [
  [{ type: attributeTypes[type] ?? type, value }],
]

/** The tag of the one value of a name of one attribute. */
function tagOf(name: DistinguishedName): number | undefined {
  const [rdn] = childrenOf(nameNode(name), 'name')
  return childrenOf(childrenOf(rdn, 'rdn')[0], 'attribute')[1]?.type
}

/** A name with a value of the tag and bytes given. */
const withValue = (tag: number, bytes: string): Asn1Node =>
  decode(
    encode(
      sequence(
        set(sequence(oid('2.5.4.3'), characterString(Tag.utf8String, Buffer.from(bytes, 'hex')))),
      ),
    ).map((byte, index, all) => (index === all.length - bytes.length / 2 - 2 ? tag : byte)),
    'name',
  )

describe('nameNode and readName', () => {
  test('any name comes back from its DER', () => {
    fc.assert(
      fc.property(distinguishedName, (name) => {
        expect(sorted(readBack(name))).toEqual(sorted(name))
      }),
    )
  })

  test.for(hostileValues)('%j stays one value of one RDN', (value) => {
    const name = withCommonName(parseSlashDn('/O=a/OU=b'), value)
    expect(readBack(name)).toEqual(name)
    expect(nameNode(name).value).toHaveLength(3)
  })

  test.for([
    ['C', 'EU', Tag.printableString],
    ['DC', 'example', Tag.ia5String],
    ['emailAddress', 'a@example.org', Tag.ia5String],
    ['CN', "Az09 '()+,-./:=?", Tag.printableString],
    ['CN', 'a@b', Tag.utf8String],
    ['CN', 'a_b', Tag.utf8String],
    ['CN', 'a*b', Tag.utf8String],
    ['CN', 'é', Tag.utf8String],
    ['CN', 'a\n', Tag.utf8String],
    ['O', '', Tag.printableString],
  ] as const)('%s=%j has tag %d', ([type, value, tag]) => {
    expect(tagOf(named(type, value))).toBe(tag)
  })

  test.for([
    ['C of one letter', named('C', 'E')],
    ['C of three letters', named('C', 'EUR')],
    ['C with a line end', named('C', 'EU\n')],
    ['C of digits', named('C', '12')],
    ['DC outside of ASCII', named('DC', 'bücher')],
    ['emailAddress outside of ASCII', named('emailAddress', 'ä@example.org')],
    ['a lone surrogate', named('CN', 'a\ud800')],
    ['a value of DER', [[{ type: '2.5.4.3', value: Buffer.of(5, 0) }]]],
    ['an RDN without attributes', [[]]],
    ['a type that is no identifier', named('1.02', 'a')],
    ['a type that no identifier can be', named('0.40', 'a')],
    ['a type in words', named('common name', 'a')],
  ] as const)('%s is not issued', ([, name]) => {
    expect(() => nameNode(name)).toThrow(badName)
  })

  test.for([
    ['no sequence', set()],
    ['an RDN that is no set', sequence(sequence())],
    ['an empty RDN', sequence(set())],
    ['an attribute without value', sequence(set(sequence(oid('2.5.4.3'))))],
    ['a type that is no identifier', sequence(set(sequence(smallInteger(1), smallInteger(1))))],
    ['two values', sequence(set(sequence(oid('2.5.4.3'), smallInteger(1), smallInteger(2))))],
  ] as const)('%s is not read', ([, node]) => {
    expect(() => readName(node, 'name')).toThrow(malformed)
  })

  test.for([
    ['UTF8String', withValue(12, 'c3a9'), 'é'],
    ['UTF8String with a byte order mark', withValue(12, 'efbbbf61'), '\ufeffa'],
    ['UTF8String that is none', withValue(12, 'c328'), Buffer.from('0c02c328', 'hex')],
    ['UTF8String of an overlong slash', withValue(12, 'c0af'), Buffer.from('0c02c0af', 'hex')],
    ['UTF8String of a surrogate', withValue(12, 'eda080'), Buffer.from('0c03eda080', 'hex')],
    ['TeletexString', withValue(20, 'e9'), 'é'],
    ['BMPString', withValue(30, '00e900e8'), 'éè'],
    ['BMPString of a pair', withValue(30, 'd83dde00'), '😀'],
    ['BMPString of half a pair', withValue(30, 'd83d0061'), Buffer.from('1e04d83d0061', 'hex')],
    ['INTEGER', withValue(2, '05'), Buffer.from('020105', 'hex')],
  ] as const)('%s is read as it is', ([, node, value]) => {
    expect(readName(node, 'name')).toEqual([[{ type: '2.5.4.3', value }]])
  })
})

describe('parts of names', () => {
  test('the last CN is one that stands alone', () => {
    expect(lastCommonName(parseSlashDn('/O=a/CN=b'))).toBe('b')
    for (const text of ['/CN=b/O=a', '/O=a/CN=b+OU=c', '/CN=#0500'])
      expect(lastCommonName(parseSlashDn(text))).toBeUndefined()
    expect(lastCommonName([])).toBeUndefined()
  })

  test('a CN is appended as a new RDN, whatever it holds', () => {
    fc.assert(
      fc.property(distinguishedName, fc.string(), (name, value) => {
        const longer = withCommonName(name, value)
        expect(longer.slice(0, -1)).toEqual(name)
        expect(lastCommonName(longer)).toBe(value)
        expect(startsWithName(longer, name)).toBe(true)
        expect(startsWithName(name, longer)).toBe(false)
      }),
    )
  })

  test.for([
    ['/O=a/CN=b', '/O=a/CN=b', true],
    ['/O=a/CN=b', '/O=a/CN=B', false],
    ['/O=a/CN=b', '/O=a\\/CN=b', false],
    ['/O=a/CN=b', '/CN=b/O=a', false],
    ['/O=a/CN=b', '/O=a+CN=b', false],
    ['/O=a', '/OU=a', false],
    ['/CN=#0500', '/CN=\\#0500', false],
  ] as const)('%s and %s are the same: %s', ([left, right, same]) => {
    expect(sameName(parseSlashDn(left), parseSlashDn(right))).toBe(same)
  })

  test('names are the same exactly when their texts are', () => {
    fc.assert(
      fc.property(distinguishedName, distinguishedName, (left, right) => {
        expect(sameName(left, right)).toBe(formatSlashDn(left) === formatSlashDn(right))
        expect(sameName(left, left)).toBe(true)
      }),
    )
  })
})
