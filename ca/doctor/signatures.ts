/**
 * Verifies signatures with whatever key and digest they have: relying parties compute with keys that our own policy
 * refuses, so "is not signed by that key" must be true of small keys too.
 */
import { createPublicKey, type KeyObject, verify, X509Certificate } from 'node:crypto'
import { encode } from '../asn1.ts'
import type { Certificate } from '../certificate.ts'
import type { Crl } from '../crl.ts'

function publicKeyOf({ publicKeyInfo }: Certificate): KeyObject | undefined {
  try {
    return createPublicKey({ key: encode(publicKeyInfo), format: 'der', type: 'spki' })
  } catch {
    return undefined
  }
}

/** Returns whether the issuer's key signed a certificate; false when OpenSSL cannot compute this. */
export function isSignedBy(certificate: Certificate, issuer: Certificate): boolean {
  const key = publicKeyOf(issuer)
  if (key === undefined) return false
  try {
    return new X509Certificate(certificate.der).verify(key)
  } catch {
    return false
  }
}

const crlDigests = new Map([
  ['1.2.840.113549.1.1.4', 'md5'],
  ['1.2.840.113549.1.1.5', 'sha1'],
  ['1.2.840.113549.1.1.11', 'sha256'],
  ['1.2.840.113549.1.1.12', 'sha384'],
  ['1.2.840.113549.1.1.13', 'sha512'],
  ['1.2.840.10045.4.3.2', 'sha256'],
  ['1.2.840.10045.4.3.3', 'sha384'],
  ['1.2.840.10045.4.3.4', 'sha512'],
])

/** Returns whether the CA's key signed a CRL; undefined when this cannot be computed. */
export function isCrlSignedBy(crl: Crl, issuer: Certificate): boolean | undefined {
  const key = publicKeyOf(issuer)
  const digest = crlDigests.get(crl.signatureAlgorithm)
  if (key === undefined || digest === undefined) return undefined
  try {
    return verify(digest, crl.tbs, key, crl.signature)
  } catch {
    return undefined
  }
}
