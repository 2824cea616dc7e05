/** A user certificate of the service: valid from now, for a limited time, with a random serial number. */
import { CaError } from '../errors.ts'
import { BACKDATE_SECONDS } from '../validity.ts'
import type { SshAuthority } from './authority.ts'
import { createSshCertificate, type SshCertificateRequest } from './certificate.ts'
import { sshCertificateType } from './read-certificate.ts'

/** Longest lifetime: SSH has no chain that could end a certificate earlier, and KRLs reach hosts late. */
export const MAX_SSH_LIFETIME_SECONDS = 7 * 86_400

export interface SshUserRequest extends Omit<
  SshCertificateRequest,
  'serial' | 'validAfter' | 'validBefore' | 'nonce'
> {
  readonly now: Date
  /** 1 second to 7 days; the service's settings limit it further. */
  readonly lifetimeSeconds: number
  readonly randomBytes: (size: number) => Buffer
}

/** What was issued. */
export interface SshUserCertificate {
  readonly blob: Buffer
  /** The line of `id-cert.pub`: type, base64, key id. */
  readonly line: string
  readonly serial: bigint
  readonly notBefore: Date
  /** The first second in which it is not valid any more. */
  readonly notAfter: Date
}

/**
 * Issues a user certificate that begins 300 seconds back, for servers with a slow clock.
 *
 * @throws {CaError} `bad_request`, `bad_lifetime`, `self_check_failed`
 * @see RFC 4251 section 5 (the encoding; the format is PROTOCOL.certkeys of OpenSSH)
 * @example
 * const request = { publicKey: sshPublicKey, keyId: 'alice', principals: ['alice'], extensions: ['permit-pty'] }
 * const lifetimeSeconds = 3600
 * const issued = await issueSshUserCertificate(sshAuthority, { ...request, now, lifetimeSeconds, randomBytes })
 * issued.line.split(' ')[0] // => 'ssh-ed25519-cert-v01@openssh.com'
 */
export async function issueSshUserCertificate(
  authority: SshAuthority,
  { now, lifetimeSeconds, randomBytes, ...request }: SshUserRequest,
): Promise<SshUserCertificate> {
  if (
    !Number.isSafeInteger(lifetimeSeconds) ||
    lifetimeSeconds < 1 ||
    lifetimeSeconds > MAX_SSH_LIFETIME_SECONDS
  ) {
    throw new CaError(
      'bad_lifetime',
      `the lifetime of an SSH certificate must be 1 to ${MAX_SSH_LIFETIME_SECONDS} seconds`,
      {
        field: 'lifetimeSeconds',
        reason: 'bad_value',
        limit: MAX_SSH_LIFETIME_SECONDS,
        actual: lifetimeSeconds,
      },
    )
  }
  const seconds = Math.floor(now.getTime() / 1000)
  const notBefore = new Date((seconds - BACKDATE_SECONDS) * 1000)
  const notAfter = new Date((seconds + lifetimeSeconds) * 1000)
  const serial = randomSerial(randomBytes)
  const blob = await createSshCertificate(authority, {
    ...request,
    serial,
    validAfter: notBefore,
    validBefore: notAfter,
    nonce: randomBytes(32),
  })
  const line = `${sshCertificateType(request.publicKey.type)} ${blob.toString('base64')} ${request.keyId}\n`
  return { blob, line, serial, notBefore, notAfter }
}

/** 64 random bits, so that replicas need not agree on a counter; 0 means no number. */
function randomSerial(randomBytes: (size: number) => Buffer): bigint {
  return randomBytes(8).readBigUInt64BE() || 1n
}
