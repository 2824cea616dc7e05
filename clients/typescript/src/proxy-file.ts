/** Proxy files, as grid tools read them: proxy, its key, and the certificates above it. */
import { type KeyObject, X509Certificate } from 'node:crypto'
import { TtsClientError } from './errors.ts'

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/**
 * Puts the key behind the first certificate.
 *
 * @throws {TtsClientError} the certificates are not a chain for this key
 */
export function proxyFileOf(certificates: string, privateKey: KeyObject): string {
  const blocks = certificates.replaceAll('\r\n', '\n').match(CERTIFICATE) ?? []
  const [proxy, ...chain] = blocks.map((block) => `${block}\n`)
  if (proxy === undefined || chain.length === 0 || !isCertificateOf(proxy, privateKey))
    throw new TtsClientError('the service did not return a proxy for the key of the request')
  const isRsa = privateKey.asymmetricKeyType === 'rsa'
  // JGlobus reads RSA keys in PKCS#1 only.
  const key = privateKey.export({ type: isRsa ? 'pkcs1' : 'pkcs8', format: 'pem' })
  return [proxy, key, ...chain].join('')
}

function isCertificateOf(certificate: string, privateKey: KeyObject): boolean {
  try {
    return new X509Certificate(certificate).checkPrivateKey(privateKey)
  } catch {
    return false
  }
}
