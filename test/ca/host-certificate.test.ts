import { beforeAll, describe, expect, test } from 'vitest'
import type { Authority } from '../../ca/authority.ts'
import {
  hostNamePattern,
  type HostRequest,
  issueHostCertificate,
} from '../../ca/host-certificate.ts'
import { createSigner } from '../../ca/key.ts'
import { parseSlashDn } from '../../ca/name-text.ts'
import { nestedValidity } from '../../ca/validity.ts'
import { makeAuthority } from '../support/authority.ts'
import { baseName, NOW, testKey } from '../support/certificate-builder.ts'
import { openssl } from '../support/openssl.ts'

let authority: Authority
let request: HostRequest
beforeAll(async () => {
  authority = await makeAuthority()
  request = {
    base: baseName,
    host: 'tts.example.org',
    publicKey: createSigner(await testKey('host')).publicKey,
    validity: nestedValidity(NOW, 30 * 86_400, authority.certificate.validity),
    serial: Buffer.from('4d01', 'hex'),
    crlUrl: 'http://tts.example.org/ca/crl.der',
  }
})

describe('a host certificate', () => {
  test('is one for servers and clients of this host, and no CA', async () => {
    const der = await issueHostCertificate(authority, request)
    const { text } = await openssl(['x509', '-inform', 'DER', '-in', 'c', '-noout', '-text'], {
      c: der,
    })
    expect(text).toContain('Subject: C = EU, O = INDIGO, OU = TTS, CN = tts.example.org\n')
    expect(text).toMatch(/Basic Constraints: critical\n +CA:FALSE\n/)
    expect(text).toMatch(/Key Usage: critical\n +Digital Signature, Key Encipherment\n/)
    expect(text).toContain('TLS Web Server Authentication, TLS Web Client Authentication\n')
    expect(text).toContain('DNS:tts.example.org\n')
    expect(text).toContain('URI:http://tts.example.org/ca/crl.der\n')
    expect(text).not.toContain('Policies')
  })

  test.for([
    '',
    'TTS.example.org',
    'tts example',
    'tts..example.org',
    '.example.org',
    'example.org.',
    '-a.example.org',
    'a-.example.org',
    '*.example.org',
    'a/b',
    'alice@iam',
    'tts.example.org\n',
    `${'a'.repeat(64)}.org`,
    `${'a.'.repeat(33)}org`,
  ])('is not made for %j', async (host) => {
    expect(host).not.toMatch(hostNamePattern)
    await expect(issueHostCertificate(authority, { ...request, host })).rejects.toMatchObject({
      code: 'bad_name',
      details: { field: 'host', reason: 'bad_value' },
    })
  })

  test('has no name below that of the CA, and does not outlive it', async () => {
    const base = parseSlashDn('/C=EU/O=INDIGO/OU=TTS/CN=TTS-CA')
    await expect(issueHostCertificate(authority, { ...request, base })).rejects.toMatchObject({
      details: { field: 'base', reason: 'bad_value' },
    })
    const validity = { ...request.validity, notAfter: new Date('2099-01-01T00:00:00Z') }
    await expect(issueHostCertificate(authority, { ...request, validity })).rejects.toMatchObject({
      code: 'bad_lifetime',
    })
  })
})
