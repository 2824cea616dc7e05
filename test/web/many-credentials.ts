/** Records of 200 credentials of one person: 120 proxies of one EEC, 70 certificates, 10 SSH certificates. */
import { randomUUID } from 'node:crypto'
import type { CredentialRecord, Identity } from '../../src/domain/records.ts'
import { auditLine, certificate, credential, heldEndEntity } from '../store/support.ts'
import type { TestService } from '../support/service.ts'

export const MANY = { proxies: 120, certificates: 70, sshCertificates: 10 } as const
const HOUR_MS = 3_600_000

export async function recordManyCredentials(service: TestService, sub: string): Promise<void> {
  const { store } = service.running.service
  const { issuer } = service.provider
  const identity = await identityOf(service, sub)
  const now = Date.now()
  const after = (hours: number): Date => new Date(now + hours * HOUR_MS)
  const held = heldEndEntity({ subject: identity.subject, notAfter: after(11 * 24) })
  const { serial } = held.certificate
  await store.recordEndEntity(identity.id, held, auditLine({ issuer, sub }))
  const record = async (changes: Partial<CredentialRecord>, eec: string): Promise<void> => {
    const made = credential(identity, eec, changes)
    await store.recordCredential(made, auditLine({ issuer, sub, credentialId: made.id }))
  }
  const issuedAgo = (hours: number, lifetime: number) => ({
    issuedAt: after(-hours),
    notAfter: after(lifetime - hours),
    origin: { requestId: randomUUID(), address: '192.0.2.17', interface: 'native' },
  })
  for (let index = 0; index < MANY.certificates; index += 1) {
    const times = issuedAgo(30 + index, 11 * 24)
    const eec = certificate({ kind: 'eec', subject: identity.subject, notAfter: times.notAfter })
    await record({ ...times, serviceId: 'x509', certificates: [eec] }, eec.serial)
  }
  for (let index = 0; index < MANY.proxies; index += 1)
    await record(issuedAgo(index / 6, 96), serial)
  for (let index = 0; index < MANY.sshCertificates; index += 1) {
    const ssh = { certificates: [], endEntitySerial: undefined, sshSerial: `${9000 + index}` }
    await record({ ...issuedAgo(index, 24), serviceId: 'ssh', ...ssh }, serial)
  }
}

async function identityOf({ running, provider }: TestService, sub: string): Promise<Identity> {
  const subject = `/C=EU/O=INDIGO/OU=TTS/CN=${sub}@indigo-iam-test`
  const names = [{ subject, comparable: subject.toLowerCase() }]
  // Records have issuers without the last slash.
  const issuer = provider.issuer.replace(/\/$/, '')
  return running.service.store.ensureIdentity({ issuer, sub }, names, new Date())
}
