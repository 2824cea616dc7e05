/**
 * /.well-known/oauth-authorization-server: where and how clients exchange tokens (RFC 8414). Public and without
 * secrets. If the service signs access tokens, it is also at /.well-known/openid-configuration, where verifiers look
 * first, and leads to the key set.
 */
import { type RequestHandler, Router } from 'express'
import type { TokenKeySet, TokenKeys } from '../../domain/access-tokens/token-keys.ts'
import { routeName } from '../request.ts'
import { sendTagged, taggedOnce } from '../tagged-answer.ts'
import { serveWellKnown, wellKnownMethods } from '../well-known.ts'
import { TOKEN_PATH } from './token-endpoint.ts'
import {
  accessTokenTypes,
  requestedTokenTypes,
  subjectTokenTypes,
  TOKEN_EXCHANGE,
  PROXY_TOKEN_TYPE,
} from './token-types.ts'

export const SERVER_METADATA_PATH = '/.well-known/oauth-authorization-server'
export const DISCOVERY_PATH = '/.well-known/openid-configuration'
export const KEY_SET_PATH = '/oauth2/jwks'

/** Metadata of this service (RFC 8414 section 2). */
export interface ServerMetadata {
  /** `listen.public_url`, unchanged: clients compare it with the URL that they asked. */
  readonly issuer: string
  readonly token_endpoint: string
  /** The keys of access tokens; missing if the service signs none. */
  readonly jwks_uri?: string
  /** There is no authorization endpoint, so no response type either. */
  readonly response_types_supported: readonly string[]
  readonly grant_types_supported: readonly string[]
  readonly token_endpoint_auth_methods_supported: readonly string[]
  /** Members of our own: no RFC has one for them. */
  readonly tts_subject_token_types_supported: readonly string[]
  readonly tts_requested_token_types_supported: readonly string[]
}

/** Returns the metadata of this service. */
export function serverMetadata(
  publicUrl: string,
  offers: { readonly accessTokens: boolean },
): ServerMetadata {
  const base = publicUrl.replace(/\/+$/, '')
  const subjects = offers.accessTokens ? [PROXY_TOKEN_TYPE] : []
  const requested = offers.accessTokens ? accessTokenTypes : []
  return {
    issuer: publicUrl,
    token_endpoint: `${base}${TOKEN_PATH}`,
    ...(offers.accessTokens ? { jwks_uri: `${base}${KEY_SET_PATH}` } : {}),
    response_types_supported: [],
    grant_types_supported: [TOKEN_EXCHANGE],
    token_endpoint_auth_methods_supported: ['none'],
    tts_subject_token_types_supported: [...subjectTokenTypes, ...subjects],
    tts_requested_token_types_supported: [...Object.keys(requestedTokenTypes), ...requested],
  }
}

/**
 * Returns the routes of the metadata, and of the key set if the service signs access tokens.
 *
 * @param tokenKeys undefined: it signs none
 */
export function serverMetadataRoutes(
  publicUrl: string,
  tokenKeys: TokenKeys | undefined,
): RequestHandler {
  const content = serverMetadata(publicUrl, { accessTokens: tokenKeys !== undefined })
  const router = Router()
  router.use(serveWellKnown({ path: SERVER_METADATA_PATH, publicUrl, content }))
  if (tokenKeys === undefined) return router
  router.use(serveWellKnown({ path: DISCOVERY_PATH, publicUrl, content }))
  const tagged = taggedOnce((keySet: TokenKeySet) => Buffer.from(JSON.stringify(keySet)))
  router.get(KEY_SET_PATH, routeName(KEY_SET_PATH), async (_request, response) => {
    const keySet = await tokenKeys.keySet()
    sendTagged(response.type('application/json'), tagged(keySet))
  })
  return router
}

/** The paths of the metadata with their methods. */
export const serverMetadataMethods = [wellKnownMethods(SERVER_METADATA_PATH)] as const
/** Those that exist only if the service signs access tokens. */
export const accessTokenMethods: readonly (readonly [RegExp, string])[] = [
  wellKnownMethods(DISCOVERY_PATH),
  [/^\/oauth2\/jwks\/?$/, 'GET, HEAD'],
]
