/** All signing work for one proxy. It needs only bytes and a key, so that a worker thread can do it. */
import type { KeyObject } from 'node:crypto'
import { fingerprint } from '../../ca/certificate.ts'
import { readCsr } from '../../ca/csr.ts'
import { type EndEntity, issueProxy, type ProxyRequest } from '../../ca/proxy.ts'

/** An EEC with its private key in memory. */
export interface CachedEndEntity extends EndEntity {
  readonly privateKey: KeyObject
}

/** A request for a proxy with the key of a CSR. */
export interface ProxyJob extends Omit<ProxyRequest, 'publicKey'> {
  /** PKCS#10 in PEM. */
  readonly csr: string
}

/** A signed proxy that was read back and checked, with the values for its record. */
export interface SignedProxy {
  readonly der: Buffer
  /** SHA-256 over the DER, lower-case hex. */
  readonly fingerprint: string
  /** For example `rsa-2048`. */
  readonly keyKind: string
}

/**
 * Signs a proxy for a public key that passed the policy.
 *
 * @throws {CaError} as `issueProxy`
 */
export async function signProxy(endEntity: EndEntity, request: ProxyRequest): Promise<SignedProxy> {
  const der = await issueProxy(endEntity, request)
  return { der, fingerprint: fingerprint(der), keyKind: request.publicKey.kind }
}

/**
 * Verifies a CSR and signs a proxy for its key, in the calling thread.
 *
 * @throws {CaError} as `readCsr` and `issueProxy`
 */
export async function signProxyForCsr(
  endEntity: EndEntity,
  { csr, ...request }: ProxyJob,
): Promise<SignedProxy> {
  const publicKey = await readCsr(Buffer.from(csr, 'latin1'), 'calling-thread')
  return signProxy(endEntity, { ...request, publicKey })
}
