import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { keyKinds } from '../../ca/key.ts'
import { decryptPrivateKey, encryptPrivateKey, PBKDF2_ITERATIONS } from '../../ca/private-key.ts'
import { pkcs8Pem, sharedKey } from '../support/keys.ts'
import { openssl } from '../support/openssl.ts'

const QUICK = 1000
const badAuthority = expect.objectContaining({ name: 'CaError', code: 'bad_authority' }) as Error

let key: KeyObject
beforeAll(async () => {
  key = await sharedKey('ec-p256')
})

describe('private keys at rest', () => {
  test('are PBES2 with PBKDF2-HMAC-SHA-256, 600,000 rounds, and AES-256-CBC', async () => {
    const pem = await encryptPrivateKey(key, 'secret')
    const { text } = await openssl(['asn1parse', '-in', 'key'], { key: pem })
    const fields = text
      .split('\n')
      .flatMap((line) => /prim:\s+(\S.*?)\s*(?::(.*))?$/.exec(line)?.slice(1).join(':') ?? [])
    expect(PBKDF2_ITERATIONS).toBe(600_000)
    expect(
      fields.map((field) => field.replace(/(OCTET STRING).*/, '$1').replace(/\s+/g, ' ')),
    ).toEqual([
      'OBJECT:PBES2',
      'OBJECT:PBKDF2',
      'OCTET STRING',
      `INTEGER:${(600_000).toString(16).toUpperCase().padStart(6, '0')}`,
      'OBJECT:hmacWithSHA256',
      'NULL:',
      'OBJECT:aes-256-cbc',
      'OCTET STRING',
      'OCTET STRING',
    ])
  })

  test.for(keyKinds.filter((kind) => kind !== 'rsa-4096'))(
    '%s: openssl reads it with the passphrase only',
    async (kind) => {
      const own = await sharedKey(kind)
      const pem = await encryptPrivateKey(own, 'pässphrase with blanks', QUICK)
      const read = await openssl(['pkey', '-in', 'key', '-passin', 'file:pass'], {
        key: pem,
        pass: 'pässphrase with blanks\n',
      })
      expect(read.stdout.toString() === pkcs8Pem(own)).toBe(true)
      const wrong = await openssl(['pkey', '-in', 'key', '-passin', 'pass:wrong'], { key: pem })
      expect(wrong.ok).toBe(false)
      expect(decryptPrivateKey(pem, 'pässphrase with blanks').equals(own)).toBe(true)
    },
  )

  test('differ in salt and vector each time', async () => {
    const one = await encryptPrivateKey(key, 'secret', QUICK)
    expect(await encryptPrivateKey(key, 'secret', QUICK)).not.toBe(one)
    expect(one).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY-----\n/)
  })

  test.for([
    ['PKCS#8 by openssl', ['pkcs8', '-topk8', '-v2', 'aes-256-cbc', '-iter', '2000']],
    ['scrypt', ['pkcs8', '-topk8', '-scrypt']],
    ['the traditional form', ['ec', '-aes256']],
  ] as const)('of openssl are read: %s', async ([, args]) => {
    const { stdout } = await openssl([...args, '-in', 'key', '-passout', 'pass:secret'], {
      key: pkcs8Pem(key),
    })
    expect(decryptPrivateKey(stdout.toString(), 'secret').equals(key)).toBe(true)
    expect(() => decryptPrivateKey(stdout.toString(), 'wrong')).toThrow(badAuthority)
  })

  test('in clear are read without passphrase', () => {
    expect(decryptPrivateKey(pkcs8Pem(key), undefined).equals(key)).toBe(true)
  })

  test('that cannot be read are refused, and nothing of them is told', async () => {
    const pem = await encryptPrivateKey(key, 'secret', QUICK)
    const publicPem = generateKeyPairSync('ed25519')
      .publicKey.export({ type: 'spki', format: 'pem' })
      .toString()
    const cases: [string, string | undefined][] = [
      [pem, 'wrong'],
      [pem, ''],
      [pem, undefined],
      [pem.replace(/\n[^-\n]+\n/, '\n'), 'secret'],
      [pem.slice(0, 200), 'secret'],
      [publicPem, undefined],
      ['', 'secret'],
      ['text', undefined],
    ]
    for (const [text, passphrase] of cases) {
      let error: unknown
      try {
        decryptPrivateKey(text, passphrase)
      } catch (cause) {
        error = cause
      }
      expect(error).toEqual(badAuthority)
      expect(String(error)).not.toMatch(/secret|wrong|[A-Za-z0-9+/]{40}/)
    }
  })
})
