import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CaError } from '../../../ca/errors.ts'
import {
  generateSshAuthorityKey,
  openSshAuthority,
  sshAuthorityKeyKinds,
  verifySshSignature,
} from '../../../ca/ssh/authority.ts'
import {
  createSshCertificate,
  type SshCertificateRequest,
  sshExtensions,
} from '../../../ca/ssh/certificate.ts'
import { readSshPublicKey, sshPublicKeyOf } from '../../../ca/ssh/public-key.ts'
import { readSshCertificate, readSshCertificateLine } from '../../../ca/ssh/read-certificate.ts'
import { issueSshUserCertificate } from '../../../ca/ssh/user-certificate.ts'
import { sshAuthority, sshRequest } from '../../support/ssh-certificates.ts'
import { securityKeyBlob, sshBlob, sshKeyPair, testKeyKinds } from '../../support/ssh-keys.ts'

const authority = sshAuthority()
const seconds = (date: Date): bigint => BigInt(date.getTime() / 1000)
const blobs = [...testKeyKinds.map(sshBlob), securityKeyBlob('ed25519'), securityKeyBlob('ec-p256')]

test('whatever is asked within the rules is read back', async () => {
  const word = fc.stringMatching(/^[a-z_][A-Za-z0-9_.@-]{0,31}$/)
  const request = fc.record({
    blob: fc.constantFrom(...blobs),
    serial: fc.bigInt(1n, (1n << 64n) - 1n),
    principals: fc.array(word, { minLength: 1, maxLength: 64 }),
    keyId: word,
    extensions: fc.subarray([...sshExtensions]),
    sourceAddresses: fc.constantFrom(undefined, ['192.0.2.0/24'], ['::1', '10.0.0.0/8']),
    forceCommand: fc.option(fc.stringMatching(/^[ -~]{1,60}$/), { nil: undefined }),
  })
  await fc.assert(
    fc.asyncProperty(request, async ({ blob, ...changes }) => {
      const wanted = sshRequest({ publicKey: readSshPublicKey(blob), ...changes })
      const read = readSshCertificate(await createSshCertificate(authority, wanted))
      expect(read).toMatchObject({
        serial: wanted.serial,
        certificateType: 1,
        keyId: wanted.keyId,
        principals: wanted.principals,
        nonce: wanted.nonce,
        validAfter: seconds(wanted.validAfter),
        validBefore: seconds(wanted.validBefore),
        extensions: wanted.extensions.toSorted(),
      })
      expect(read.publicKey.blob).toEqual(blob)
      expect(Object.fromEntries(read.criticalOptions)).toEqual({
        ...(wanted.forceCommand === undefined ? {} : { 'force-command': wanted.forceCommand }),
        ...(wanted.sourceAddresses && { 'source-address': wanted.sourceAddresses.join(',') }),
      })
      expect(read.signatureKey.blob).toEqual(authority.publicKey.blob)
    }),
    { numRuns: 60 },
  )
})

describe('what is refused', () => {
  const day = 86_400_000
  const begin = new Date('2026-11-05T12:00:00Z')
  const refused: readonly (readonly [string, Partial<SshCertificateRequest>, string, string])[] = [
    ['no principal', { principals: [] }, 'bad_request', 'valid for every account'],
    [
      '65 principals',
      { principals: Array.from({ length: 65 }, (_, i) => `u${i}`) },
      'bad_request',
      'at most 64 principals',
    ],
    ...[
      '',
      'a,b',
      'a b',
      '-a',
      'a\n',
      'a\0',
      'é',
      '*',
      'a*',
      'a?',
      '"a"',
      '#a',
      '.a',
      'a\u202e',
      'x'.repeat(129),
    ].map(
      (principal) =>
        [
          `principal ${JSON.stringify(principal)}`,
          { principals: ['alice', principal] },
          'bad_request',
          'a principal',
        ] as const,
    ),
    ...['', 'a b', 'a\nb', 'a"b', "a'b", 'a;b', 'a$b', '-a', 'x'.repeat(513)].map(
      (keyId) => [`key id ${JSON.stringify(keyId)}`, { keyId }, 'bad_request', 'key id'] as const,
    ),
    ['serial 0', { serial: 0n }, 'bad_request', 'serial'],
    ['serial 2^64', { serial: 1n << 64n }, 'bad_request', 'serial'],
    ['short nonce', { nonce: Buffer.alloc(15) }, 'bad_request', 'nonce'],
    [
      'ends as it begins',
      { validAfter: begin, validBefore: begin },
      'bad_lifetime',
      'must not end before',
    ],
    [
      'must not end before',
      { validAfter: new Date(begin.getTime() + day), validBefore: begin },
      'bad_lifetime',
      'must not end before',
    ],
    [
      'parts of seconds',
      { validBefore: new Date(begin.getTime() + day + 1) },
      'bad_lifetime',
      'whole seconds',
    ],
    ['before 1970', { validAfter: new Date(-1000) }, 'bad_lifetime', 'since 1970'],
    ['no time', { validBefore: new Date(Number.NaN) }, 'bad_lifetime', 'whole seconds'],
    ['empty command', { forceCommand: '' }, 'bad_request', 'command'],
    ['two lines of command', { forceCommand: 'a\nb' }, 'bad_request', 'command'],
    ...[
      [],
      ['10.0.0.1/24'],
      ['10.0.0.0/33'],
      ['10.0.0'],
      ['010.0.0.0/8'],
      ['256.0.0.0/8'],
      ['10.0.0.0/8 '],
      ['::/129'],
      ['1::2::3'],
      ['1:2:3:4:5:6:7'],
      ['1:2:3:4:5:6:7:8:9'],
      ['1:2:3:4:5:6:7:8::'],
      ['fe80::1%eth0'],
      ['2001:db8::1/32'],
      ['::ffff:10.0.0.1'],
      ['!10.0.0.0/8'],
      ['*'],
      ['example.org'],
      ['10.0.0.0/8,0.0.0.0/0'],
    ].map(
      (sourceAddresses) =>
        [
          `from ${JSON.stringify(sourceAddresses)}`,
          { sourceAddresses },
          'bad_request',
          'source addresses',
        ] as const,
    ),
  ]
  test.for(refused)('%s', async ([, changes, code, why]) => {
    await expect(createSshCertificate(authority, sshRequest(changes))).rejects.toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(why) as string }),
    )
  })
  test.for([
    '0.0.0.0/0',
    '192.0.2.7',
    '192.0.2.7/32',
    '::/0',
    '::1',
    '2001:db8::/32',
    '1:2:3:4:5:6:7:8',
    '1::',
    'FE80::/10',
  ])('but not from %s', async (network) => {
    await createSshCertificate(authority, sshRequest({ sourceAddresses: [network] }))
  })
})

describe('the signature', () => {
  test.for(['ed25519', 'ec-p256', 'rsa-2048', 'rsa-3072'] as const)(
    'by a CA key %s',
    async (kind) => {
      const authority = sshAuthority(kind)
      const made = readSshCertificate(await createSshCertificate(authority, sshRequest()))
      const { signed, signature } = made
      await verifySshSignature(authority.publicKey, { data: signed, signature })
      const other = sshPublicKeyOf(sshKeyPair(kind, 'another CA').publicKey)
      await expect(verifySshSignature(other, { data: signed, signature })).rejects.toThrow(
        expect.objectContaining({ code: 'bad_signature' }),
      )
      const changed = Buffer.from(signed)
      changed[60] = (changed[60] ?? 0) ^ 1
      await expect(
        verifySshSignature(authority.publicKey, { data: changed, signature }),
      ).rejects.toThrow(expect.objectContaining({ code: 'bad_signature' }))
    },
  )
  test('ECDSA numbers that are short have their zeros again', async () => {
    const authority = sshAuthority('ec-p256')
    // One in 128 signatures has a number that begins with a zero octet.
    const lengths = new Set<number>()
    for (let count = 0; count < 600; count += 1) {
      const data = randomBytes(8)
      const signature = await authority.sign(data)
      lengths.add(signature.length)
      await verifySshSignature(authority.publicKey, { data, signature })
    }
    expect(lengths.size).toBeGreaterThan(2)
  })
  test('a signer that signs something else is caught', async () => {
    const faulty = { ...authority, sign: (data: Buffer) => authority.sign(data.subarray(1)) }
    await expect(createSshCertificate(faulty, sshRequest())).rejects.toThrow(
      expect.objectContaining({ code: 'self_check_failed' }),
    )
  })
  test('keys that are no CA key', () => {
    const { privateKey, publicKey } = sshKeyPair('ec-p384')
    for (const key of [privateKey, publicKey, generateKeyPairSync('ed448').privateKey])
      expect(() => openSshAuthority(key)).toThrow(CaError)
    const small = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey
    expect(() => openSshAuthority(small)).toThrow(expect.objectContaining({ code: 'weak_key' }))
  })
  test.for(sshAuthorityKeyKinds.filter((kind) => kind !== 'rsa-4096'))(
    'a new CA key %s',
    async (kind) => {
      const key = await generateSshAuthorityKey(kind)
      const authority = openSshAuthority(key)
      expect(authority.publicKey.kind).toBe(kind)
      expect(authority.publicKey.key.equals(createPublicKey(key))).toBe(true)
    },
  )
})

describe('as the service issues it', () => {
  const now = new Date('2026-11-05T12:00:00.750Z')
  const issue = (lifetimeSeconds: number, random = randomBytes) =>
    issueSshUserCertificate(authority, {
      ...sshRequest(),
      now,
      lifetimeSeconds,
      randomBytes: random,
    })
  test('begins 5 minutes back, ends on time, is numbered at random', async () => {
    const made = await issue(43_200)
    expect(made.notBefore).toEqual(new Date('2026-11-05T11:55:00Z'))
    expect(made.notAfter).toEqual(new Date('2026-11-06T00:00:00Z'))
    const read = readSshCertificateLine(made.line)
    expect(read.serial).toBe(made.serial)
    expect(read.validBefore).toBe(seconds(made.notAfter))
    const another = await issue(43_200)
    expect(another.serial).not.toBe(made.serial)
    expect(readSshCertificate(another.blob).nonce).not.toEqual(read.nonce)
  })
  test.for([0, -1, 0.5, 7 * 86_400 + 1, Number.NaN, Infinity])(
    '%s seconds are refused',
    async (life) => {
      await expect(issue(life)).rejects.toThrow(expect.objectContaining({ code: 'bad_lifetime' }))
    },
  )
  test('number 0 is not given, which could not be revoked', async () => {
    expect((await issue(60, (size) => Buffer.alloc(size))).serial).toBe(1n)
  })
})

test('any bytes give a certificate or a CaError', async () => {
  const good = await createSshCertificate(
    authority,
    sshRequest({ sourceAddresses: ['::1'], extensions: [...sshExtensions] }),
  )
  const change = fc.tuple(fc.nat(good.length), fc.nat(255), fc.constantFrom('set', 'insert', 'cut'))
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
      let blob = good
      for (const [at, octet, how] of changes) {
        const rest = blob.subarray(how === 'insert' ? at : at + 1)
        blob = Buffer.concat([
          blob.subarray(0, at),
          ...(how === 'cut' ? [] : [Buffer.of(octet)]),
          rest,
        ])
      }
      try {
        readSshCertificate(blob)
      } catch (error) {
        if (!(error instanceof CaError)) throw error
      }
    }),
    { numRuns: 500 },
  )
})
