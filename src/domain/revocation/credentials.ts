/** Lists, shows and revokes credentials, for their owner (by token) or the operator (on the command line). */
import { revocationReasons } from '../../../ca/crl.ts'
import type { PluginCaller } from '../../../plugins/plugin.ts'
import { TtsError } from '../../base/errors.ts'
import type { RateLimiter } from '../../limits/rate-limiter.ts'
import type { Log } from '../../base/log.ts'
import type { TokenVerifier } from '../../tokens/verify-token.ts'
import type { From } from '../issuing/callers.ts'
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
  /** Makes a CRL with the revocation before the answer. */
  readonly crls: { current(): Promise<unknown> }
  readonly services: ReadonlyMap<string, Pick<Service, 'plugin' | 'deletion'>>
  readonly now: () => Date
  /** Rate of revocations per identity; absent for the operator's commands. */
  readonly revocationRate?: Pick<RateLimiter, 'take'>
}

/** What a revocation needs. It verifies no token. */
export type CredentialRevocationDependencies = Omit<CredentialsDependencies, 'verifier'> & {
  readonly verifier: Pick<TokenVerifier, 'publishedIssuer'>
}

/** A token that is not yet verified, and the address that sent it. */
export interface TokenCaller extends From {
  readonly token: string
}

/**
 * Returns the identity of a token's user; undefined when it has no record here. @throws {TtsError} what the token
 * verifier throws
 */
export async function identityOfToken(
  { verifier, store }: CredentialsDependencies,
  { token, ...from }: TokenCaller,
): Promise<Identity | undefined> {
  const { issuer, sub } = await verifier.verify(token, from)
  return store.findIdentity({ issuer, sub })
}

/**
 * Returns the credentials of the token's identity, newest first.
 *
 * @throws {TtsError} `invalid_request` (`after` is not a credential of this identity); what the token verifier throws
 */
export async function listOwnCredentials(
  dependencies: CredentialsDependencies,
  caller: TokenCaller,
  filter: Omit<CredentialFilter, 'identityId'>,
): Promise<readonly CredentialView[]> {
  const identity = await identityOfToken(dependencies, caller)
  if (!identity) return []
  const { after } = filter
  // A foreign credential must not be usable as a cursor, nor may the answer reveal that it exists.
  if (typeof after === 'string' && !(await dependencies.store.findCredential(after, identity.id)))
    throw new TtsError('invalid_request', 'after: no credential has this id')
  return dependencies.store.listCredentials({ ...filter, identityId: identity.id })
}

/**
 * Returns one credential of the token's identity.
 *
 * @throws {TtsError} `not_found` (missing or of another identity); what the token verifier throws
 */
export async function showOwnCredential(
  dependencies: CredentialsDependencies,
  caller: TokenCaller,
  id: string,
): Promise<CredentialView> {
  const identity = await identityOfToken(dependencies, caller)
  const credential = identity && (await dependencies.store.findCredential(id, identity.id))
  if (!credential) throw credentialNotFound()
  return credential
}

/** A request to revoke a credential. */
export interface CredentialRevocation {
  readonly id: string
  /** The owner; undefined for the operator, who may revoke any credential. */
  readonly identity: Identity | undefined
  /** The caller as shown to plugins; undefined: the recorded owner of the credential. */
  readonly caller?: PluginCaller
  readonly reason: RevocationReason
  readonly origin: Origin
  readonly signal: AbortSignal
  readonly log: Log
  /** Mark a plugin's credential as revoked even if its service is no longer configured. */
  readonly dropOrphan?: boolean
}

/**
 * Revokes a credential. X.509: revokes its EEC and so every proxy under it, and makes a new CRL before it returns.
 * SSH: the next KRL lists the certificate. Other credentials: the plugin revokes them; if it fails, the record stays
 * as it was.
 *
 * @throws {TtsError} `not_found` (missing or of another identity)
 * @throws {TtsError} `limit_reached`, check `revocation_rate`; `overloaded`, check `busy`
 * @throws {TtsError} `conflict`, check `service_gone` (the service is not configured any more)
 * @throws {TtsError} `plugin_failed`, `access_denied` (the plugin failed or refused)
 * @throws {TtsError} `provider_unavailable` (a plugin must revoke, and how the issuer is written is not known)
 * @throws {TtsError} `store_unavailable` (also when the revocation is stored but the new CRL could not be made)
 */
export async function revokeCredential(
  dependencies: CredentialRevocationDependencies,
  request: CredentialRevocation,
): Promise<Revocation> {
  const { store, endEntities, crls } = dependencies
  const { id, identity, reason, log } = request
  const credential = await store.findCredential(id, identity?.id)
  if (!credential) throw credentialNotFound()
  if (identity && credential.revokedAt === undefined) takeRevocation(dependencies, identity)
  const revocation = needsPlugin(credential)
    ? await revokeByPlugin(dependencies, request)
    : await record(dependencies, request)
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
    // The revocation is stored, so the next CRL will contain it. The caller must know that it is not published yet.
    throw new TtsError(
      'store_unavailable',
      'the credential is revoked, but the CRL with the revocation could not be made yet; no further request is needed',
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
  throw new TtsError('limit_reached', 'too many revocations by this identity', {
    check: 'revocation_rate',
    remedy: 'Raise limits.revocations_per_hour_per_identity if identities may revoke more often.',
    retryAfterSeconds,
  })
}

async function record(
  { store, now }: Pick<CredentialsDependencies, 'store' | 'now'>,
  { id, identity, reason, origin }: CredentialRevocation,
): Promise<Revocation> {
  return store.revoke({
    credentialId: id,
    ...(identity ? { identityId: identity.id } : {}),
    reason,
    at: now(),
    origin,
  })
}

/** The service itself can revoke certificates; only the plugin can revoke other credentials. */
function needsPlugin({ endEntitySerial, sshSerial, pluginState }: CredentialView): boolean {
  return endEntitySerial === undefined && sshSerial === undefined && pluginState !== undefined
}

const REVOCATION_WAIT_MS = 30_000

async function revokeByPlugin(
  dependencies: CredentialRevocationDependencies,
  request: CredentialRevocation,
): Promise<Revocation> {
  const { store, services, verifier } = dependencies
  const inTurn = async (): Promise<Revocation> => {
    // Read again under the lock: another request may just have revoked it, and the plugin must be called only once.
    const credential = await store.findCredential(request.id, request.identity?.id)
    if (!credential) throw credentialNotFound()
    const { revokedAt, serviceId, identity, pluginState } = credential
    const plugin = services.get(serviceId)?.plugin
    if (revokedAt === undefined) {
      if (plugin?.revoke === undefined) requireDroppable(request)
      else {
        const { signal } = request
        const caller = request.caller ?? (await ownerOf(identity, verifier))
        await plugin.revoke({ caller, signal }, pluginState ?? '').catch((error: unknown) => {
          throw revocationError(request, error)
        })
      }
    }
    return record(dependencies, request)
  }
  return store.exclusively(`credential ${request.id}`, inTurn, REVOCATION_WAIT_MS)
}

function requireDroppable({ dropOrphan }: CredentialRevocation): void {
  if (dropOrphan === true) return
  throw new TtsError(
    'conflict',
    'the service of this credential is no longer configured, so its plugin cannot revoke it',
    {
      check: 'service_gone',
      remedy:
        'Set watts.allow_dropping_credentials to true if users may delete credentials that cannot be revoked.',
    },
  )
}

/** Returns the owner with the same issuer as at the request: a plugin would not find the credential under another. */
async function ownerOf(
  { issuer, sub }: Identity,
  verifier: CredentialRevocationDependencies['verifier'],
): Promise<PluginCaller> {
  const publishedIssuer = await verifier.publishedIssuer(issuer)
  const nothing = { claims: {}, accessToken: undefined, additionalLogins: [] }
  return { issuer, publishedIssuer, sub, ...nothing }
}

function revocationError({ log, id }: CredentialRevocation, error: unknown): TtsError {
  const failure = issueError(error)
  log.error(
    { event: 'credential.revocation-failed', credential: id, err: error, check: failure.check },
    'a plugin failed to revoke a credential',
  )
  return failure
}

/**
 * Reads a revocation reason; `unspecified` by default.
 *
 * @throws {TtsError} `invalid_request` (not a reason that our CRLs use)
 * @see RFC 5280 section 5.3.1
 */
export function readReason(reason: unknown): RevocationReason {
  if (reason === undefined) return 'unspecified'
  if (typeof reason === 'string' && Object.hasOwn(revocationReasons, reason))
    return reason as RevocationReason
  throw new TtsError(
    'invalid_request',
    `reason: must be one of ${Object.keys(revocationReasons).join(', ')}`,
  )
}

/** Returns the error for a credential that does not exist or belongs to another identity. */
export function credentialNotFound(): TtsError {
  return new TtsError('not_found', 'no credential has this id', { check: 'credential' })
}
