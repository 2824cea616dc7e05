/** Which certificates may become that of the CA. */
import type { Authority } from '../../ca/authority.ts'
import type { Certificate } from '../../ca/certificate.ts'
import { type DistinguishedName, sameName } from '../../ca/name.ts'
import { formatSlashDn } from '../../ca/name-text.ts'
import { TtsError } from '../base/errors.ts'

/** A certificate of the CA's path that is not valid at a time. */
export interface InvalidCertificate {
  readonly certificate: Certificate
  readonly state: 'expired' | 'not_yet_valid'
}

/** Returns the first certificate of the CA and of those above it that is not valid at this time. */
export function invalidAt(
  { certificate, chain }: Pick<Authority, 'certificate' | 'chain'>,
  at: Date,
): InvalidCertificate | undefined {
  for (const each of [certificate, ...chain]) {
    const { notBefore, notAfter } = each.validity
    if (at < notBefore) return { certificate: each, state: 'not_yet_valid' }
    if (at >= notAfter) return { certificate: each, state: 'expired' }
  }
  return undefined
}

/** When the first certificate of the CA and of those above it expires. */
export function authorityEnd({
  certificate,
  chain,
}: Pick<Authority, 'certificate' | 'chain'>): Date {
  const ends = [certificate, ...chain].map(({ validity }) => validity.notAfter.getTime())
  return new Date(Math.min(...ends))
}

/**
 * Refuses to install a certificate that is not valid now.
 *
 * @throws {TtsError} `configuration`, check `authority_validity`
 */
export function refuseUnusable(authority: Authority, now: Date): void {
  const invalid = invalidAt(authority, now)
  if (invalid === undefined) return
  throw new TtsError('configuration', describeInvalid(invalid), {
    check: 'authority_validity',
    remedy: 'Get a certificate that is valid now, and check the clock of this machine.',
  })
}

/** Names the certificate and says when it is valid. */
export function describeInvalid({ certificate, state }: InvalidCertificate): string {
  const { subject, validity } = certificate
  const when =
    state === 'expired'
      ? `expired on ${validity.notAfter.toISOString()}`
      : `is not valid before ${validity.notBefore.toISOString()}`
  return `the certificate of ${formatSlashDn(subject)} ${when}`
}

/**
 * Refuses a certificate for another CA than the one that asked.
 *
 * @param expected undefined: any name
 * @throws {TtsError} `configuration`, check `authority_name`
 */
export function refuseOtherName(
  { certificate: { subject } }: Authority,
  expected: DistinguishedName | undefined,
): void {
  if (expected === undefined || sameName(expected, subject)) return
  throw new TtsError(
    'configuration',
    `the certificate is for ${formatSlashDn(subject)}, but this CA is ${formatSlashDn(expected)}`,
    {
      check: 'authority_name',
      remedy: 'Have the request of `tts ca csr` signed without a change of its subject.',
    },
  )
}
