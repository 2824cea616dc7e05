/**
 * DELETE of the WaTTS API. Its clients delete a credential right after they fetched it, so not every DELETE revokes.
 */
import type { PluginCaller } from '../../../plugins/plugin.ts'
import {
  credentialNotFound,
  revokeCredential,
  type CredentialsDependencies,
  type CredentialRevocationDependencies,
} from './credentials.ts'
import type { CredentialView, Identity, Origin } from '../records.ts'
import type { Log } from '../../base/log.ts'

/** A request to delete a credential. */
export interface DeletionRequest {
  readonly id: string
  readonly identity: Identity
  readonly caller: (serviceId: string) => PluginCaller
  readonly origin: Origin
  readonly signal: AbortSignal
  readonly log: Log
  readonly dropOrphan: boolean
}

/**
 * Removes a credential from its owner's list, and revokes it if the service's settings say so.
 *
 * @throws {TtsError} `not_found` (missing, of another identity, revoked or deleted); what `revokeCredential` throws
 */
export async function deleteCredential(
  dependencies: CredentialRevocationDependencies,
  deletion: DeletionRequest,
): Promise<void> {
  const { id, identity, origin, signal, log, dropOrphan } = deletion
  const credential = await dependencies.store.findCredential(id, identity.id)
  const endedAt = credential?.revokedAt ?? credential?.forgottenAt
  if (credential === undefined || endedAt !== undefined) throw credentialNotFound()
  if (!mustBeRevoked(dependencies, credential)) {
    await forget(dependencies, deletion, credential)
    return
  }
  const caller = deletion.caller(credential.serviceId)
  const reason = 'unspecified'
  const request = { id, identity, caller, reason, origin, signal, log, dropOrphan } as const
  await revokeCredential(dependencies, request)
}

/** An expired credential is not revoked: that would only invalidate valid credentials under the same EEC. */
function mustBeRevoked(
  { services, now }: Pick<CredentialsDependencies, 'services' | 'now'>,
  { serviceId, issuedAt, notAfter }: CredentialView,
): boolean {
  const at = now().getTime()
  if (notAfter !== undefined && notAfter.getTime() <= at) return false
  const revokesAfterSeconds = services.get(serviceId)?.deletion.revokesAfterSeconds ?? 0
  return at - issuedAt.getTime() >= revokesAfterSeconds * 1000
}

async function forget(
  { store, now }: Pick<CredentialsDependencies, 'store' | 'now'>,
  { id, identity, origin, log }: DeletionRequest,
  { serviceId }: CredentialView,
): Promise<void> {
  const at = now()
  if (!(await store.forgetCredential(id, identity.id, at))) throw credentialNotFound()
  const { issuer, sub } = identity
  await store.recordAudit({
    at,
    event: 'credential.forgotten',
    outcome: 'allowed',
    origin,
    issuer,
    sub,
    serviceId,
    credentialId: id,
    code: undefined,
    check: undefined,
    detail: undefined,
  })
  log.info({ event: 'credential.forgotten', credential: id }, 'credential removed from the list')
}
