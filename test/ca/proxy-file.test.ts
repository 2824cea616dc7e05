import { createPrivateKey } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Certificate } from '../../ca/certificate.ts'
import { readPem, toPem } from '../../ca/pem.ts'
import { encryptPrivateKey } from '../../ca/private-key.ts'
import {
  formatProxyFile,
  keyBelongsTo,
  MAX_PROXY_FILE_LENGTH,
  parseProxyFile,
} from '../../ca/proxy-file.ts'
import { type BuiltChain, buildChain } from '../support/certificate-builder.ts'
import { pkcs8Pem, sharedKey } from '../support/keys.ts'
import { openssl } from '../support/openssl.ts'

let chain: BuiltChain
let text: string
beforeAll(async () => {
  chain = await buildChain({ intermediate: {}, proxies: [{}] })
  ;({ text } = chain)
})

const refusal = (code: string): Error => expect.objectContaining({ name: 'CaError', code }) as Error
const ders = (certificates: readonly Certificate[]): Buffer[] => certificates.map(({ der }) => der)

describe('a proxy file', () => {
  test('holds proxy, key, EEC and intermediates in this order', () => {
    const blocks = readPem(text, 'file')
    expect(blocks.map(({ label }) => label)).toEqual([
      'CERTIFICATE',
      'RSA PRIVATE KEY',
      'CERTIFICATE',
      'CERTIFICATE',
    ])
    const certificates = blocks.filter(({ label }) => label === 'CERTIFICATE').map(({ der }) => der)
    expect(certificates).toEqual(ders(chain.certificates))
    expect(text).toMatch(/^-----BEGIN CERTIFICATE-----\n/)
    expect(text).toMatch(/\n-----END CERTIFICATE-----\n$/)
    expect(text).not.toContain('\r')
    expect(text.split('\n').every((line) => line.length <= 64)).toBe(true)
  })

  test.for([
    { kind: 'rsa-2048', format: undefined, label: 'RSA PRIVATE KEY' },
    { kind: 'rsa-2048', format: 'pkcs1', label: 'RSA PRIVATE KEY' },
    { kind: 'rsa-2048', format: 'pkcs8', label: 'PRIVATE KEY' },
    // Globus does not read "EC PRIVATE KEY".
    { kind: 'ec-p256', format: undefined, label: 'PRIVATE KEY' },
    { kind: 'ec-p256', format: 'pkcs1', label: 'PRIVATE KEY' },
    { kind: 'ec-p256', format: 'pkcs8', label: 'PRIVATE KEY' },
  ] as const)(
    'holds a key of $kind in format $format as $label',
    async ({ kind, format, label }) => {
      const privateKey = await sharedKey(kind)
      const [proxy = Buffer.alloc(0)] = ders(chain.certificates)
      const made = formatProxyFile(proxy, format ? { privateKey, format } : privateKey, [])
      const read = parseProxyFile(made)
      expect(read.labels).toEqual(['CERTIFICATE', label])
      expect(read.privateKey?.equals(privateKey)).toBe(true)
      const der = readPem(made, 'file')[1]?.der ?? Buffer.alloc(0)
      // Read by the format that the label promises, and not by whatever format the bytes are in.
      const type = label === 'PRIVATE KEY' ? 'pkcs8' : 'pkcs1'
      const key = createPrivateKey({ key: der, format: 'der', type })
      expect(key.equals(privateKey)).toBe(true)
    },
  )

  test('has no key when it stayed with the caller', () => {
    const [proxy = Buffer.alloc(0), ...rest] = ders(chain.certificates)
    expect(
      readPem(formatProxyFile(proxy, undefined, rest), 'file').map(({ label }) => label),
    ).toEqual(Array<string>(3).fill('CERTIFICATE'))
  })

  test('is read by openssl: certificate first, key that belongs to it', async () => {
    const { stdout: ofCertificate } = await openssl(['x509', '-in', 'file', '-noout', '-pubkey'], {
      file: text,
    })
    const { stdout: ofKey } = await openssl(['pkey', '-in', 'file', '-pubout'], { file: text })
    expect(ofKey.toString()).toMatch(/^-----BEGIN PUBLIC KEY/)
    expect(ofCertificate.toString() === ofKey.toString()).toBe(true)
  })
})

describe('reading', () => {
  const blocksOf = (): string[] => text.match(/-----BEGIN[^]*?-----END [A-Z ]+-----\n/g) ?? []

  test.for<readonly [string, () => string]>([
    ['as it was made', () => text],
    ['with CRLF', () => text.replaceAll('\n', '\r\n')],
    ['without last newline', () => text.trimEnd()],
    [
      'with text around the blocks',
      () => `subject=/CN=a\n${text.replaceAll('-----BEGIN', 'issuer=/CN=b\n-----BEGIN')}end`,
    ],
    ['with empty lines between', () => text.replaceAll('-----BEGIN', '\n\n-----BEGIN')],
    [
      'with one long line',
      () =>
        blocksOf()
          .map((block) => block.replace(/(?<=[A-Za-z0-9+/=])\n(?=[A-Za-z0-9+/=])/g, ''))
          .join(''),
    ],
  ])('%s', ([, file]) => {
    const read = parseProxyFile(file())
    expect(ders(read.certificates)).toEqual(ders(chain.certificates))
    expect(read.labels).toEqual(['CERTIFICATE', 'RSA PRIVATE KEY', 'CERTIFICATE', 'CERTIFICATE'])
    expect(read.privateKey?.equals(chain.proxies[0]?.privateKey ?? createPrivateKey(''))).toBe(true)
  })

  test('another order is told by the labels', () => {
    const [proxy = '', key = '', ...rest] = blocksOf()
    const read = parseProxyFile([key, proxy, ...rest].join(''))
    expect(read.labels[0]).toBe('RSA PRIVATE KEY')
    expect(ders(read.certificates)).toEqual(ders(chain.certificates))
  })

  test.for([
    { kind: 'rsa-2048', type: 'pkcs1', label: 'RSA PRIVATE KEY' },
    { kind: 'rsa-2048', type: 'pkcs8', label: 'PRIVATE KEY' },
    { kind: 'ec-p256', type: 'sec1', label: 'EC PRIVATE KEY' },
    { kind: 'ec-p256', type: 'pkcs8', label: 'PRIVATE KEY' },
  ] as const)('a key of $kind as $type', async ({ kind, type, label }) => {
    const key = await sharedKey(kind)
    const read = parseProxyFile(
      (blocksOf()[0] ?? '') + key.export({ type, format: 'pem' }).toString(),
    )
    expect(read.privateKey?.equals(key)).toBe(true)
    expect(read.labels[1]).toBe(label)
  })

  test('no key is no error', () => {
    expect(parseProxyFile(blocksOf()[0] ?? '').privateKey).toBeUndefined()
  })

  test.for<readonly [string, () => string | Promise<string>, string]>([
    ['nothing', () => '', 'bad_proxy_file'],
    ['text', () => 'not a proxy', 'bad_proxy_file'],
    ['a key alone', () => blocksOf()[1] ?? '', 'bad_proxy_file'],
    ['two keys', () => text + (blocksOf()[1] ?? ''), 'bad_proxy_file'],
    [
      'an encrypted key',
      async () =>
        (blocksOf()[0] ?? '') +
        (await encryptPrivateKey(await sharedKey('ec-p256'), 'secret', 1000)),
      'bad_proxy_file',
    ],
    [
      'a key that is none',
      () => (blocksOf()[0] ?? '') + toPem('PRIVATE KEY', Buffer.of(0x30, 0)),
      'bad_proxy_file',
    ],
    ['a certificate that is none', () => toPem('CERTIFICATE', Buffer.of(0x30, 0)), 'malformed'],
    ['a cut file', () => text.slice(0, -30), 'malformed'],
    ['too much', () => 'x'.repeat(MAX_PROXY_FILE_LENGTH + 1), 'too_large'],
  ])('%s is refused', async ([, file, code]) => {
    const content = await file()
    expect(() => parseProxyFile(content)).toThrow(refusal(code))
  })

  test('errors do not tell the key', async () => {
    const key = pkcs8Pem(await sharedKey('rsa-2048'))
    for (const file of [key, text + key, (blocksOf()[0] ?? '') + key.replace('MII', 'MIJ')]) {
      let error: unknown
      try {
        parseProxyFile(file)
      } catch (cause) {
        error = cause
      }
      expect(error).toBeInstanceOf(Error)
      expect(/[A-Za-z0-9+/]{40}/.test(String(error))).toBe(false)
    }
  })
})

test('a key belongs to its certificate only', () => {
  const [proxy, endEntity] = chain.certificates
  const key = chain.proxies[0]?.privateKey
  if (!proxy || !endEntity || !key) throw new Error('incomplete chain')
  expect(keyBelongsTo(key, proxy)).toBe(true)
  expect(keyBelongsTo(key, endEntity)).toBe(false)
  expect(keyBelongsTo(chain.endEntity.privateKey, endEntity)).toBe(true)
})
