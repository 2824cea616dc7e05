/** The client certificates of a TLS connection. */
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { MAX_CHAIN_LENGTH } from '../../ca/chain-link.ts'

/**
 * Returns the client certificates of the TLS handshake in DER, leaf first; none without TLS. They are not verified:
 * the handshake proves only that the client has the key of the first one.
 */
export function clientCertificates(socket: Socket): readonly Buffer[] {
  if (!(socket instanceof TLSSocket)) return []
  const certificates: Buffer[] = []
  let next = socket.getPeerX509Certificate()
  // A root certificate is its own issuer. One certificate above the limit is enough for the chain to be refused later.
  while (next !== undefined && certificates.length <= MAX_CHAIN_LENGTH) {
    const { raw } = next
    if (certificates.some((der) => der.equals(raw))) break
    certificates.push(raw)
    next = next.issuerCertificate
  }
  return certificates
}
