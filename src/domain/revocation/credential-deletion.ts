/** What DELETE of the WaTTS API means, whose clients delete what they have just picked up. */
import type { PluginCaller } from '../../../plugins/plugin.ts'
import { noCredential, revokeCredential, type CredentialsDependencies } from './credentials.ts'
import type { CredentialView, Identity, Origin } from '../records.ts'
import type { Log } from '../../base/log.ts'

/** Who deletes what. */
export interface DeletionAsked {
  readonly id: string
  readonly identity: Identity
  readonly caller: (serviceId: string) => PluginCaller
  readonly origin: Origin
  readonly signal: AbortSignal
  readonly log: Log
  readonly dropOrphan: boolean
}

/**
 * Takes a credential off its owner's list, and revokes it where the service's settings say so.
 *
 * @throws {TtsError} `not_found`, also when it is somebody else's, revoked or deleted; as `revokeCredential`
 */
export async function deleteCredential(
  dependencies: Omit<CredentialsDependencies, 'verifier'>,
  asked: DeletionAsked,
): Promise<void> {
  const { id, identity, origin, signal, log, dropOrphan } = asked
  const credential = await dependencies.store.findCredential(id, identity.id)
  const gone = credential?.revokedAt ?? credential?.forgottenAt
  if (credential === undefined || gone !== undefined) throw noCredential()
  if (!shallBeRevoked(dependencies, credential)) {
    await forget(dependencies, asked, credential)
    return
  }
  const caller = asked.caller(credential.serviceId)
  const reason = 'unspecified'
  const request = { id, identity, caller, reason, origin, signal, log, dropOrphan } as const
  await revokeCredential(dependencies, request)
}

/** Revoking what has ended would do no more than take the living down with it that stand on the same EEC. */
function shallBeRevoked(
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
  { id, identity, origin, log }: DeletionAsked,
  { serviceId }: CredentialView,
): Promise<void> {
  const at = now()
  if (!(await store.forgetCredential(id, identity.id, at))) throw noCredential()
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
  log.info({ event: 'credential.forgotten', credential: id }, 'credential off the list')
}
