/** What was issued: listed, shown and revoked, by its owner (with a token) or by the operator (on the command line). */
import { revocationReasons } from '../../ca/crl.ts'
import { TtsError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { TokenVerifier } from '../tokens/verify-token.ts'
import type { CrlKeeper } from './crl-keeper.ts'
import type { EndEntityKeeper } from './end-entities.ts'
import type {
  CredentialFilter,
  CredentialView,
  Identity,
  Origin,
  Revocation,
  RevocationReason,
  Store,
} from './records.ts'

export interface CredentialsDependencies {
  readonly store: Store
  readonly verifier: TokenVerifier
  readonly endEntities: Pick<EndEntityKeeper, 'forget'>
  readonly crls: Pick<CrlKeeper, 'current'>
  readonly now: () => Date
}

/** The identity that a token speaks for, or undefined when it never asked for anything here. */
export async function identityOfToken(
  { verifier, store }: CredentialsDependencies,
  token: string,
  signal: AbortSignal,
): Promise<Identity | undefined> {
  const { issuer, sub } = await verifier.verify(token, signal)
  return store.findIdentity({ issuer, sub })
}

/** The credentials of the token's identity, newest first. */
export async function listOwnCredentials(
  dependencies: CredentialsDependencies,
  caller: { readonly token: string; readonly signal: AbortSignal },
  filter: Omit<CredentialFilter, 'identityId'>,
): Promise<readonly CredentialView[]> {
  const identity = await identityOfToken(dependencies, caller.token, caller.signal)
  if (!identity) return []
  const { after } = filter
  // Somebody else's credential is no place to go on from; that there is one is not told either.
  if (after !== undefined && !(await dependencies.store.findCredential(after, identity.id)))
    throw new TtsError('invalid_request', 'after: there is no credential of this id')
  return dependencies.store.listCredentials({ ...filter, identityId: identity.id })
}

/**
 * One credential of the token's identity.
 *
 * @throws {TtsError} `not_found`, also when it is somebody else's
 */
export async function showOwnCredential(
  dependencies: CredentialsDependencies,
  caller: { readonly token: string; readonly signal: AbortSignal },
  id: string,
): Promise<CredentialView> {
  const identity = await identityOfToken(dependencies, caller.token, caller.signal)
  const credential = identity && (await dependencies.store.findCredential(id, identity.id))
  if (!credential) throw noCredential()
  return credential
}

/**
 * Revokes a credential: its EEC goes on the CRL, and with it dies everything that stands on that EEC. The new CRL is made
 * before this answers.
 *
 * @param request.identity who asks; undefined for the operator, who may revoke any
 * @throws {TtsError} `not_found`, also when it is somebody else's
 */
export async function revokeCredential(
  { store, endEntities, crls, now }: Omit<CredentialsDependencies, 'verifier'>,
  request: {
    readonly id: string
    readonly identity: Identity | undefined
    readonly reason: RevocationReason
    readonly origin: Origin
    readonly log: Log
  },
): Promise<Revocation> {
  const { id, identity, reason, origin, log } = request
  const credential = await store.findCredential(id, identity?.id)
  if (!credential) throw noCredential()
  const revocation = await store.revoke({
    credentialId: id,
    ...(identity ? { identityId: identity.id } : {}),
    reason,
    at: now(),
    origin,
  })
  endEntities.forget(credential.identity.id)
  log.info(
    { event: 'credential.revoked', credential: id, serial: revocation.endEntitySerial, reason },
    'credential revoked',
  )
  try {
    await crls.current()
  } catch (error) {
    // The revocation is on record, so that the next CRL carries it; the caller should know that it is not out yet.
    throw new TtsError(
      'store_unavailable',
      'the credential is revoked, but the new CRL could not be made yet',
      {
        cause: error,
        retryAfterSeconds: 10,
      },
    )
  }
  return revocation
}

/** @throws {TtsError} `invalid_request` for a reason that no CRL of ours says */
export function readReason(reason: unknown): RevocationReason {
  if (reason === undefined) return 'unspecified'
  if (typeof reason === 'string' && Object.hasOwn(revocationReasons, reason))
    return reason as RevocationReason
  throw new TtsError(
    'invalid_request',
    `reason: wanted one of ${Object.keys(revocationReasons).join(', ')}`,
  )
}

function noCredential(): TtsError {
  return new TtsError('not_found', 'there is no credential of this id', { check: 'credential' })
}
