/** The archive of records: files of JSON lines, one record each, with all that is known of it. */
import { presentCertificate, presentCredential } from '../api/native.ts'
import type { RecordArchive } from '../domain/retention/archive-records.ts'
import type { EndedCredential, EndedEndEntity } from '../domain/retention/ended-records.ts'
import { createLineFiles } from '../files/line-files.ts'

/**
 * Returns the archive in a directory. A record may be added twice, see `archiveRecords`: readers take lines of one kind
 * and id as one.
 */
export function createRecordArchive(directory: string, now: () => Date): RecordArchive {
  const files = createLineFiles(directory, now)
  const add = async (records: readonly object[]): Promise<void> => {
    const archived_at = now().toISOString()
    const lines = records.map((record) => `${JSON.stringify({ ...record, archived_at })}\n`)
    await files.append(lines.join(''))
  }
  return {
    addCredentials: async (records) => add(records.map(presentEndedCredential)),
    addEndEntities: async (records) => add(records.map(presentEndedEndEntity)),
  }
}

function presentEndedCredential({ credential, endEntity }: EndedCredential): object {
  const { identity, origin, firstIssuedAt, forgottenAt, pluginState } = credential
  return {
    record: 'credential',
    ...presentCredential(credential),
    issuer: identity.issuer,
    sub: identity.sub,
    request_id: origin.requestId,
    first_issued_at: firstIssuedAt?.toISOString() ?? null,
    forgotten_at: forgottenAt?.toISOString() ?? null,
    plugin_state: pluginState ?? null,
    end_entity: endEntity === undefined ? null : presentCertificate(endEntity),
  }
}

function presentEndedEndEntity(ended: EndedEndEntity): object {
  const { certificate, identity, credentialId, revokedAt, revocationReason } = ended
  return {
    record: 'end_entity',
    id: certificate.serial,
    ...presentCertificate(certificate),
    issuer: identity.issuer,
    sub: identity.sub,
    credential_id: credentialId ?? null,
    revoked_at: revokedAt?.toISOString() ?? null,
    revocation_reason: revocationReason ?? null,
  }
}
