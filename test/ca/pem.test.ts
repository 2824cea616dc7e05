import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CaError } from '../../ca/errors.ts'
import { containsPrivateKey, readPem, toPem } from '../../ca/pem.ts'

const block = toPem('X', Buffer.from('hello'))
const label = fc.constantFrom('CERTIFICATE', 'PRIVATE KEY', 'X509 CRL', 'A')

describe('PEM', () => {
  test('blocks come back, whatever stands between them', () => {
    const blocks = fc.array(fc.tuple(label, fc.uint8Array({ minLength: 1, maxLength: 200 })), {
      maxLength: 4,
    })
    const between = fc.constantFrom('', 'text\n', '\n\n', '# CN=a\n', '----- nothing -----\n')
    fc.assert(
      fc.property(
        blocks,
        between,
        fc.constantFrom('\n', '\r\n', '\r', ' \n', '\n\n'),
        (wanted, text, end) => {
          const pem = wanted.map(([name, der]) => text + toPem(name, Buffer.from(der))).join('')
          expect(readPem(pem.replaceAll('\n', end), 'PEM')).toEqual(
            wanted.map(([name, der]) => ({ label: name, der: Buffer.from(der) })),
          )
        },
      ),
    )
  })

  test('lines have 64 characters, the last one ends too', () => {
    const lines = toPem('CERTIFICATE', Buffer.alloc(100)).split('\n')
    expect(lines.map(({ length }) => length)).toEqual([27, 64, 64, 8, 25, 0])
  })

  test.for([
    ['no last newline', block.trimEnd()],
    [
      'one long line',
      toPem('X', Buffer.alloc(300)).replace(/(?<=[A-Za-z0-9+/])\n(?=[A-Za-z0-9+/])/g, ''),
    ],
    ['blanks around lines', block.replaceAll('\n', '  \n\t')],
    ['a byte order mark', `\ufeff\n${block}`],
    ['text in front without line end between', `text\n${block}text`],
  ] as const)('%s is read', ([, text]) => {
    expect(readPem(text, 'PEM')).toHaveLength(1)
  })

  test.for([
    ['an end without begin', '-----END X-----\n'],
    ['a begin without end', block.split('-----END')[0] ?? ''],
    ['another label at the end', block.replace('END X', 'END Y')],
    ['a block in a block', `-----BEGIN X-----\n${block}`],
    ['two ends', `${block}-----END X-----\n`],
    ['an empty block', '-----BEGIN X-----\n-----END X-----\n'],
    ['other than base64', block.replace('aGVs', 'a*Vs')],
    ['base64url', block.replace('aGVs', 'a-_s')],
    ['a cut group', block.replace('aGVs', 'aGV')],
    ['padding within', block.replace('aGVs', 'aG==')],
    ['headers of an encrypted key', block.replace('\n', '\nProc-Type: 4,ENCRYPTED\n\n')],
  ] as const)('%s is refused', ([, text]) => {
    expect(() => readPem(text, 'PEM')).toThrow(
      expect.objectContaining({ name: 'CaError', code: 'malformed' }),
    )
  })

  test('no block at all is an empty list', () => {
    for (const text of ['', 'text', '-----BEGIN lower case-----\n', '----BEGIN X----\n'])
      expect(readPem(text, 'PEM')).toEqual([])
  })

  test('too much is refused before it is read', () => {
    const tooLarge = expect.objectContaining({ code: 'too_large' }) as Error
    expect(() => readPem('x'.repeat(256 * 1024 + 1), 'PEM')).toThrow(tooLarge)
    expect(() => readPem(block, 'PEM', block.length - 1)).toThrow(tooLarge)
    expect(readPem(block, 'PEM', block.length)).toHaveLength(1)
  })

  test('any text gives blocks or a refusal, quickly', () => {
    const line = fc.constantFrom(
      '-----BEGIN X-----',
      '-----END X-----',
      'aGVsbG8=',
      '=',
      '',
      '-----BEGIN',
      'a'.repeat(64),
      '-'.repeat(40),
    )
    fc.assert(
      fc.property(fc.array(fc.oneof(line, fc.string()), { maxLength: 10 }), (lines) => {
        try {
          for (const { der } of readPem(lines.join('\n'), 'PEM'))
            expect(der.length).toBeGreaterThan(0)
        } catch (error) {
          expect(error).toBeInstanceOf(CaError)
        }
      }),
    )
    for (const text of [
      '-----BEGIN '.repeat(20_000),
      `-----BEGIN X-----\n${'A\n'.repeat(100_000)}`,
      '\r\n'.repeat(120_000),
      `-----BEGIN X-----\n${'A'.repeat(250_000)}!\n-----END X-----`,
    ])
      expect(() => readPem(text, 'PEM').length === 0 || undefined).not.toThrow(TypeError)
  })
})

describe('containsPrivateKey', () => {
  test.for([
    ['PKCS#8', '-----BEGIN PRIVATE KEY-----'],
    ['encrypted', '-----BEGIN ENCRYPTED PRIVATE KEY-----'],
    ['RSA', '-----BEGIN RSA PRIVATE KEY-----'],
    ['EC', '-----BEGIN EC PRIVATE KEY-----'],
    ['DSA', '-----BEGIN DSA PRIVATE KEY-----'],
    ['OpenSSH', '-----BEGIN OPENSSH PRIVATE KEY-----'],
    ['SSH2', '---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----'],
    ['PGP', '-----BEGIN PGP PRIVATE KEY BLOCK-----'],
    ['PuTTY', 'PuTTY-User-Key-File-3: ssh-ed25519'],
    ['lower case', '-----begin private key-----'],
    ['a form in which + stands for a blank', 'csr=-----BEGIN+RSA+PRIVATE+KEY-----'],
    ['behind other text on the line', 'csr: -----BEGIN PRIVATE KEY-----MIIE'],
  ] as const)('%s', ([, text]) => {
    expect(containsPrivateKey(text)).toBe(true)
    expect(containsPrivateKey(`${block}\n${text}\n`)).toBe(true)
  })

  test.for([
    ['nothing', ''],
    ['a certificate', toPem('CERTIFICATE', Buffer.alloc(100))],
    ['a request', toPem('CERTIFICATE REQUEST', Buffer.alloc(100))],
    ['a public key', toPem('PUBLIC KEY', Buffer.alloc(100))],
    ['words about private keys', 'my PRIVATE KEY, which I BEGIN to keep'],
  ] as const)('not: %s', ([, text]) => expect(containsPrivateKey(text)).toBe(false))

  test('any text without such a line is passed over, in linear time', () => {
    fc.assert(fc.property(fc.string(), (text) => !containsPrivateKey(text)))
    expect(containsPrivateKey('-----BEGIN '.repeat(100_000))).toBe(false)
  })
})
