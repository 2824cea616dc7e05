/** SSH certificates and CAs for tests. */
import { randomBytes } from 'node:crypto'
import { openSshAuthority, type SshAuthority } from '../../ca/ssh/authority.ts'
import type { SshCertificateRequest } from '../../ca/ssh/certificate.ts'
import { formatSshPublicKey, sshPublicKeyOf } from '../../ca/ssh/public-key.ts'
import { issueSshUserCertificate } from '../../ca/ssh/user-certificate.ts'
import type { PluginCaller } from '../../plugins/plugin.ts'
import type { SshIssuingContext } from '../../plugins/ssh-certificate/index.ts'
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

/** Someone who asks, with these claims. */
export function sshCaller(claims: Readonly<Record<string, unknown>> = {}): PluginCaller {
  return {
    issuer: 'https://iam.example.org/',
    publishedIssuer: 'https://iam.example.org/',
    sub: '9e499e0e-ce25-485b-9353-d19726fd287a',
    claims: { preferred_username: 'alice', ...claims },
    accessToken: undefined,
    additionalLogins: [],
  }
}

/** An issuing context that signs by this CA at this time. */
export function sshContext(
  authority: SshAuthority,
  caller: PluginCaller,
  now: () => Date = () => new Date('2026-11-05T12:00:00Z'),
): SshIssuingContext {
  return {
    caller,
    credentialId: 'c0ffee00-0000-4000-8000-000000000001',
    async sshCertificate({ lifetimeSeconds = 43_200, ...request }) {
      const made = await issueSshUserCertificate(authority, {
        ...request,
        lifetimeSeconds,
        now: now(),
        randomBytes,
      })
      return { ...made, authorityLine: formatSshPublicKey(authority.publicKey, 'tts-ssh-ca') }
    },
  }
}
