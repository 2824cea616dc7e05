/**
 * Identifies callers: by a bearer token, by possession of a proxy that this service issued, or by a relying service's
 * request.
 */
import type { AdditionalLogin, PluginCaller, IssuingContext } from '../../../plugins/plugin.ts'
import { TtsError } from '../../base/errors.ts'
import type { Claims } from '../../tokens/claim-values.ts'
import type { VerifiedToken } from '../../tokens/verified-token.ts'
import type { TokenVerifier } from '../../tokens/verify-token.ts'
import { requireAuthorised } from './authorise.ts'
import type { Delegation } from '../delegations/records.ts'
import {
  inheritedParameters,
  type PossessionVerifier,
  type Predecessor,
  renewalDisabled,
  withinPredecessor,
} from '../possession/possession.ts'
import type { PresentedProxy } from '../possession/presented-proxy.ts'
import type { CredentialRecord, Identity } from '../records.ts'
import type { PresentedAttributes } from '../voms/presented.ts'
import type { Service } from './service.ts'
import type { Subjects } from './subject.ts'

/** The evidence by which a caller is identified. */
export type Evidence =
  | {
      /** The bearer token, not yet verified. */
      readonly token: string
      /** The delegation that obtained the token; the token must be of the delegation's identity. */
      readonly delegation?: Delegation
      /** Tokens of the same user's logins at other providers, not yet verified; for plugins that required them. */
      readonly additionalTokens?: readonly string[]
    }
  | { readonly proxy: PresentedProxy }
  /** A user sent by a relying service with a signed request that was already verified. */
  | {
      readonly relyingUser: VerifiedToken
      /** Tokens of the user's logins at providers, not yet verified. */
      readonly additionalTokens?: readonly string[]
    }

/** An identified caller. Only `identifyCaller` makes one. */
export interface Caller {
  /** (issuer, sub). */
  readonly key: { readonly issuer: string; readonly sub: string }
  /** The claims of the token; undefined for renewal by possession. */
  readonly claims: Claims | undefined
  /** VOMS attributes in the proxy that the caller has shown; undefined for callers with a token. */
  readonly presented: PresentedAttributes | undefined
  /** The user's logins at other providers. */
  readonly additionalLogins: readonly AdditionalLogin[]
  /** The OAuth client that the token was issued to; in a chain of renewals by possession, that of the first token. */
  readonly clientId: string | undefined
  /** The service of the presented proxy; undefined for callers with a token, whose request names the service. */
  readonly serviceId: string | undefined
  /** What the credential is renewed from, for its record. */
  readonly ancestry: Pick<CredentialRecord, 'delegationId' | 'renewedFrom' | 'firstIssuedAt'>
  /** @throws {TtsError} `access_denied` (the caller may not use this service) */
  requireMayUse(service: Service): void
  /** Returns the caller's identity with its permanent subject name. */
  identity(subjects: Subjects): Promise<Identity>
  /** Returns the parameters for the plugin; a successor inherits those that the request leaves out. */
  parameters(asked: unknown): unknown
  /** Returns the issuing context for the plugin; that of a successor is limited by its predecessor. */
  tools(
    context: IssuingContext,
    limits: { readonly service: Service; readonly now: () => Date },
  ): IssuingContext
  /** Returns the caller as the plugin sees it: with access tokens only if the service is configured to pass them. */
  forPlugin(service: Pick<Service, 'passesAccessToken'>): PluginCaller
}

export interface CallerDependencies {
  readonly verifier: TokenVerifier
  /** Undefined when renewal by possession is disabled. */
  readonly possession: PossessionVerifier | undefined
}

/** The client's address, and a signal that aborts when the client no longer waits. */
export interface From {
  readonly signal: AbortSignal
  readonly address: string
}

/**
 * Verifies the evidence and returns the caller.
 *
 * @throws {TtsError} `invalid_token`, `insufficient_scope`, `provider_unavailable` (token)
 * @throws {TtsError} `access_denied` (proof of possession, or a delegation's token of another identity)
 * @see RFC 6750 section 3.1
 */
export async function identifyCaller(
  { verifier, possession }: CallerDependencies,
  evidence: Evidence,
  from: From,
): Promise<Caller> {
  if ('proxy' in evidence) {
    if (possession === undefined) throw renewalDisabled()
    return callerByPossession(await possession.verify(evidence.proxy))
  }
  const additionalLoginsOf = ({ additionalTokens = [] }: typeof evidence) =>
    Promise.all(additionalTokens.map((text) => additionalLogin(verifier, text, from)))
  if ('relyingUser' in evidence) {
    const additionalLogins = await additionalLoginsOf(evidence)
    return callerByToken({ token: evidence.relyingUser, additionalLogins })
  }
  const { token: accessToken, delegation } = evidence
  const token = await verifier.verify(accessToken, from)
  if (delegation !== undefined) requireSameIdentity(token, delegation.identity)
  const additionalLogins = await additionalLoginsOf(evidence)
  return callerByToken({ token, accessToken, additionalLogins, delegationId: delegation?.id })
}

async function additionalLogin(
  verifier: TokenVerifier,
  accessToken: string,
  from: From,
): Promise<AdditionalLogin> {
  const token = await verifier.verify(accessToken, from)
  const { providerId, issuer, publishedIssuer, sub, claims } = token
  return { providerId, issuer, publishedIssuer, sub, claims, accessToken }
}

interface TokenCaller {
  readonly token: VerifiedToken
  /** The text of the token; absent for users of a relying service. */
  readonly accessToken?: string
  readonly additionalLogins: readonly AdditionalLogin[]
  readonly delegationId?: string | undefined
}

function callerByToken(tokenCaller: TokenCaller): Caller {
  const { token, accessToken, additionalLogins, delegationId } = tokenCaller
  const { issuer, publishedIssuer, sub, clientId, claims } = token
  return {
    key: { issuer, sub },
    claims,
    presented: undefined,
    additionalLogins,
    clientId,
    serviceId: undefined,
    ancestry: { delegationId, renewedFrom: undefined, firstIssuedAt: undefined },
    requireMayUse: (service) => requireAuthorised(service, token),
    identity: async (subjects) => subjects.identify(token),
    parameters: (asked) => asked,
    tools: (context) => context,
    forPlugin: ({ passesAccessToken }) => {
      const pass = (text: string | undefined): string | undefined =>
        passesAccessToken ? text : undefined
      const logins = additionalLogins.map((login) => ({
        ...login,
        accessToken: pass(login.accessToken),
      }))
      return {
        issuer,
        publishedIssuer,
        sub,
        claims,
        accessToken: pass(accessToken),
        additionalLogins: logins,
      }
    },
  }
}

/** There are no claims to check, so the service must be the one whose rules allowed the first token. */
function callerByPossession(predecessor: Predecessor): Caller {
  const { identity, clientId, serviceId, delegationId, credentialId, firstIssuedAt } = predecessor
  const { issuer, sub } = identity
  return {
    key: { issuer, sub },
    claims: undefined,
    presented: predecessor.attributes,
    additionalLogins: [],
    clientId,
    serviceId,
    ancestry: { delegationId, renewedFrom: credentialId, firstIssuedAt },
    requireMayUse: (service) => {
      if (service.id === serviceId) return
      throw new TtsError(
        'access_denied',
        'a proxy can only be renewed by the service that issued it',
        {
          check: 'service',
        },
      )
    },
    identity: async () => identity,
    parameters: (asked) => ({
      ...inheritedParameters(predecessor),
      ...(asked as object | undefined),
    }),
    tools: (context, limits) => withinPredecessor(context, predecessor, limits),
    // Only plugins that make certificates renew by possession, and they use the recorded issuer.
    forPlugin: () => ({
      issuer,
      publishedIssuer: issuer,
      sub,
      claims: {},
      accessToken: undefined,
      additionalLogins: [],
    }),
  }
}

/** @throws {TtsError} `access_denied`, check `delegation_identity` (the token is of another identity) */
export function requireSameIdentity(
  token: Pick<VerifiedToken, 'issuer' | 'sub'>,
  identity: Pick<Identity, 'issuer' | 'sub'>,
): void {
  if (token.issuer === identity.issuer && token.sub === identity.sub) return
  throw new TtsError(
    'access_denied',
    'the identity provider gave a token for another identity than the one that delegated',
    {
      check: 'delegation_identity',
      remedy: 'Report this fault to the administrator of the provider.',
    },
  )
}
