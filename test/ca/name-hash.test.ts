import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Asn1Node,
  bitString,
  characterString,
  encode,
  integer,
  nullValue,
  oid,
  sequence,
  set,
  Tag,
  time,
} from '../../ca/asn1.ts'
import { decode } from '../../ca/asn1-read.ts'
import { nameNode } from '../../ca/name.ts'
import { canonicalName, subjectHash, subjectHashOld } from '../../ca/name-hash.ts'
import { parseSlashDn } from '../../ca/name-text.ts'
import { toPem } from '../../ca/pem.ts'
import { NOW, testKey } from '../support/certificate-builder.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { createPublicKey } from 'node:crypto'

const run = promisify(execFile)

/** Both hashes as real openssl prints them, of an unsigned certificate with this subject. */
async function opensslHashes(name: Asn1Node): Promise<string[]> {
  const key = createPublicKey(await testKey('hash')).export({ type: 'spki', format: 'der' })
  const algorithm = sequence(oid('1.2.840.113549.1.1.11'), nullValue())
  const tbs = sequence(
    integer(Buffer.from([1])),
    algorithm,
    name,
    sequence(time(NOW), time(NOW)),
    name,
    decode(key, 'key'),
  )
  const der = encode(sequence(tbs, algorithm, bitString(Buffer.alloc(256))))
  const args = ['x509', '-noout', '-subject_hash', '-subject_hash_old']
  const child = run('openssl', args, { timeout: 10_000 })
  child.child.stdin?.end(toPem('CERTIFICATE', der))
  return (await child).stdout.trim().split('\n')
}

const text = (tag: number, value: Buffer | string): Asn1Node =>
  characterString(tag, Buffer.from(value as string, 'utf8'))
const attribute = (type: string, value: Asn1Node): Asn1Node => sequence(oid(type), value)
const common = (value: Asn1Node): Asn1Node => sequence(set(attribute('2.5.4.3', value)))
/** The parser turns BMPString octets into characters, so names are read back before they are used. */
const read = (node: Asn1Node): Asn1Node => decode(encode(node), 'name')

const bmp = (value: string): Asn1Node => ({
  ...characterString(Tag.bmpString, Buffer.alloc(0)),
  value,
})

const cases: readonly (readonly [string, Asn1Node])[] = [
  ...[
    '/C=EU/O=INDIGO/OU=TTS/CN=TTS-CA',
    '/DC=org/DC=example/CN=Example CA',
    '/C=CH/O=CERN/OU=a\\/b/CN=x\\+y',
    '/CN=  two  blanks   inside  ',
    '/CN=UPPER lower MiXeD',
    '/CN=\\xC3\\x89t\\xC3\\xA9 \\xC5\\xBD',
    '/CN=a\\x09\\x0Bb\\x0Cc\\x0D\\x0Ad',
    '/CN=\\xF0\\x9F\\x98\\x80 smile',
    '/CN=',
    '/O=a/O=b/O=c/O=d/OU=e/OU=f/L=g/ST=h/CN=i',
    '/emailAddress=Jane@Example.org/CN=Jane',
    '/UID=Jane/CN=Jane',
    '/CN=b+CN=a',
    '/OU=z+CN=a+O=longer than the others',
    "/CN=O'Neill (x), y: z=?",
    `/CN=${'x'.repeat(64)}`,
  ].map((dn) => [dn, nameNode(parseSlashDn(dn))] as const),
  ['an empty name', sequence()],
  ['TeletexString', common(characterString(Tag.teletexString, Buffer.from('Caf\xe9 X', 'latin1')))],
  ['BMPString', common(bmp('B\u00c9MP  X'))],
  [
    'UniversalString',
    common(
      characterString(
        Tag.universalString,
        Buffer.from('000000410000002000000020000001F60001F600', 'hex'),
      ),
    ),
  ],
  ['NumericString is left as it is', common(text(18, '12  34'))],
  ['a UTF8String of blanks', common(text(Tag.utf8String, ' \t \n '))],
]

describeWithTools('subject hashes beside openssl', ['openssl'], () => {
  test.for(cases)('%s', async ([, name]) => {
    const node = read(name)
    expect([subjectHash(node), subjectHashOld(node)]).toEqual(await opensslHashes(node))
  })

  test('any name of any string type', async () => {
    const value = fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 24 }).map((one) => text(Tag.utf8String, one)),
      fc
        .string({ unit: fc.constantFrom('a', 'Z', ' ', '\t'), maxLength: 12 })
        .map((one) => text(Tag.printableString, one)),
      fc.string({ unit: 'grapheme-ascii', maxLength: 12 }).map((one) => text(Tag.ia5String, one)),
    )
    const type = fc.constantFrom('2.5.4.3', '2.5.4.10', '2.5.4.11', '0.9.2342.19200300.100.1.25')
    const rdn = fc.array(fc.tuple(type, value), { minLength: 1, maxLength: 2 })
    const name = fc
      .array(rdn, { maxLength: 4 })
      .map((rdns) =>
        sequence(...rdns.map((attributes) => set(...attributes.map(([t, v]) => attribute(t, v))))),
      )
    await fc.assert(
      fc.asyncProperty(name, async (node) => {
        expect([subjectHash(node), subjectHashOld(node)]).toEqual(await opensslHashes(node))
      }),
      { numRuns: 60 },
    )
  })
})

describe('canonicalName', () => {
  test('names that differ in case and blanks alone are the same', () => {
    const canonical = (dn: string): Buffer => canonicalName(nameNode(parseSlashDn(dn)))
    expect(canonical('/O=Example/CN= A  b ')).toEqual(canonical('/O=EXAMPLE/CN=a B'))
    expect(canonical('/O=Example/CN=ab')).not.toEqual(canonical('/O=Example/CN=a b'))
  })

  test('hashes of a known name', () => {
    const name = nameNode(parseSlashDn('/C=EU/O=INDIGO/OU=TTS/CN=TTS-CA'))
    expect([subjectHash(name), subjectHashOld(name)]).toEqual(['ff3538fd', '82de0639'])
  })
})
