/** What was issued: listed, shown and revoked, by its owner (with a token) or by the operator (on the command line). */
import { revocationReasons } from '../../../ca/crl.ts'
import type { PluginCaller } from '../../../plugins/plugin.ts'
import { TtsError } from '../../base/errors.ts'
import type { RateLimiter } from '../../limits/rate-limiter.ts'
import type { Log } from '../../base/log.ts'
import type { TokenVerifier } from '../../tokens/verify-token.ts'
import type { From } from '../issuing/callers.ts'
import type { CrlPublisher } from './crl-publisher.ts'
import type { EndEntityCache } from '../issuing/end-entities.ts'
import { issueError } from '../issuing/issue-errors.ts'
import type { RevocationReason } from '../../../ca/crl-entries.ts'
import type { CredentialFilter, CredentialView, Identity, Origin, Revocation } from '../records.ts'
import type { Store } from '../store.ts'
import type { Service } from '../issuing/service.ts'

export interface CredentialsDependencies {
  readonly store: Store
  readonly verifier: TokenVerifier
  readonly endEntities: Pick<EndEntityCache, 'forget'>
  readonly crls: Pick<CrlPublisher, 'current'>
  readonly services: ReadonlyMap<string, Pick<Service, 'plugin' | 'deletion'>>
  readonly now: () => Date
  /** How often one identity may revoke; absent for the operator's own commands. */
  readonly revocationRate?: Pick<RateLimiter, 'take'>
}

/** A token as it came, unverified, and where from. */
export interface TokenCaller extends From {
  readonly token: string
}

/** The identity that a token speaks for, or undefined when it never asked for anything here. */
export async function identityOfToken(
  { verifier, store }: CredentialsDependencies,
  { token, ...from }: TokenCaller,
): Promise<Identity | undefined> {
  const { issuer, sub } = await verifier.verify(token, from)
  return store.findIdentity({ issuer, sub })
}

/** The credentials of the token's identity, newest first. */
export async function listOwnCredentials(
  dependencies: CredentialsDependencies,
  caller: TokenCaller,
  filter: Omit<CredentialFilter, 'identityId'>,
): Promise<readonly CredentialView[]> {
  const identity = await identityOfToken(dependencies, caller)
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
  caller: TokenCaller,
  id: string,
): Promise<CredentialView> {
  const identity = await identityOfToken(dependencies, caller)
  const credential = identity && (await dependencies.store.findCredential(id, identity.id))
  if (!credential) throw noCredential()
  return credential
}

/** Who asks for a revocation, of what and why. */
export interface RevocationAsked {
  readonly id: string
  /** Undefined: the operator, who may revoke any. */
  readonly identity: Identity | undefined
  /** Who asks, as plugins that know identities are told; undefined: what is on record of the credential's owner. */
  readonly caller?: PluginCaller
  readonly reason: RevocationReason
  readonly origin: Origin
  readonly signal: AbortSignal
  readonly log: Log
  /** Drop the record of a plugin's credential whose service is no more configured. */
  readonly dropOrphan?: boolean
}

/**
 * Revokes a credential. X.509: its EEC goes on the CRL, and with it dies everything that stands on that EEC; the new CRL is
 * made before this answers. SSH: it is on the next KRL. Of a plugin: the plugin takes it back, and when that fails the
 * record stays.
 *
 * @throws {TtsError} `not_found`, also when it is somebody else's; `conflict`, check `service_gone`; `plugin_failed`,
 *   `access_denied` (the plugin refuses), `overloaded`, `store_unavailable`; `limit_reached`, check `revocation_rate`
 */
export async function revokeCredential(
  dependencies: Omit<CredentialsDependencies, 'verifier'>,
  asked: RevocationAsked,
): Promise<Revocation> {
  const { store, endEntities, crls } = dependencies
  const { id, identity, reason, log } = asked
  const credential = await store.findCredential(id, identity?.id)
  if (!credential) throw noCredential()
  if (identity && credential.revokedAt === undefined) takeRevocation(dependencies, identity)
  const revocation = needsPlugin(credential)
    ? await revokeByPlugin(dependencies, asked)
    : await record(dependencies, asked)
  const { endEntitySerial } = revocation
  log.info(
    { event: 'credential.revoked', credential: id, serial: endEntitySerial, reason },
    'credential revoked',
  )
  if (endEntitySerial === undefined) return revocation
  endEntities.forget(credential.identity.id)
  try {
    await crls.current()
  } catch (error) {
    // The revocation is on record, so that the next CRL carries it; the caller should know that it is not out yet.
    throw new TtsError(
      'store_unavailable',
      'the credential is revoked and will be on the next CRL, which could not be made yet; nothing more needs to be done',
      {
        cause: error,
        retryAfterSeconds: 10,
      },
    )
  }
  return revocation
}

function takeRevocation(
  { revocationRate }: Pick<CredentialsDependencies, 'revocationRate'>,
  { id }: Identity,
): void {
  const retryAfterSeconds = revocationRate?.take(id) ?? 0
  if (retryAfterSeconds === 0) return
  throw new TtsError('limit_reached', 'too many credentials were revoked with this identity', {
    check: 'revocation_rate',
    remedy: 'Raise limits.revocations_per_hour_per_identity if identities may revoke more often.',
    retryAfterSeconds,
  })
}

async function record(
  { store, now }: Pick<CredentialsDependencies, 'store' | 'now'>,
  { id, identity, reason, origin }: RevocationAsked,
): Promise<Revocation> {
  return store.revoke({
    credentialId: id,
    ...(identity ? { identityId: identity.id } : {}),
    reason,
    at: now(),
    origin,
  })
}

/** Certificates are revoked by what is on record; all else only its plugin can take back. */
function needsPlugin({ endEntitySerial, sshSerial, pluginState }: CredentialView): boolean {
  return endEntitySerial === undefined && sshSerial === undefined && pluginState !== undefined
}

const REVOCATION_WAIT_MS = 30_000

async function revokeByPlugin(
  dependencies: Omit<CredentialsDependencies, 'verifier'>,
  asked: RevocationAsked,
): Promise<Revocation> {
  const { store, services } = dependencies
  const inTurn = async (): Promise<Revocation> => {
    // Looked at again: somebody else's revocation may just have ended, and a plugin takes a credential back once.
    const credential = await store.findCredential(asked.id, asked.identity?.id)
    if (!credential) throw noCredential()
    const { revokedAt, serviceId, identity, pluginState } = credential
    const plugin = services.get(serviceId)?.plugin
    if (revokedAt === undefined) {
      if (plugin?.revoke === undefined) requireDroppable(asked)
      else {
        const { signal } = asked
        const caller = asked.caller ?? ownerOf(identity)
        await plugin.revoke({ caller, signal }, pluginState ?? '').catch((error: unknown) => {
          throw revocationError(asked, error)
        })
      }
    }
    return record(dependencies, asked)
  }
  return store.exclusively(`credential ${asked.id}`, inTurn, REVOCATION_WAIT_MS)
}

function requireDroppable({ dropOrphan }: RevocationAsked): void {
  if (dropOrphan === true) return
  throw new TtsError(
    'conflict',
    'the service of this credential is not there any more, so that its plugin cannot take it back',
    {
      check: 'service_gone',
      remedy:
        'Set watts.allow_dropping_credentials to true if users may delete credentials that cannot be revoked.',
    },
  )
}

function ownerOf({ issuer, sub }: Identity): PluginCaller {
  return { issuer, sub, claims: {}, accessToken: undefined, additionalLogins: [] }
}

function revocationError({ log, id }: RevocationAsked, error: unknown): TtsError {
  const failure = issueError(error)
  log.error(
    { event: 'credential.revocation-failed', credential: id, err: error, check: failure.check },
    'a plugin did not take a credential back',
  )
  return failure
}

/** @throws {TtsError} `invalid_request` for a reason that no CRL of ours says */
export function readReason(reason: unknown): RevocationReason {
  if (reason === undefined) return 'unspecified'
  if (typeof reason === 'string' && Object.hasOwn(revocationReasons, reason))
    return reason as RevocationReason
  throw new TtsError(
    'invalid_request',
    `reason: must be one of ${Object.keys(revocationReasons).join(', ')}`,
  )
}

/** The error for a credential that is not there, or is somebody else's. */
export function noCredential(): TtsError {
  return new TtsError('not_found', 'there is no credential of this id', { check: 'credential' })
}
