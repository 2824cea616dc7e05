/**
 * /.well-known/oauth-authorization-server: where and how clients exchange tokens (RFC 8414). Public and without
 * secrets.
 */
import type { RequestHandler } from 'express'
import { serveWellKnown, wellKnownMethods } from '../well-known.ts'
import { TOKEN_PATH } from './token-endpoint.ts'
import { requestedTokenTypes, subjectTokenTypes, TOKEN_EXCHANGE } from './token-types.ts'

export const SERVER_METADATA_PATH = '/.well-known/oauth-authorization-server'

/** Metadata of this service (RFC 8414 section 2). */
export interface ServerMetadata {
  /** `listen.public_url`, unchanged: clients compare it with the URL that they asked. */
  readonly issuer: string
  readonly token_endpoint: string
  /** There is no authorization endpoint, so no response type either. */
  readonly response_types_supported: readonly string[]
  readonly grant_types_supported: readonly string[]
  readonly token_endpoint_auth_methods_supported: readonly string[]
  /** Members of our own: no RFC has one for them. */
  readonly tts_subject_token_types_supported: readonly string[]
  readonly tts_requested_token_types_supported: readonly string[]
}

/** Returns the metadata of this service. */
export function serverMetadata(publicUrl: string): ServerMetadata {
  return {
    issuer: publicUrl,
    token_endpoint: `${publicUrl.replace(/\/+$/, '')}${TOKEN_PATH}`,
    response_types_supported: [],
    grant_types_supported: [TOKEN_EXCHANGE],
    token_endpoint_auth_methods_supported: ['none'],
    tts_subject_token_types_supported: subjectTokenTypes,
    tts_requested_token_types_supported: Object.keys(requestedTokenTypes),
  }
}

/** Returns the handler of the metadata. */
export function serveServerMetadata(publicUrl: string): RequestHandler {
  return serveWellKnown({
    path: SERVER_METADATA_PATH,
    publicUrl,
    content: serverMetadata(publicUrl),
  })
}

/** The paths of the metadata with their methods. */
export const serverMetadataMethods = [wellKnownMethods(SERVER_METADATA_PATH)] as const
