import { generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CaError } from '../../../ca/errors.ts'
import {
  formatSshPublicKey,
  MAX_PUBLIC_KEY_CHARACTERS,
  readSshPublicKey,
  readSshPublicKeyLine,
  sshPublicKeyOf,
} from '../../../ca/ssh/public-key.ts'
import { wireMpint, wireString } from '../../../ca/ssh/wire.ts'
import {
  lineOf,
  openSshPrivateKey,
  securityKeyBlob,
  sshBlob,
  sshKeyPair,
  strings,
  testKeyKinds,
} from '../../support/ssh-keys.ts'

describe('keys of every kind', () => {
  test.for(testKeyKinds)('%s is read from a line and written back', (kind) => {
    const { publicKey } = sshKeyPair(kind)
    const blob = sshBlob(kind)
    const read = readSshPublicKeyLine(`  ${lineOf(blob, 'jo\u00e9 \t anything')}\r\n`)
    expect(read).toMatchObject({ kind, blob })
    expect(read.key.equals(publicKey)).toBe(true)
    expect(formatSshPublicKey(read, 'x')).toBe(`${lineOf(blob, 'x')}\n`)
    expect(readSshPublicKeyLine(lineOf(blob, '').trim()).blob).toEqual(blob)
  })
  test.for(['ed25519', 'ec-p256'] as const)('%s in a security key', (kind) => {
    const blob = securityKeyBlob(kind, 'ssh:cluster')
    expect(readSshPublicKeyLine(lineOf(blob))).toMatchObject({ kind: `sk-${kind}`, blob })
  })
})

const ed25519 = sshBlob('ed25519')
const p256 = sshBlob('ec-p256')
const littleEndian = (value: bigint): Buffer =>
  Buffer.from(value.toString(16).padStart(64, '0'), 'hex').reverse()
const prime = (1n << 255n) - 19n
const rsa = (modulus: Buffer, exponent: Buffer): Buffer =>
  Buffer.concat([wireString('ssh-rsa'), wireMpint(exponent), wireMpint(modulus)])
const modulusOf = (bits: number): Buffer => {
  const { n = '' } = generateKeyPairSync('rsa', { modulusLength: bits }).publicKey.export({
    format: 'jwk',
  })
  return Buffer.from(n, 'base64url')
}
const f4 = Buffer.from('010001', 'hex')
const modulus2048 = modulusOf(2048)
describe('blobs that are refused', () => {
  const point = p256.subarray(-65)
  const offCurve = Buffer.from(point)
  offCurve[64] = (offCurve[64] ?? 0) ^ 1
  test.for([
    ['nothing', Buffer.alloc(0), 'malformed', 'it is truncated'],
    ['over 2 KiB', Buffer.alloc(2049), 'too_large', '2049 bytes; at most 2048'],
    ['trailing byte', Buffer.concat([ed25519, Buffer.of(0)]), 'malformed', 'bytes after its end'],
    ['one byte short', ed25519.subarray(0, -1), 'malformed', 'it is truncated'],
    ['Ed25519 of 31', strings('ssh-ed25519', Buffer.alloc(31, 9)), 'malformed', '32 octets'],
    ['Ed25519 of 33', strings('ssh-ed25519', Buffer.alloc(33, 9)), 'malformed', 'at most 32'],
    ['y = p', strings('ssh-ed25519', littleEndian(prime)), 'malformed', 'canonical'],
    ['order 1', strings('ssh-ed25519', littleEndian(1n)), 'weak_key', 'small order'],
    ['order 2', strings('ssh-ed25519', littleEndian(prime - 1n)), 'weak_key', 'small order'],
    ['order 4', strings('ssh-ed25519', littleEndian(0n)), 'weak_key', 'small order'],
    ['order 4, sign', strings('ssh-ed25519', littleEndian(1n << 255n)), 'weak_key', 'small order'],
    ['DSA', strings('ssh-dss', 'p', 'q', 'g', 'y'), 'weak_key', 'DSA'],
    ['Ed448', strings('ssh-ed448', Buffer.alloc(57)), 'weak_key', 'this type'],
    ['unknown', strings('hello', ''), 'malformed', 'begin with its type'],
    ['RSA 1024', rsa(modulusOf(1024), f4), 'weak_key', 'has 1024 bits; at least 2048'],
    ['RSA 2040', rsa(modulusOf(2040), f4), 'weak_key', 'has 2040 bits; at least 2048'],
    ['RSA > 8192', rsa(Buffer.alloc(1025, 0xff), f4), 'malformed', 'at most 1025'],
    ['RSA e = 3', rsa(modulus2048, Buffer.of(3)), 'weak_key', 'exponent'],
    ['RSA e = 0', rsa(modulus2048, Buffer.of(0)), 'weak_key', 'exponent'],
    ['RSA e even', rsa(modulus2048, Buffer.from('010002', 'hex')), 'weak_key', 'exponent'],
    ['RSA n even', rsa(Buffer.alloc(256, 0xfe), f4), 'weak_key', 'small factor'],
    ['RSA n = 0', rsa(Buffer.alloc(0), f4), 'weak_key', '0 bits'],
    [
      'point off the curve',
      strings('ecdsa-sha2-nistp256', 'nistp256', offCurve),
      'weak_key',
      'OpenSSL',
    ],
    [
      'point at infinity',
      strings('ecdsa-sha2-nistp256', 'nistp256', Buffer.of(0)),
      'malformed',
      'uncompressed',
    ],
    [
      'compressed point',
      strings(
        'ecdsa-sha2-nistp256',
        'nistp256',
        Buffer.concat([Buffer.of(2), point.subarray(1, 33)]),
      ),
      'malformed',
      'uncompressed',
    ],
    ['another curve', strings('ecdsa-sha2-nistp384', 'nistp256', point), 'malformed', 'curve'],
    ['no such curve', strings('ecdsa-sha2-nistp256', '__proto__', point), 'malformed', 'curve'],
    ['security key for the web', securityKeyBlob('ed25519', 'https://a'), 'malformed', 'ssh:'],
    ['security key with a blank', securityKeyBlob('ed25519', 'ssh: a'), 'malformed', 'ssh:'],
  ] as const)('%s', ([, blob, code, why]) => {
    expect(() => readSshPublicKey(blob)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(why) as string }),
    )
  })

  test('all points of order 8, found by calculation', () => {
    for (const y of pointsOfOrderEight())
      for (const sign of [0n, 1n << 255n])
        expect(() => readSshPublicKey(strings('ssh-ed25519', littleEndian(y | sign)))).toThrow(
          expect.objectContaining({ code: 'weak_key' }),
        )
  })
})

/** Doubling such a point gives y = 0, that is d y^4 + 2 y^2 - 1 = 0. */
function pointsOfOrderEight(): readonly bigint[] {
  const mod = (value: bigint): bigint => ((value % prime) + prime) % prime
  const power = (base: bigint, exponent: bigint): bigint => {
    let result = 1n
    for (let square = mod(base), left = exponent; left > 0n; left >>= 1n) {
      if (left & 1n) result = mod(result * square)
      square = mod(square * square)
    }
    return result
  }
  const inverse = (value: bigint): bigint => power(value, prime - 2n)
  const root = (value: bigint): bigint[] => {
    const first = power(value, (prime + 3n) / 8n)
    const other = mod(first * power(2n, (prime - 1n) / 4n))
    return [first, other].filter((x) => mod(x * x - value) === 0n).flatMap((x) => [x, mod(-x)])
  }
  const d = mod(-121665n * inverse(121666n))
  const found = root(mod(1n + d)).flatMap((s) => root(mod((s - 1n) * inverse(d))))
  expect(found).toHaveLength(2)
  return found
}

describe('lines that are refused', () => {
  const line = lineOf(ed25519)
  const base64 = ed25519.toString('base64')
  const pem = sshKeyPair('ed25519').publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const secret = openSshPrivateKey(sshKeyPair('ed25519').privateKey)
  test.for([
    ['nothing', '', 'malformed', 'begin with its type'],
    ['blanks', ' \t\n', 'malformed', 'begin with its type'],
    ['type alone', 'ssh-ed25519', 'malformed', 'type base64 comment'],
    ['base64 alone', base64, 'malformed', 'begin with its type'],
    ['two lines', `${line}\n${line}`, 'malformed', 'one line'],
    ['NUL', `${line}\0`, 'malformed', 'one line'],
    ['carriage return in the comment', `${line} a\rb`, 'malformed', 'one line'],
    ['escape in the comment', `${line} \u001b[2J`, 'malformed', 'one line'],
    ['too long', `${line}${'x'.repeat(MAX_PUBLIC_KEY_CHARACTERS)}`, 'too_large', 'at most 4096'],
    ['options in front', `from="*" ${line}`, 'malformed', 'begin with its type'],
    ['cert-authority in front', `cert-authority ${line}`, 'malformed', 'begin with its type'],
    ['base64url', `ssh-ed25519 ${base64.replace('A', '_')}`, 'malformed', 'type base64 comment'],
    [
      'base64 with a hole',
      `ssh-ed25519 ${base64.slice(0, 8)}*${base64.slice(8)}`,
      'malformed',
      'type base64',
    ],
    [
      'base64 unpadded',
      `ecdsa-sha2-nistp256 ${p256.toString('base64').replace(/=+$/, '')}`,
      'malformed',
      'type base64',
    ],
    ['another type in front', `ssh-rsa ${base64}`, 'malformed', 'holds a key of another type'],
    [
      'certificate',
      `ssh-ed25519-cert-v01@openssh.com ${base64}`,
      'malformed',
      'this is a certificate',
    ],
    ['DSA', `ssh-dss ${base64}`, 'weak_key', 'DSA'],
    ['private key', secret, 'malformed', 'must never be sent'],
    ['PuTTY', 'PuTTY-User-Key-File-3: ssh-ed25519', 'malformed', 'must never be sent'],
    ['PEM', pem, 'malformed', 'ssh-keygen -i'],
    ['RFC 4716', '---- BEGIN SSH2 PUBLIC KEY ----\nAAAA', 'malformed', 'ssh-keygen -i'],
  ] as const)('%s', ([, text, code, why]) => {
    let message = ''
    try {
      readSshPublicKeyLine(text)
    } catch (error) {
      if (!(error instanceof CaError)) throw error
      expect(error.code).toBe(code)
      message = error.message
    }
    expect(message).toContain(why)
    expect(message).not.toContain(base64.slice(-20))
  })
  test('keys of node:crypto that SSH has no type for', () => {
    const koblitz = generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey
    const x448 = generateKeyPairSync('x448').publicKey
    for (const key of [koblitz, x448]) expect(() => sshPublicKeyOf(key)).toThrow(CaError)
  })
})

describe('any bytes give a key or a CaError', () => {
  const seeds = [
    ...testKeyKinds.map(sshBlob),
    securityKeyBlob('ed25519'),
    securityKeyBlob('ec-p256'),
  ]
  const refusesOrReads = (read: () => { readonly blob: Buffer }, blob?: Buffer): void => {
    try {
      const key = read()
      // What is accepted is accepted as it stands: no second spelling of one key.
      if (blob !== undefined) expect(key.blob).toEqual(blob)
    } catch (error) {
      if (!(error instanceof CaError)) throw error
    }
  }
  test('at random', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const blob = Buffer.from(bytes)
        refusesOrReads(() => readSshPublicKey(blob), blob)
      }),
    )
  })
  test('a good key with octets changed, cut or added', () => {
    const change = fc.tuple(fc.nat(600), fc.nat(255), fc.constantFrom('set', 'insert', 'cut'))
    fc.assert(
      fc.property(
        fc.constantFrom(...seeds),
        fc.array(change, { maxLength: 3 }),
        (seed, changes) => {
          let blob = Buffer.from(seed)
          for (const [where, octet, how] of changes) {
            const at = where % (blob.length + 1)
            const rest = blob.subarray(how === 'insert' ? at : at + 1)
            blob = Buffer.concat([
              blob.subarray(0, at),
              ...(how === 'cut' ? [] : [Buffer.of(octet)]),
              rest,
            ])
          }
          refusesOrReads(() => readSshPublicKey(blob), blob)
        },
      ),
      { numRuns: 400 },
    )
  })
  test('lines', () => {
    const piece = fc.constantFrom(
      'ssh-ed25519',
      ' ',
      '\t',
      '\n',
      '\0',
      '=',
      lineOf(ed25519),
      'sk-',
      '"',
    )
    fc.assert(
      fc.property(fc.array(fc.oneof(piece, fc.string()), { maxLength: 6 }), (pieces) => {
        refusesOrReads(() => readSshPublicKeyLine(pieces.join('')))
      }),
    )
  })
})
