import { describe, expect, test } from 'vitest'
import { openAuthority } from '../../ca/authority.ts'
import { readCertificate } from '../../ca/certificate.ts'
import { readCrl } from '../../ca/crl.ts'
import { MAX_CSR_BYTES, readCsr } from '../../ca/csr.ts'
import { CaError, type CaErrorDetails, malformed } from '../../ca/errors.ts'
import { generatePrivateKey } from '../../ca/key.ts'
import { readPublicKey } from '../../ca/public-key.ts'
import { parseSlashDn } from '../../ca/name-text.ts'
import { oidBytes } from '../../ca/oid.ts'
import { readPem } from '../../ca/pem.ts'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import { checkSerial } from '../../ca/serial.ts'
import { createKrl } from '../../ca/ssh/krl.ts'
import { readSshPublicKeyLine } from '../../ca/ssh/public-key.ts'
import { issueSshUserCertificate } from '../../ca/ssh/user-certificate.ts'
import { wireReader } from '../../ca/ssh/wire.ts'
import { nestedValidity } from '../../ca/validity.ts'
import { rsaInfo } from '../support/csr-builder.ts'

const now = new Date('2026-11-23T12:00:00Z')
const issuer = {
  notBefore: new Date('2026-01-01T00:00:00Z'),
  notAfter: new Date('2027-01-01T00:00:00Z'),
}

/** Programs read these, never the message. */
describe('details of refusals', () => {
  test.for<readonly [string, () => unknown, CaError['code'], CaErrorDetails]>([
    [
      'a CSR over the limit',
      () => readCsr(Buffer.alloc(MAX_CSR_BYTES + 1, 0x30)),
      'too_large',
      { field: 'CSR', reason: 'too_large', limit: MAX_CSR_BYTES, actual: MAX_CSR_BYTES + 1 },
    ],
    [
      'no CSR at all',
      () => readCsr(Buffer.from('hello')),
      'malformed',
      { field: 'CSR', reason: 'missing' },
    ],
    [
      'a certificate that is not DER',
      () => readCertificate(Buffer.of(0x30)),
      'malformed',
      { field: 'certificate', reason: 'bad_encoding' },
    ],
    [
      'a certificate without parts',
      () => readCertificate(Buffer.of(0x30, 2, 0x30, 0)),
      'malformed',
      { field: 'TBSCertificate', reason: 'missing' },
    ],
    [
      'an RSA key of 1024 bits',
      () => readPublicKey(rsaInfo((1n << 1024n) - 1n)),
      'weak_key',
      { field: 'RSA modulus', reason: 'too_small', limit: 2048, actual: 1024 },
    ],
    [
      'an RSA key with an even modulus',
      () => readPublicKey(rsaInfo((1n << 2048n) - 2n)),
      'weak_key',
      { field: 'RSA modulus', reason: 'small_factor' },
    ],
    [
      'a name over the limit',
      () => parseSlashDn(`/CN=${'x'.repeat(5000)}`),
      'bad_name',
      { field: 'name', reason: 'too_large', limit: 4096, actual: 5004 },
    ],
    [
      'a name without a slash',
      () => parseSlashDn('CN=x'),
      'bad_name',
      { field: 'name', reason: 'bad_encoding' },
    ],
    [
      'an issuer that has expired',
      () => nestedValidity(new Date('2028-01-01T00:00:00Z'), 60, issuer),
      'bad_lifetime',
      { field: 'issuer.notAfter', reason: 'expired' },
    ],
    [
      'an issuer that is not yet valid',
      () => nestedValidity(new Date('2025-01-01T00:00:00Z'), 60, issuer),
      'bad_lifetime',
      { field: 'issuer.notBefore', reason: 'not_yet_valid' },
    ],
    [
      'a lifetime of 0 seconds',
      () => nestedValidity(now, 0, issuer),
      'bad_lifetime',
      { field: 'lifetimeSeconds', reason: 'bad_value', limit: 1, actual: 0 },
    ],
    [
      'serial number 0',
      () => checkSerial(Buffer.of(0)),
      'bad_request',
      { field: 'serial', reason: 'too_small', limit: 1, actual: 0 },
    ],
    [
      'a serial number of 21 octets',
      () => checkSerial(Buffer.alloc(21, 1)),
      'bad_request',
      { field: 'serial', reason: 'too_large', limit: 20, actual: 21 },
    ],
    [
      'an object identifier of one arc',
      () => oidBytes('1'),
      'malformed',
      { field: 'object identifier', reason: 'bad_encoding' },
    ],
    [
      'PEM without its last line',
      () => readPem('-----BEGIN X-----\n', 'key file'),
      'malformed',
      { field: 'key file', reason: 'bad_encoding' },
    ],
    [
      'a proxy file without certificates',
      () => parseProxyFile(''),
      'bad_proxy_file',
      { field: 'proxy file', reason: 'missing' },
    ],
    [
      'a CRL that is not DER',
      () => readCrl(Buffer.of(0x30, 0x80)),
      'malformed',
      { field: 'CRL', reason: 'bad_encoding' },
    ],
    [
      'a CA without certificate',
      async () => openAuthority('', await generatePrivateKey('ec-p256')),
      'bad_authority',
      { field: 'CA certificate', reason: 'missing' },
    ],
    [
      'a private key in place of a public SSH key',
      () => readSshPublicKeyLine('-----BEGIN OPENSSH PRIVATE KEY-----'),
      'malformed',
      { field: 'public key', reason: 'not_allowed' },
    ],
    [
      'an SSH certificate of a lifetime that is too long',
      () => issueSshUserCertificate(undefined as never, { now, lifetimeSeconds: 700_000 } as never),
      'bad_lifetime',
      { field: 'lifetimeSeconds', reason: 'bad_value', limit: 604_800, actual: 700_000 },
    ],
    [
      'an SSH string that is longer than allowed',
      () => wireReader(Buffer.from('0000000b', 'hex'), 'blob').string(10),
      'malformed',
      { field: 'blob', reason: 'too_large', limit: 10, actual: 11 },
    ],
    [
      'a KRL with serial number 0',
      () => createKrl({ serials: [0n] } as never),
      'bad_request',
      { field: 'serials', reason: 'bad_value' },
    ],
  ])('%s', async ([, refuse, code, details]) => {
    const error = await Promise.resolve()
      .then(refuse)
      .then(
        () => undefined,
        (caught: unknown) => caught,
      )
    expect(error).toBeInstanceOf(CaError)
    expect(error).toMatchObject({ name: 'CaError', code })
    expect((error as CaError).details).toEqual(details)
    expect((error as CaError).message).toMatch(/^["a-z]/)
  })

  test('the cause is not among them', () => {
    const cause = new Error('from OpenSSL')
    const error = malformed('CSR', 'it is not DER', { cause })
    expect(error.cause).toBe(cause)
    expect(error.details).toEqual({ field: 'CSR', reason: 'bad_encoding' })
  })
})
