/**
 * Reads a token exchange request (RFC 8693 section 2.1). The body is a form; what is not known is ignored, as RFC 6749
 * section 3.2 requires, and nothing that the request refuses is repeated in an error.
 */
import type { Request } from 'express'
import { TtsError } from '../../base/errors.ts'
import { requireNoPrivateKey } from '../../domain/issuing/issue-parameters.ts'
import {
  ACCESS_TOKEN,
  accessTokenTypes,
  JWT,
  requestedTokenTypes,
  subjectTokenTypes,
  TOKEN_EXCHANGE,
  PROXY_TOKEN_TYPE,
} from './token-types.ts'

/** The parameters of a form. Those without a value are left out (RFC 6749 section 3.2). */
export interface TokenForm {
  /** All but the lists below. */
  readonly fields: Readonly<Record<string, string>>
  readonly audiences: readonly string[]
  readonly resources: readonly string[]
}

/** A request to exchange a token. */
export type ExchangeRequest =
  | {
      readonly kind: 'credential'
      /** An access token. */
      readonly subjectToken: string
      readonly issuedTokenType: keyof typeof requestedTokenTypes
    }
  | {
      readonly kind: 'access_token'
      /** The certificates of a proxy file, PEM. */
      readonly subjectToken: string
      readonly issuedTokenType: string
    }

const CLIENT_SECRETS = ['client_secret', 'client_assertion', 'client_assertion_type'] as const

/**
 * Refuses, before a body is read, what is not a plain form in the body: clients of this service have no secret, and a
 * token has one place.
 *
 * @throws {TtsError} `invalid_request`, `unsupported_media_type`
 */
export function requirePlainForm(request: Request): void {
  const { authorization } = request.headers
  if (authorization !== undefined) {
    if (!/^bearer(\s|$)/i.test(authorization)) throw clientAuthentication()
    throw invalid('send the access token as subject_token only, without an Authorization header')
  }
  // RFC 6749 section 2.3.1: parameters must not be in the URI, where logs would keep them.
  if (request.originalUrl.includes('?'))
    throw invalid('send all parameters in the body, none in the URL')
  const type = (request.get('content-type') ?? '').split(';')[0]?.trim().toLowerCase()
  if (type !== 'application/x-www-form-urlencoded')
    throw new TtsError(
      'unsupported_media_type',
      'send a form (Content-Type: application/x-www-form-urlencoded)',
    )
}

/**
 * Reads a form.
 *
 * @throws {TtsError} `invalid_request` (a parameter is repeated, or holds a private key)
 * @see RFC 6749 section 3.2
 */
export function readTokenForm(body: Buffer): TokenForm {
  const fields = new Map<string, string>()
  const lists = { audience: [] as string[], resource: [] as string[] }
  for (const [name, value] of new URLSearchParams(body.toString('utf8'))) {
    // RFC 8693 section 2.1: only these two may be sent several times.
    if (name === 'audience' || name === 'resource') {
      if (value !== '') lists[name].push(value)
      continue
    }
    if (fields.has(name)) throw invalid(`${shownName(name)} is given twice`, 'repeated')
    fields.set(name, value)
  }
  const given = Object.fromEntries([...fields].filter(([, value]) => value !== ''))
  requireNoPrivateKey([...Object.values(given), ...Object.values(lists).flat()])
  return { fields: given, audiences: lists.audience, resources: lists.resource }
}

/**
 * Checks a form for an exchange that this service offers. Tokens, proxies and plugin parameters are not checked here.
 *
 * @param offers.accessTokens whether proxies can be exchanged for access tokens
 * @throws {TtsError} `invalid_request`; checks `grant_type`, `client_authentication`, `target` and `scope` have their
 *   own OAuth errors
 */
export function readExchange(
  form: TokenForm,
  offers: { readonly accessTokens: boolean },
): ExchangeRequest {
  const { fields } = form
  requireExchange(fields)
  const { subject_token: subjectToken, subject_token_type: type } = fields
  if (subjectToken === undefined) throw invalid('subject_token is missing: send an access token')
  const types = offers.accessTokens ? [...subjectTokenTypes, PROXY_TOKEN_TYPE] : subjectTokenTypes
  requireOneOf('subject_token_type', type, types)
  if (type === PROXY_TOKEN_TYPE) return proxyExchange(form, subjectToken)
  if (type === JWT && subjectToken.split('.', 4).length !== 3)
    throw invalid(`subject_token: is not a JWT; if it is an access token, send ${ACCESS_TOKEN}`)
  const { requested_token_type: issuedTokenType = PROXY_TOKEN_TYPE } = fields
  requireOneOf('requested_token_type', issuedTokenType, Object.keys(requestedTokenTypes))
  requireNoLimits(form)
  return {
    kind: 'credential',
    subjectToken,
    issuedTokenType: issuedTokenType as keyof typeof requestedTokenTypes,
  }
}

function proxyExchange({ fields, resources }: TokenForm, subjectToken: string): ExchangeRequest {
  const { requested_token_type: issuedTokenType = ACCESS_TOKEN } = fields
  requireOneOf('requested_token_type', issuedTokenType, accessTokenTypes)
  if (resources.length > 0)
    throw invalid('resource: name the target service as audience instead', 'target')
  return { kind: 'access_token', subjectToken, issuedTokenType }
}

function requireExchange(fields: TokenForm['fields']): void {
  if (CLIENT_SECRETS.some((name) => fields[name] !== undefined)) throw clientAuthentication()
  const { grant_type: grantType } = fields
  if (grantType === undefined) throw invalid('grant_type is missing')
  if (grantType !== TOKEN_EXCHANGE)
    throw invalid(`grant_type: must be ${TOKEN_EXCHANGE}`, 'grant_type')
  if (fields['actor_token'] !== undefined || fields['actor_token_type'] !== undefined)
    throw invalid('actor_token: this service issues nothing for one party that acts for another')
}

/** X.509 credentials are for every relying party that trusts the CA, and have no scopes. */
function requireNoLimits({ fields, audiences, resources }: TokenForm): void {
  if (audiences.length > 0 || resources.length > 0) {
    const name = audiences.length > 0 ? 'audience' : 'resource'
    throw invalid(
      `${name}: X.509 credentials cannot be limited to a target service; leave it out`,
      'target',
    )
  }
  if (fields['scope'] !== undefined)
    throw invalid('scope: X.509 credentials have no scopes; leave it out', 'scope')
}

function requireOneOf(name: string, value: string | undefined, offered: readonly string[]): void {
  if (value === undefined) throw invalid(`${name} is missing: send ${offered.join(' or ')}`)
  if (!offered.includes(value)) throw invalid(`${name}: must be ${offered.join(' or ')}`)
}

/** Messages repeat only names that look like a parameter name: any other text may be a misplaced token. */
function shownName(name: string): string {
  return /^[a-z_]{1,32}$/.test(name) ? name : 'a parameter'
}

/** A secret that reaches us belongs to some other server, so the client must learn of it. */
function clientAuthentication(): TtsError {
  return invalid(
    'clients have no secret here: send no client authentication (method none)',
    'client_authentication',
  )
}

function invalid(message: string, check?: string): TtsError {
  return new TtsError('invalid_request', message, check === undefined ? {} : { check })
}
