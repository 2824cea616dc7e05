/** Examines one token for `tts provider probe`: what it is, whose, and where it has audience, groups and scopes. */
import type { ProviderSettings } from '../config/provider-schema.ts'
import { TtsError } from '../base/errors.ts'
import { audiencesOf, type Claims, findClaim, scopesOf } from './claim-values.ts'
import { speakerOf } from './identity-checks.ts'
import { canIntrospect, fetchIntrospection } from './introspection.ts'
import { checkTokenText, MAX_TOKEN_BYTES, readUnverified, verifyJwtSignature } from './jwt.ts'
import type { Fetch } from './limited-fetch.ts'
import { createProvider, type Provider } from './providers.ts'
import { kindOfAnswer, kindOfJwt } from './token-kind.ts'
import { canAskUserInfo, fetchUserInfo } from './userinfo.ts'

/** What a token shows. It holds claims, never the token. */
export interface ExaminedToken {
  readonly format: 'jwt' | 'opaque'
  readonly algorithm: string | undefined
  /** In words: `an access token by its claim typ`. */
  readonly kind: string
  readonly owner: 'person' | 'client' | 'unclear'
  readonly audiences: readonly string[]
  readonly scopes: readonly string[]
  /** Claims that look like groups, by name or path, with their values. */
  readonly groups: Readonly<Record<string, readonly string[]>>
  readonly settings: Readonly<Record<string, unknown>>
  readonly remarks: readonly string[]
}

/** What examining needs. */
export interface ExamineOptions {
  readonly settings: ProviderSettings
  readonly client: {
    readonly clientId: string | undefined
    readonly clientSecret: string | undefined
  }
  readonly fetch: Fetch
  readonly now: Date
}

/** The answers of the provider about a token; undefined: not asked, or refused. */
interface Sources {
  readonly jwt: Claims | undefined
  readonly introspection: Claims | undefined
  readonly userInfo: Claims | undefined
}

/**
 * Examines a token at the provider.
 *
 * @throws {TtsError} `invalid_token` (not a token, or its signature is wrong), `provider_unavailable`
 */
export async function examineToken(token: string, options: ExamineOptions): Promise<ExaminedToken> {
  checkTokenText(token, MAX_TOKEN_BYTES)
  const { clientId, clientSecret } = options.client
  const settings = {
    ...options.settings,
    ...(clientId !== undefined && { client_id: clientId }),
    ...(clientSecret !== undefined && { client_secret: clientSecret }),
  }
  const silent = { info: () => undefined, warn: () => undefined }
  const { now } = options
  const provider = createProvider('probe', settings, {
    now: () => now,
    log: silent,
    fetch: options.fetch,
  })
  try {
    const unverified = readUnverified(token)
    const jwt =
      unverified === undefined ? undefined : await verifyJwtSignature(token, provider, now)
    const sources = {
      jwt: jwt?.claims,
      introspection: await introspected(token, provider),
      userInfo: await userInfoOf(token, provider),
    }
    return describeToken(sources, { settings, header: jwt?.header })
  } finally {
    await provider.close()
  }
}

async function introspected(token: string, provider: Provider): Promise<Claims | undefined> {
  const { client_secret: secret, client_authentication: authentication } = provider.settings
  const mayAsk = secret !== undefined || authentication === 'none'
  if (!mayAsk || !(await canIntrospect(provider))) return undefined
  const answer = await fetchIntrospection(token, provider).catch(undefinedIfRefused)
  return answer?.['active'] === true ? answer : undefined
}

async function userInfoOf(token: string, provider: Provider): Promise<Claims | undefined> {
  if (!(await canAskUserInfo(provider))) return undefined
  return fetchUserInfo(token, undefined, provider).catch(undefinedIfRefused)
}

function undefinedIfRefused(error: unknown): undefined {
  if (!(error instanceof TtsError)) throw error
}

interface Context {
  readonly settings: ProviderSettings
  readonly header: { readonly alg?: string; readonly typ?: string } | undefined
}

function describeToken(sources: Sources, { settings, header }: Context): ExaminedToken {
  const { jwt, introspection, userInfo } = sources
  const evidence = settings.access_token_evidence
  const verdict =
    jwt === undefined
      ? kindOfAnswer(introspection ?? {}, { evidence })
      : kindOfJwt(jwt, { headerType: header?.typ, evidence })
  const acceptedByUserInfo = jwt === undefined && userInfo !== undefined
  const isAccess = verdict.kind === 'access' || (verdict.kind === 'unknown' && acceptedByUserInfo)
  const token = jwt ?? introspection ?? {}
  const all = [jwt, introspection, userInfo].filter((claims) => claims !== undefined)
  const owner = speakerOf(all)
  return {
    format: jwt === undefined ? 'opaque' : 'jwt',
    algorithm: header?.alg,
    kind: isAccess
      ? `an access token by ${verdict.kind === 'access' ? `its ${verdict.sign}` : 'UserInfo'}`
      : verdict.kind === 'unknown'
        ? 'of unknown kind'
        : `not an access token (${verdict.sign})`,
    owner,
    audiences: audiencesOf(token),
    scopes: scopesOf(token),
    groups: groupsOf(Object.assign({}, ...all.toReversed()) as Claims),
    settings: settingsFor(sources, { isAccess, owner }),
    remarks: remarksOn(sources, { isAccess, owner }),
  }
}

interface Judged {
  readonly isAccess: boolean
  readonly owner: ExaminedToken['owner']
}

/** Returns the settings that make a token of this kind acceptable. */
function settingsFor(sources: Sources, { owner }: Judged): Record<string, unknown> {
  const { jwt, introspection, userInfo } = sources
  const isComplete = jwt?.['sub'] !== undefined && jwt['aud'] !== undefined
  const needsAnswer = jwt === undefined || (!isComplete && introspection !== undefined)
  const groupsInToken = Object.keys(groupsOf(jwt ?? introspection ?? {})).length > 0
  const groupsAtUserInfo = userInfo !== undefined && Object.keys(groupsOf(userInfo)).length > 0
  return {
    ...(needsAnswer && jwt !== undefined && { introspect: 'always' }),
    ...(jwt === undefined && introspection !== undefined && { introspect: 'opaque' }),
    ...(jwt === undefined &&
      introspection === undefined && { introspect: 'userinfo', accept_missing_audience: true }),
    ...(!groupsInToken && groupsAtUserInfo && { userinfo: 'when_missing_groups' }),
    ...(owner === 'client' && { allow_client_tokens: true }),
  }
}

function remarksOn(sources: Sources, { isAccess, owner }: Judged): string[] {
  const { jwt, introspection, userInfo } = sources
  const token = jwt ?? introspection
  const remarks: string[] = []
  if (jwt === undefined && token === undefined && userInfo === undefined)
    remarks.push(
      'The provider does not know this token, or does not let our client ask about it. Give --client-id and --client-secret-file of a client that may introspect.',
    )
  if (token !== undefined && !isAccess)
    remarks.push(
      'Nothing says that this is an access token. If it is one, see access_token_evidence in the documentation of the configuration.',
    )
  if (token !== undefined && audiencesOf(token).length === 0)
    remarks.push(
      'The token has no audience: make the client request yours, or make the provider add it.',
    )
  if (owner === 'unclear')
    remarks.push(
      'The token does not say whether it is of a user or of a client: give its client the scope profile.',
    )
  if (Object.keys(groupsOf({ ...userInfo, ...introspection, ...jwt })).length === 0)
    remarks.push('Neither the token nor the provider names groups of its user.')
  return remarks
}

const GROUP_NAME = /group|role|entitlement|memberof/i

/** Claims with lists of texts whose names are usual for groups, by name or by the path of one object. */
function groupsOf(claims: Claims): Record<string, string[]> {
  const names = Object.entries(claims).flatMap(([name, value]) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.keys(value).map((inner) => `${name}.${inner}`)
      : [name],
  )
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = findClaim(claims, name)
      const isList = Array.isArray(value) && value.every((entry) => typeof entry === 'string')
      return isList && value.length > 0 && GROUP_NAME.test(name) ? [[name, value]] : []
    }),
  )
}
