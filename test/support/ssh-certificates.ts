/** SSH certificates and CAs for tests. */
import { randomBytes } from 'node:crypto'
import { openSshAuthority, type SshAuthority } from '../../ca/ssh/authority.ts'
import type { SshCertificateRequest } from '../../ca/ssh/certificate.ts'
import { sshPublicKeyOf } from '../../ca/ssh/public-key.ts'
import { sshKeyPair, type TestKeyKind } from './ssh-keys.ts'

/** The CA over the shared key of this kind. */
export function sshAuthority(kind: TestKeyKind = 'ed25519'): SshAuthority {
  return openSshAuthority(sshKeyPair(kind, 'CA').privateKey)
}

/** Something that can be certified, valid at `now`. */
export function sshRequest(
  changes: Partial<SshCertificateRequest> = {},
  now = new Date('2026-11-05T12:00:00Z'),
): SshCertificateRequest {
  return {
    publicKey: sshPublicKeyOf(sshKeyPair('ed25519').publicKey),
    serial: randomBytes(8).readBigUInt64BE() | 1n,
    keyId: 'credential=1,sub=2,issuer=https://iam.example.org/',
    principals: ['alice'],
    validAfter: new Date(now.getTime() - 300_000),
    validBefore: new Date(now.getTime() + 3_600_000),
    extensions: ['permit-pty'],
    nonce: randomBytes(32),
    ...changes,
  }
}
