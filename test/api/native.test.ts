import { X509Certificate } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { createCsr } from '../../ca/csr.ts'
import { createSigner, generatePrivateKey } from '../../ca/key.ts'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import { useTestService } from '../support/service.ts'

const service = useTestService()

const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` })

describe('POST /v1/proxies', () => {
  test('makes key and proxy when nothing is sent', async () => {
    const response = await fetch(`${service().url}/v1/proxies`, {
      method: 'POST',
      headers: bearer(service().token()),
    })
    const text = await response.text()
    expect(response.status, text).toBe(200)
    expect(response.headers.get('content-type')).toBe('application/x-pem-file; charset=utf-8')
    expect(response.headers.get('cache-control')).toBe('no-store')
    const file = parseProxyFile(text)
    expect(file.labels).toEqual(['CERTIFICATE', 'RSA PRIVATE KEY', 'CERTIFICATE'])
    const [proxy, eec] = file.certificates.map(({ der }) => new X509Certificate(der))
    expect(proxy?.verify(eec!.publicKey)).toBe(true)
    expect(eec?.subject.split('\n').at(-1)).toBe(
      'CN=9e499e0e-ce25-485b-9353-d19726fd287a@indigo-iam-test',
    )
  })

  test.for([
    ['key_format=pkcs1', 'RSA PRIVATE KEY'],
    ['key_format=pkcs8', 'PRIVATE KEY'],
    ['key_type=ec-p256&key_format=pkcs1', 'PRIVATE KEY'],
  ] as const)('%s is a %s', async ([query, label]) => {
    const response = await fetch(`${service().url}/v1/proxies?${query}`, {
      method: 'POST',
      headers: bearer(service().token()),
    })
    const text = await response.text()
    expect(response.status, text).toBe(200)
    expect(parseProxyFile(text).labels).toEqual(['CERTIFICATE', label, 'CERTIFICATE'])
  })

  test('takes a CSR as curl sends it', async () => {
    const csr = await createCsr([], createSigner(await generatePrivateKey('rsa-2048')))
    const response = await fetch(`${service().url}/v1/proxies?lifetime_seconds=3600`, {
      method: 'POST',
      headers: {
        ...bearer(service().token()),
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: csr,
    })
    const text = await response.text()
    expect(response.status, text).toBe(200)
    expect(parseProxyFile(text).labels).toEqual(['CERTIFICATE', 'CERTIFICATE'])
  })
})
