/** Verifies with `node:crypto` that one certificate signed another. */
import { X509Certificate } from 'node:crypto'
import type { Certificate } from './certificate.ts'

/** True when the issuer's key verifies the certificate's signature. Names, times and extensions are not checked. */
export function verifyIssued(certificate: Certificate, issuer: Certificate): boolean {
  try {
    return new X509Certificate(certificate.der).verify(new X509Certificate(issuer.der).publicKey)
  } catch {
    // A key or an algorithm that OpenSSL does not know cannot have verified.
    return false
  }
}
