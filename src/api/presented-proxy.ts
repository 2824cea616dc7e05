/** Reads a proxy that its holder presents: in the TLS handshake, or in the request. */
import { TLSSocket } from 'node:tls'
import type { Request } from 'express'
import { MAX_CHAIN_LENGTH } from '../../ca/chain-link.ts'
import { CaError } from '../../ca/errors.ts'
import { readPem } from '../../ca/pem.ts'
import { MAX_PROXY_FILE_LENGTH } from '../../ca/proxy-file.ts'
import { TtsError } from '../base/errors.ts'

/**
 * Returns the client certificates of the TLS handshake. The handshake proves that the client has the key of the first
 * one.
 */
export function readTlsCertificates({ socket }: Request): readonly Buffer[] {
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

/**
 * Reads the certificates of a proxy file from a parameter; none if the text has no PEM.
 *
 * @throws {TtsError} `invalid_request`
 */
export function readProxyChain(parameter: string, text: unknown): readonly Buffer[] {
  if (typeof text !== 'string') throw notAChain(parameter)
  try {
    const blocks = readPem(text, 'proxy', MAX_PROXY_FILE_LENGTH)
    if (blocks.every(({ label }) => label === 'CERTIFICATE')) return blocks.map(({ der }) => der)
  } catch (error) {
    if (!(error instanceof CaError)) throw error
  }
  throw notAChain(parameter)
}

/** The error for a parameter that holds something else. */
export function notAChain(parameter: string): TtsError {
  return new TtsError(
    'invalid_request',
    `${parameter}: must be the certificates of the proxy file in PEM, without its key`,
  )
}
