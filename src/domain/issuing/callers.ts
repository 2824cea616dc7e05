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
import type { Identity } from '../records.ts'
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
export type Caller =
  | {
      readonly kind: 'token'
      readonly token: VerifiedToken
      /** The token's text; undefined for users of a relying service. */
      readonly accessToken: string | undefined
      readonly additionalLogins: readonly AdditionalLogin[]
      readonly delegationId: string | undefined
    }
  | { readonly kind: 'possession'; readonly predecessor: Predecessor }

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
    return { kind: 'possession', predecessor: await possession.verify(evidence.proxy) }
  }
  const additionalLoginsOf = ({ additionalTokens = [] }: typeof evidence) =>
    Promise.all(additionalTokens.map((text) => additionalLogin(verifier, text, from)))
  if ('relyingUser' in evidence) {
    const additionalLogins = await additionalLoginsOf(evidence)
    return {
      kind: 'token',
      token: evidence.relyingUser,
      accessToken: undefined,
      additionalLogins,
      delegationId: undefined,
    }
  }
  const { token: accessToken, delegation } = evidence
  const token = await verifier.verify(accessToken, from)
  if (delegation !== undefined) requireSameIdentity(token, delegation.identity)
  const additionalLogins = await additionalLoginsOf(evidence)
  return { kind: 'token', token, accessToken, additionalLogins, delegationId: delegation?.id }
}

async function additionalLogin(
  verifier: TokenVerifier,
  accessToken: string,
  from: From,
): Promise<AdditionalLogin> {
  const { providerId, issuer, sub, claims } = await verifier.verify(accessToken, from)
  return { providerId, issuer, sub, claims, accessToken }
}

/** Who asks, as the plugin of a service is told: access tokens only where its settings pass them on. */
export function pluginCallerOf(
  caller: Caller,
  { passesAccessToken }: Pick<Service, 'passesAccessToken'>,
): PluginCaller {
  const { issuer, sub } = identityKeyOf(caller)
  if (caller.kind === 'possession')
    return { issuer, sub, claims: {}, accessToken: undefined, additionalLogins: [] }
  const pass = (text: string | undefined): string | undefined =>
    passesAccessToken ? text : undefined
  return {
    issuer,
    sub,
    claims: caller.token.claims,
    accessToken: pass(caller.accessToken),
    additionalLogins: caller.additionalLogins.map((login) => ({
      ...login,
      accessToken: pass(login.accessToken),
    })),
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
    { check: 'delegation_identity', remedy: 'a fault of the provider: tell its administrator' },
  )
}

/** (issuer, sub) of whoever asks. */
export function identityKeyOf(caller: Caller): { readonly issuer: string; readonly sub: string } {
  return caller.kind === 'token' ? caller.token : caller.predecessor.identity
}

/** The OAuth client that the token was issued to; of the first token, when proxies stand between. */
export function clientOf(caller: Caller): string | undefined {
  return caller.kind === 'token' ? caller.token.clientId : caller.predecessor.clientId
}

/**
 * May they use this service? By possession no claims are known any more: the service must be the one whose rules let the
 * first token in.
 *
 * @throws {TtsError} `access_denied`
 */
export function requireMayUse(service: Service, caller: Caller): void {
  if (caller.kind === 'token') requireAuthorised(service, caller.token)
  else if (service.id !== caller.predecessor.serviceId) {
    throw new TtsError('access_denied', 'a successor comes from the service of the proxy', {
      check: 'service',
    })
  }
}

/** The name that this identity has for ever. */
export async function identityOf(subjects: Subjects, caller: Caller): Promise<Identity> {
  return caller.kind === 'token' ? subjects.identify(caller.token) : caller.predecessor.identity
}

/** What the caller asks of the plugin; a successor is like its predecessor where nothing is asked. */
export function parametersOf(caller: Caller, asked: unknown): unknown {
  if (caller.kind === 'token') return asked
  return { ...inheritedParameters(caller.predecessor), ...(asked as object | undefined) }
}

/** The tools that the plugin gets: within what the predecessor had, where there is one. */
export function toolsFor(
  caller: Caller,
  context: IssuingContext,
  around: { readonly service: Service; readonly now: () => Date },
): IssuingContext {
  return caller.kind === 'token' ? context : withinPredecessor(context, caller.predecessor, around)
}
