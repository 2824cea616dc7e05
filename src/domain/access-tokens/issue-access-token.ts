/**
 * Access tokens for the holders of proxies: proxy in, access token of the WLCG profile out. `issueAccessToken` is the
 * only function that decides to sign one. A token is not a credential of a plugin: it is short-lived, cannot be
 * revoked, and is on record in the audit trail.
 */
import { randomUUID } from 'node:crypto'
import type { Certificate } from '../../../ca/certificate.ts'
import { certificateFacts } from '../../../ca/certificate-facts.ts'
import { TtsError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { Sampler } from '../../limits/sampler.ts'
import type { BanList } from '../bans/ban-list.ts'
import type { IdentityLimiter } from '../issuing/identity-limiter.ts'
import type { IdentityShare } from '../issuing/identity-share.ts'
import { auditLine, recordRefusal } from '../issuing/issue-audit.ts'
import { issueError } from '../issuing/issue-errors.ts'
import type { Service } from '../issuing/service.ts'
import {
  type VerifiedProxy,
  type PresentedProxy,
  type ProxyVerifierDependencies,
  verifyPresentedProxy,
} from '../possession/presented-proxy.ts'
import type { Identity, Origin } from '../records.ts'
import { GROUPS_SCOPE, grantedGroups, grantedScopes } from './grant.ts'
import type { TokenKeys } from './token-keys.ts'

export interface AccessTokenSettings {
  /** Claim `iss`: the public URL of this service. */
  readonly issuer: string
  /** The audiences that may be requested. */
  readonly audiences: readonly string[]
  /** The scopes that may be requested, besides `wlcg.groups`. */
  readonly scopes: readonly string[]
  readonly maximumLifetimeSeconds: number
  /** Groups are left out when they were last seen longer ago. */
  readonly groupsMaximumAgeSeconds: number
  /** Only the groups of its users are in tokens: those of other providers may have the same names. */
  readonly groupsIssuer: string | undefined
}

export interface AccessTokenDependencies extends ProxyVerifierDependencies {
  readonly settings: AccessTokenSettings
  readonly tokenKeys: TokenKeys
  readonly services: ReadonlyMap<string, Service>
  readonly bans: BanList
  readonly limiter: IdentityLimiter
  readonly identityShare: IdentityShare
  readonly sampleRefusal: Sampler
}

/** A request for an access token; nothing of it is checked yet. */
export interface ProxyTokenRequest {
  readonly proxy: PresentedProxy
  readonly audiences: readonly string[]
  /** Space-separated; undefined: the default. */
  readonly scope: string | undefined
  /** Decimal digits; undefined: as long as allowed. */
  readonly lifetimeSeconds: string | undefined
  readonly origin: Origin
  readonly log: Log
}

/** A signed access token. */
export interface IssuedAccessToken {
  readonly token: string
  /** Space-separated; empty when there is none. */
  readonly scope: string
  readonly lifetimeSeconds: number
}

/** A shorter life is not issued. */
const LEAST_LIFE_SECONDS = 60

/**
 * Decides on a request and signs the access token. When the promise is fulfilled, its audit line is durable. When it
 * is rejected, nothing was signed, and the refusal is recorded (those of unverified callers are sampled).
 *
 * @throws {TtsError} `invalid_token` (not a valid proxy of this service, or the proof of possession fails)
 * @throws {TtsError} `access_denied` (banned, not a full proxy, service disabled, ended delegation)
 * @throws {TtsError} `invalid_request`, also with check `target` (audience) or `scope`
 * @throws {TtsError} `limit_reached`, `overloaded`, `store_unavailable`, `internal`
 */
export async function issueAccessToken(
  dependencies: AccessTokenDependencies,
  request: ProxyTokenRequest,
): Promise<IssuedAccessToken> {
  let identity: Identity | undefined
  let serviceId: string | undefined
  let leave: (() => void) | undefined
  try {
    // 1. Identify the caller: by a valid proxy of ours, whose key it has.
    const held = await verifyPresentedProxy(dependencies, request.proxy)
    identity = held.credential.identity
    serviceId = held.credential.serviceId
    leave = dependencies.identityShare.enter(identity)
    const { issuer, sub } = identity
    await dependencies.bans.requireNotBanned({ issuer, sub, claims: undefined }, identity.id)

    // 2. Check what the proxy may do, and that its service still issues.
    requireFullProxy(held.proxy)
    requireEnabled(dependencies.services, serviceId)
    dependencies.limiter.check(identity)

    // 3. Check audience, scopes and lifetime: only what the configuration lists.
    const { settings, store, now } = dependencies
    const times = timesOf(settings, held.proxy, { now: now(), asked: request.lifetimeSeconds })
    const audience = requireAudiences(settings, request.audiences)
    const hasGroups = issuer === settings.groupsIssuer
    const known = hasGroups ? await store.knownGroups.find(identity.id) : undefined
    const groups = grantedGroups(known, { ...settings, expiresAt: times.expiresAt })
    const scopes = grantedScopes(settings, { asked: request.scope, groups })

    // 4. Sign, and record before answering.
    const id = randomUUID()
    const token = await dependencies.tokenKeys.sign({
      'wlcg.ver': '1.0',
      iss: settings.issuer,
      sub: identity.subject,
      aud: audience,
      iat: times.issuedAt,
      nbf: times.issuedAt,
      exp: times.expiresAt,
      jti: id,
      ...(scopes.length > 0 ? { scope: scopes.join(' ') } : {}),
      ...(scopes.includes(GROUPS_SCOPE) ? { 'wlcg.groups': groups } : {}),
    })
    await recordIssued(dependencies, request, { held, id, audience, scopes })
    return {
      token,
      scope: scopes.join(' '),
      lifetimeSeconds: times.expiresAt - times.issuedAt,
    }
  } catch (error) {
    const refusal = issueError(error)
    const caller = identity && { key: identity, serviceId }
    const recorded = { ...request, serviceId, event: 'access_token.refused' }
    await recordRefusal(dependencies, { request: recorded, caller, refusal })
    throw refusal
  } finally {
    leave?.()
  }
}

/** RFC 3820 section 3.8: only an impersonation proxy has all rights of the user. */
function requireFullProxy(proxy: Certificate): void {
  if (certificateFacts(proxy).proxyCertInfo?.type === 'impersonation') return
  throw denied('proxy_type', 'only a full (impersonation) proxy gets an access token')
}

function requireEnabled(services: ReadonlyMap<string, Service>, serviceId: string): void {
  if (services.get(serviceId)?.enabled === true) return
  throw denied('enabled', 'the service that issued the proxy is disabled')
}

/** Times of a token in seconds since 1970; it ends before the proxy. */
function timesOf(
  { maximumLifetimeSeconds }: AccessTokenSettings,
  proxy: Certificate,
  { now, asked }: { readonly now: Date; readonly asked: string | undefined },
): { readonly issuedAt: number; readonly expiresAt: number } {
  const range = `lifetime_seconds: must be a whole number from ${LEAST_LIFE_SECONDS} to ${maximumLifetimeSeconds}`
  if (asked !== undefined && !/^\d{1,9}$/.test(asked)) throw invalid('lifetime', range)
  const lifetimeSeconds = Number(asked ?? maximumLifetimeSeconds)
  if (lifetimeSeconds < LEAST_LIFE_SECONDS || lifetimeSeconds > maximumLifetimeSeconds)
    throw invalid('lifetime', range)
  const issuedAt = Math.floor(now.getTime() / 1000)
  const proxyEnds = Math.floor(proxy.validity.notAfter.getTime() / 1000)
  const expiresAt = Math.min(issuedAt + lifetimeSeconds, proxyEnds - 1)
  if (expiresAt - issuedAt < LEAST_LIFE_SECONDS)
    throw denied('proxy_life', 'the proxy ends in about a minute: renew it first')
  return { issuedAt, expiresAt }
}

/** A single audience is a string, because some verifiers read nothing else (RFC 7519 section 4.1.3). */
function requireAudiences(
  { audiences }: AccessTokenSettings,
  asked: readonly string[],
): string | string[] {
  const wanted = [...new Set(asked)]
  const [first] = wanted
  if (first === undefined) throw invalid('target', 'audience is missing: name the target service')
  if (!wanted.every((audience) => audiences.includes(audience))) {
    throw new TtsError('invalid_request', 'audience: no access tokens are issued for it', {
      check: 'target',
      remedy: 'Add it to access_tokens.audiences if holders of proxies may use that service.',
    })
  }
  return wanted.length === 1 ? first : wanted
}

async function recordIssued(
  { store, now }: AccessTokenDependencies,
  request: ProxyTokenRequest,
  granted: {
    readonly held: VerifiedProxy
    /** Claim `jti`: a storage that reports abuse can name it. */
    readonly id: string
    readonly audience: string | readonly string[]
    readonly scopes: readonly string[]
  },
): Promise<void> {
  const { held, id, audience, scopes } = granted
  const { identity, serviceId, id: credentialId } = held.credential
  const caller = { key: identity, serviceId }
  const line = auditLine(
    { request: { ...request, serviceId }, caller },
    { event: 'access_token.issued', outcome: 'allowed', at: now(), credentialId },
  )
  const detail = `jti ${id}, scope ${scopes.join(' ') || '(none)'}, for ${[audience].flat().join(' ')}`
  await store.recordAudit({ ...line, detail: detail.slice(0, 500) })
  const { subject } = identity
  request.log.info({ event: 'access_token.issued', credential: credentialId, subject }, detail)
}

function invalid(check: string, message: string): TtsError {
  return new TtsError('invalid_request', message, { check })
}

function denied(check: string, message: string): TtsError {
  return new TtsError('access_denied', message, { check })
}
