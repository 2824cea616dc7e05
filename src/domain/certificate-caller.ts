/** Identifies callers who have shown a certificate of this service in a TLS handshake: an EEC, or any proxy below. */
import type { Authority } from '../../ca/authority.ts'
import { type Certificate, fingerprint, readCertificate } from '../../ca/certificate.ts'
import { certificateFacts } from '../../ca/certificate-facts.ts'
import { validateChain } from '../../ca/chain.ts'
import { MAX_CHAIN_LENGTH } from '../../ca/chain-link.ts'
import { CaError } from '../../ca/errors.ts'
import { TtsError } from '../base/errors.ts'
import type { Identity, IssuedEndEntity } from './records.ts'
import type { Store } from './store.ts'

export interface CertificateCallerDependencies {
  readonly store: Pick<Store, 'findIssuedEndEntity'>
  /** The current CA, and those before and after a roll-over of the key. */
  readonly authorities: readonly Pick<Authority, 'certificate' | 'chain'>[]
  readonly now: () => Date
}

/** An identified caller. */
export interface CertificateCaller {
  readonly identity: Identity
  readonly endEntity: Certificate
  /** The proxies of the chain, leaf first; none when the EEC itself was shown. */
  readonly proxies: readonly Certificate[]
}

/**
 * Verifies the certificates of a handshake. Its cheap checks come first: a foreign certificate costs one database query
 * and no signature check.
 *
 * @param ders the certificates, leaf first, whose first one the client has the key of
 * @throws {TtsError} `missing_token` (none was shown), `invalid_token` with the check `certificate_unreadable`,
 *   `certificate_foreign`, `certificate_revoked`, `certificate_ended` or `certificate_invalid`; `store_unavailable`
 * @see RFC 3820 section 4
 */
export async function identifyByCertificate(
  dependencies: CertificateCallerDependencies,
  ders: readonly Buffer[],
): Promise<CertificateCaller> {
  if (ders.length === 0)
    throw new TtsError('missing_token', 'show a certificate or proxy of this service', {
      check: 'certificate',
    })
  if (ders.length > MAX_CHAIN_LENGTH) throw refused('certificate_invalid', 'the chain is too long')
  const certificates = ders.map(read)
  const proxyCount = certificates.findIndex(
    (certificate) => certificateFacts(certificate).proxyCertInfo === undefined,
  )
  const endEntity = certificates[proxyCount]
  if (endEntity === undefined) throw foreign()
  const { identity } = await requireIssuedHere(dependencies, endEntity)
  requireValid(dependencies, certificates)
  return { identity, endEntity, proxies: certificates.slice(0, proxyCount) }
}

async function requireIssuedHere(
  { store }: CertificateCallerDependencies,
  endEntity: Certificate,
): Promise<IssuedEndEntity> {
  const issued = await store.findIssuedEndEntity(endEntity.serial)
  if (issued === undefined || issued.certificate.fingerprint !== fingerprint(endEntity.der))
    throw foreign()
  if (issued.isRevoked) throw refused('certificate_revoked', 'your certificate is revoked')
  return issued
}

function requireValid(
  { authorities, now }: CertificateCallerDependencies,
  certificates: readonly Certificate[],
): void {
  const anchors = authorities.flatMap(({ certificate, chain }) => [certificate, ...chain])
  const verdict = validateChain({ certificates, anchors, now: now(), allowProxies: true })
  const [problem] = verdict.problems
  if (problem !== undefined) {
    const isTime = problem.code === 'expired' || problem.code === 'not_yet_valid'
    throw refused(
      isTime ? 'certificate_ended' : 'certificate_invalid',
      `your certificate is not valid: ${problem.message}`,
    )
  }
  // RFC 3820 section 3.8.1: it has none of the rights of its issuer.
  if (verdict.independent)
    throw refused('certificate_invalid', 'an independent proxy does not stand for its person')
}

function read(der: Buffer): Certificate {
  try {
    return readCertificate(der)
  } catch (error) {
    if (!(error instanceof CaError)) throw error
    throw refused('certificate_unreadable', 'a certificate cannot be read')
  }
}

function foreign(): TtsError {
  return refused('certificate_foreign', 'your certificate is not one of this service')
}

function refused(check: string, message: string): TtsError {
  return new TtsError('invalid_token', message, { check })
}
