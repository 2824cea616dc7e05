import { X509Certificate } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { bitString, nullValue, sequence } from '../../ca/asn1.ts'
import { childrenOf, decode } from '../../ca/asn1-read.ts'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import { useTestService } from '../support/service.ts'
import {
  asPem,
  builtCsr,
  challengeAttribute,
  curveCsr,
  deepDer,
  dsaCsr,
  ed25519Csr,
  explicitCurve,
  greedyCsr,
  notACsr,
  rsaCsr,
  rsaInfo,
  rsaModulus,
  smallExponentCsr,
  strayPoint,
} from './csr-cases.ts'
import { ask, derOf, everythingSaid, problemOf, quick, refusalsOf, soundCsr } from './support.ts'

const service = useTestService(quick)

interface Row {
  readonly name: string
  readonly csr: () => string | Buffer | Promise<string | Buffer>
  readonly status?: number
  readonly code?: string
  readonly check: string
  readonly says: RegExp
}

const exponent = (value: number): Buffer => Buffer.from(value.toString(16).padStart(6, '0'), 'hex')
const withExponent = (value: number) => (): Buffer =>
  builtCsr({ info: () => rsaInfo(rsaModulus(), exponent(value)) })

// prettier-ignore
const rows: readonly Row[] = [
  // structure
  { name: 'truncated DER', csr: () => builtCsr().subarray(0, -10), check: 'malformed', says: /CSR/ },
  { name: 'truncated to one byte', csr: () => Buffer.from([0x30]), check: 'malformed', says: /CSR/ },
  { name: 'truncated PEM', csr: async () => (await soundCsr()).slice(0, 200), check: 'malformed', says: /not ended/ },
  { name: 'PEM on one line', csr: async () => (await soundCsr()).replaceAll('\n', ''), check: 'malformed', says: /exactly one/ },
  { name: 'PEM with a line lost', csr: async () => (await soundCsr()).split('\n').toSpliced(2, 1).join('\n'), check: 'malformed', says: /CSR/ },
  { name: 'not base64', csr: () => '-----BEGIN CERTIFICATE REQUEST-----\n***\n-----END CERTIFICATE REQUEST-----\n', check: 'malformed', says: /base64/ },
  { name: 'PEM of nothing', csr: () => '-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n', check: 'malformed', says: /base64/ },
  { name: 'PEM of garbage', csr: () => asPem(Buffer.alloc(300, 0x5a)), check: 'malformed', says: /CSR/ },
  { name: 'DER of garbage', csr: () => Buffer.concat([Buffer.from([0x30, 0x82, 1, 0]), Buffer.alloc(256, 0xff)]), check: 'malformed', says: /CSR/ },
  { name: 'endless length', csr: () => Buffer.from([0x30, 0x80, 0, 0]), check: 'malformed', says: /CSR/ },
  { name: 'length of 4 GiB', csr: () => Buffer.from([0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 1]), check: 'malformed', says: /CSR/ },
  { name: 'deeply nested', csr: deepDer, check: 'malformed', says: /CSR/ },
  { name: 'trailing bytes, DER', csr: () => builtCsr({ trailing: Buffer.from('x') }), check: 'malformed', says: /CSR/ },
  { name: 'trailing bytes, PEM', csr: () => asPem(builtCsr({ trailing: Buffer.alloc(4) })), check: 'malformed', says: /CSR/ },
  { name: 'two requests, PEM', csr: async () => `${await soundCsr()}${asPem(builtCsr())}`, check: 'malformed', says: /exactly one/ },
  { name: 'two requests, DER', csr: () => Buffer.concat([builtCsr(), builtCsr()]), check: 'malformed', says: /CSR/ },
  { name: 'a private key instead', csr: notACsr, code: 'invalid_request', check: 'private_key', says: /treat it as stolen/ },
  { name: 'a certificate instead', csr: () => derCertificate(), check: 'malformed', says: /CSR|public key/ },
  { name: 'fourth part', csr: () => builtCsr({ more: [nullValue()] }), check: 'malformed', says: /unexpected parts/ },
  { name: 'version 1', csr: () => builtCsr({ version: 1 }), check: 'malformed', says: /version/ },
  // proof of possession
  { name: 'wrong signature', csr: () => builtCsr({ breakSignature: true }), check: 'bad_signature', says: /does not match/ },
  { name: 'signed by another key', csr: () => builtCsr({ info: () => childInfo(builtCsr()) }), check: 'bad_signature', says: /does not match/ },
  { name: 'SHA-1', csr: () => rsaCsr(2048, '-sha1'), check: 'bad_signature', says: /SHA-256/ },
  { name: 'MD5', csr: () => rsaCsr(2048, '-md5'), check: 'bad_signature', says: /SHA-256/ },
  { name: 'algorithm of RSA on an EC key', csr: () => builtCsr({ algorithm: '1.2.840.113549.1.1.11' }), check: 'bad_signature', says: /does not match|algorithm/ },
  { name: 'hash other than it says', csr: () => builtCsr({ hash: 'sha512' }), check: 'bad_signature', says: /does not match/ },
  // weak keys
  { name: 'RSA-1024', csr: () => rsaCsr(1024), check: 'weak_key', says: /1024 bits; at least 2048/ },
  { name: 'RSA-2047', csr: () => builtCsr({ info: () => rsaInfo(Buffer.concat([Buffer.from([0x7f]), rsaModulus().subarray(1)]), exponent(65537)) }), check: 'weak_key', says: /2047 bits/ },
  { name: 'RSA of 8200 bits', csr: () => builtCsr({ info: () => rsaInfo(Buffer.alloc(1025, 0x7f), exponent(65537)) }), check: 'weak_key', says: /at most 8192/ },
  { name: 'exponent 1', csr: withExponent(1), check: 'weak_key', says: /exponent/ },
  { name: 'exponent 3', csr: smallExponentCsr, check: 'weak_key', says: /exponent/ },
  { name: 'exponent 65535', csr: withExponent(65_535), check: 'weak_key', says: /exponent/ },
  { name: 'even exponent', csr: withExponent(65_538), check: 'weak_key', says: /exponent/ },
  { name: 'exponent 0', csr: withExponent(0), check: 'weak_key', says: /exponent/ },
  { name: 'even modulus', csr: () => builtCsr({ info: () => rsaInfo(Buffer.concat([rsaModulus().subarray(0, -1), Buffer.from([0])]), exponent(65537)) }), check: 'weak_key', says: /small factor/ },
  { name: 'DSA', csr: dsaCsr, check: 'weak_key', says: /neither RSA .* nor EC/ },
  { name: 'Ed25519', csr: ed25519Csr, check: 'weak_key', says: /neither RSA .* nor EC/ },
  { name: 'secp256k1', csr: () => curveCsr('secp256k1'), check: 'weak_key', says: /P-256 or P-384/ },
  { name: 'P-521', csr: () => curveCsr('P-521'), check: 'weak_key', says: /P-256 or P-384/ },
  { name: 'P-224', csr: () => curveCsr('secp224r1'), check: 'weak_key', says: /P-256 or P-384/ },
  { name: 'a curve of its own', csr: () => builtCsr({ info: explicitCurve }), check: 'weak_key', says: /P-256 or P-384/ },
  { name: 'a point off the curve', csr: () => builtCsr({ info: strayPoint }), check: 'weak_key', says: /OpenSSL/ },
  { name: 'no key', csr: () => builtCsr({ info: () => sequence(sequence(), bitString(Buffer.alloc(0))) }), check: 'malformed', says: /public key|object identifier|OID/i },
  // size
  { name: '1 MB, PEM', csr: () => asPem(Buffer.alloc(1_000_000, 0x30)), status: 413, code: 'payload_too_large', check: '', says: /too large/ },
  { name: '1 MB, DER', csr: () => Buffer.alloc(1_000_000, 0x30), status: 413, code: 'payload_too_large', check: '', says: /too large/ },
  { name: '20 kB of attributes', csr: () => builtCsr({ attributes: [challengeAttribute(20_000)] }), code: 'invalid_request', check: 'parameters', says: /csr: must have at most 16384 characters/ },
]

const cases = new Map<string, string | Buffer>()

/** Each bad CSR is made once: weak keys take long. */
async function made(name: string, make: Row['csr']): Promise<string | Buffer> {
  const request = cases.get(name) ?? (await make())
  cases.set(name, request)
  return request
}

/** A certificate in DER: begins like a CSR, and is none. */
function derCertificate(): Buffer {
  return service().running.service.authority.certificate.der
}

function childInfo(csr: Buffer) {
  const [info] = childrenOf(decode(csr, 'test'), 'test')
  const key = childrenOf(info, 'test')[2]
  if (!key) throw new Error('no key')
  return key
}

for (const { path, form } of [
  { path: '/v1/proxies', form: 'body' },
  { path: '/v1/certificates', form: 'body' },
  { path: '/v1/proxies', form: 'json' },
] as const) {
  describe(`${path}, as ${form}`, () => {
    test.for(rows)('$name', async ({ name, csr, status, code, check, says }) => {
      const request = await made(name, csr)
      const pem = typeof request === 'string' ? request : asPem(request)
      const body = form === 'body' ? request : JSON.stringify({ csr: pem })
      const response = await ask(service(), path, {
        headers: { 'content-type': form === 'json' ? 'application/json' : 'application/pkcs10' },
        body,
      })
      const problem = await problemOf(response)
      expect(problem, JSON.stringify(problem)).toMatchObject({
        status: status ?? 400,
        code: code ?? 'invalid_csr',
        ...(check === '' ? {} : { check }),
      })
      expect(problem.detail).toMatch(says)
      const audit = await refusalsOf(service(), problem.request_id)
      expect(audit.length).toBe(1)
    })
  })
}

describe('ways to send a sound one', () => {
  const form = 'application/x-www-form-urlencoded'
  const json = 'application/json'
  test.for([
    { name: 'PEM as pkcs10', type: 'application/pkcs10', body: (pem: string) => pem },
    { name: 'PEM as text', type: 'text/plain', body: (pem: string) => pem },
    { name: 'PEM as curl --data-binary sends it', type: form, body: (pem: string) => pem },
    { name: 'PEM with CRLF', type: form, body: (pem: string) => pem.replaceAll('\n', '\r\n') },
    { name: 'PEM after what openssl prints', type: form, body: (pem: string) => `\n\n${pem}` },
    {
      name: 'PEM as NEW CERTIFICATE REQUEST',
      type: form,
      body: (pem: string) => pem.replaceAll('CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST'),
    },
    { name: 'DER as pkcs10', type: 'application/pkcs10', body: (pem: string) => derOf(pem) },
    { name: 'DER as octets', type: 'application/octet-stream', body: (pem: string) => derOf(pem) },
    { name: 'DER as form', type: form, body: (pem: string) => derOf(pem) },
    { name: 'JSON', type: json, body: (pem: string) => JSON.stringify({ csr: pem }) },
    {
      name: 'JSON with charset',
      type: `${json}; charset=utf-8`,
      body: (pem: string) => JSON.stringify({ csr: pem }),
    },
    {
      name: 'form',
      type: form,
      body: (pem: string) => new URLSearchParams({ csr: pem }).toString(),
    },
  ])('$name', async ({ type, body }) => {
    const pem = await soundCsr('rsa-2048')
    for (const path of ['/v1/proxies', '/v1/certificates']) {
      const response = await ask(service(), path, {
        headers: { 'content-type': type },
        body: body(pem),
      })
      const text = await response.text()
      expect(response.status, text).toBe(200)
      const file = parseProxyFile(text)
      expect(file.labels).not.toContain('PRIVATE KEY')
      expect(file.labels).toHaveLength(path === '/v1/proxies' ? 2 : 1)
    }
  })

  test.for(['rsa-2048', 'rsa-3072', 'rsa-4096', 'ec-p256', 'ec-p384'] as const)(
    '%s',
    async (kind) => {
      const response = await ask(service(), '/v1/certificates', {
        headers: { 'content-type': 'application/pkcs10' },
        body: await soundCsr(kind),
      })
      expect(response.status, await response.text()).toBe(200)
      expect(response.headers.get('tts-warning') ?? '').toMatch(
        kind.startsWith('ec') ? /RSA-2048/ : /^$/,
      )
    },
  )
})

test('a CSR dictates nothing but its key', async () => {
  const csr = greedyCsr()
  for (const path of ['/v1/proxies', '/v1/certificates']) {
    const response = await ask(service(), path, {
      headers: { 'content-type': 'application/pkcs10' },
      body: csr,
    })
    const text = await response.text()
    expect(response.status, text).toBe(200)
    const certificate = new X509Certificate(text)
    expect(certificate.subject).toContain('9e499e0e-ce25-485b-9353-d19726fd287a@indigo-iam-test')
    expect(certificate.subject).not.toContain('root')
    expect(certificate.ca).toBe(false)
    expect(certificate.subjectAltName ?? '').not.toContain('evil')
  }
})

describe('a private key that somebody sends', () => {
  const key = `-----BEGIN RSA PRIVATE KEY-----\n${Buffer.from('not a real key').toString('base64')}\n-----END RSA PRIVATE KEY-----\n`
  const json = { 'content-type': 'application/json' }
  test.for([
    { name: 'after the CSR', path: '/v1/proxies', body: (csr: string) => csr + key },
    { name: 'in place of the CSR', path: '/v1/certificates', body: () => key },
    {
      name: 'before the CSR, in JSON',
      path: '/v1/proxies',
      headers: json,
      body: (csr: string) => JSON.stringify({ csr: key + csr }),
    },
    {
      name: 'as another parameter',
      path: '/v1/proxies',
      headers: json,
      body: (csr: string) => JSON.stringify({ csr, label: { deep: [key] } }),
    },
    {
      name: 'of another kind',
      path: '/v1/proxies',
      body: (csr: string) => csr + key.replaceAll('RSA', 'OPENSSH'),
    },
  ])(
    '$name: 400 with a warning, and it is nowhere in log or records',
    async ({ path, headers = {}, body }) => {
      const response = await ask(service(), path, { headers, body: body(await soundCsr()) })
      const problem = await problemOf(response)
      expect(problem).toMatchObject({ status: 400, code: 'invalid_request', check: 'private_key' })
      expect(problem.detail).toMatch(/treat it as stolen, make a new key/)
      expect(await everythingSaid(service())).not.toContain(
        Buffer.from('not a real key').toString('base64'),
      )
    },
  )
})
