/** Who asks for a credential, and by what: a bearer token, the possession of a proxy of ours, or the word of a relying service. */
import type { AdditionalLogin, PluginCaller, IssuingContext } from '../../../plugins/plugin.ts'
import { TtsError } from '../../base/errors.ts'
import type { VerifiedToken } from '../../tokens/verified-token.ts'
import type { TokenVerifier } from '../../tokens/verify-token.ts'
import { requireAuthorised } from './authorise.ts'
import type { Delegation } from '../delegations/records.ts'
import {
  inheritedParameters,
  type PossessionVerifier,
  type Predecessor,
  type PresentedProxy,
  switchedOff,
  withinPredecessor,
} from '../possession/possession.ts'
import type { CredentialRecord, Identity } from '../records.ts'
import type { Service } from './service.ts'
import type { Subjects } from './subject.ts'

/** What shows who asks. */
export type Evidence =
  | {
      /** The bearer token as it came, unverified. */
      readonly token: string
      /** The delegation that got the token, which must speak for the delegation's identity. */
      readonly delegation?: Delegation
      /** Tokens of the same person's logins at other providers, unverified; for plugins that asked for them. */
      readonly additionalTokens?: readonly string[]
    }
  | { readonly proxy: PresentedProxy }
  /** Whom a relying service sent with a signed request; checked before. */
  | {
      readonly relyingUser: VerifiedToken
      /** Tokens of the user's logins at providers, unverified. */
      readonly additionalTokens?: readonly string[]
    }

/** Who asks, once that is shown. Made by `identifyCaller` alone. */
export interface Caller {
  /** (issuer, sub). */
  readonly key: { readonly issuer: string; readonly sub: string }
  /** The OAuth client that the token was issued to; of the first token, when proxies stand between. */
  readonly clientId: string | undefined
  /** The service of the proxy that is shown; undefined for callers with a token, who name one. */
  readonly serviceId: string | undefined
  /** By what the credential is renewed, for its record. */
  readonly ancestry: Pick<CredentialRecord, 'delegationId' | 'renewedFrom' | 'firstIssuedAt'>
  /** @throws {TtsError} `access_denied` unless they may use this service */
  requireMayUse(service: Service): void
  /** The name that this identity has for ever. */
  identity(subjects: Subjects): Promise<Identity>
  /** What is asked of the plugin; a successor is like its predecessor where nothing is asked. */
  parameters(asked: unknown): unknown
  /** The tools that the plugin gets: within what the predecessor had, where there is one. */
  tools(
    context: IssuingContext,
    around: { readonly service: Service; readonly now: () => Date },
  ): IssuingContext
  /** Who asks, as the plugin of a service is told: access tokens only where its settings pass them on. */
  forPlugin(service: Pick<Service, 'passesAccessToken'>): PluginCaller
}

export interface CallerDependencies {
  readonly verifier: TokenVerifier
  /** Undefined: renewal by possession is switched off. */
  readonly possession: PossessionVerifier | undefined
}

/** Where a request comes from, and until when somebody waits for its answer. */
export interface From {
  readonly signal: AbortSignal
  readonly address: string
}

/**
 * Who is it?
 *
 * @throws {TtsError} `invalid_token`, `insufficient_scope`, `provider_unavailable`; `access_denied` for possession
 */
export async function identifyCaller(
  { verifier, possession }: CallerDependencies,
  evidence: Evidence,
  from: From,
): Promise<Caller> {
  if ('proxy' in evidence) {
    if (possession === undefined) throw switchedOff()
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
  const { providerId, issuer, sub, claims } = await verifier.verify(accessToken, from)
  return { providerId, issuer, sub, claims, accessToken }
}

interface TokenCaller {
  readonly token: VerifiedToken
  /** The token's text; absent for users of a relying service. */
  readonly accessToken?: string
  readonly additionalLogins: readonly AdditionalLogin[]
  readonly delegationId?: string | undefined
}

function callerByToken(shown: TokenCaller): Caller {
  const { token, accessToken, additionalLogins, delegationId } = shown
  const { issuer, sub, clientId, claims } = token
  return {
    key: { issuer, sub },
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
      return { issuer, sub, claims, accessToken: pass(accessToken), additionalLogins: logins }
    },
  }
}

/** No claims are known any more: the service must be the one whose rules let the first token in. */
function callerByPossession(predecessor: Predecessor): Caller {
  const { identity, clientId, serviceId, delegationId, credentialId, firstIssuedAt } = predecessor
  const { issuer, sub } = identity
  return {
    key: { issuer, sub },
    clientId,
    serviceId,
    ancestry: { delegationId, renewedFrom: credentialId, firstIssuedAt },
    requireMayUse: (service) => {
      if (service.id === serviceId) return
      throw new TtsError('access_denied', 'a successor comes from the service of the proxy', {
        check: 'service',
      })
    },
    identity: async () => identity,
    parameters: (asked) => ({
      ...inheritedParameters(predecessor),
      ...(asked as object | undefined),
    }),
    tools: (context, around) => withinPredecessor(context, predecessor, around),
    forPlugin: () => ({ issuer, sub, claims: {}, accessToken: undefined, additionalLogins: [] }),
  }
}

/** @throws {TtsError} `access_denied`, check `delegation_identity`, when a token speaks for somebody else */
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
