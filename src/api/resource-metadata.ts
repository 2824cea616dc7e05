/**
 * /.well-known/oauth-protected-resource: tells clients which providers this service trusts and which audience a token
 * needs (RFC 9728). Public and without secrets.
 */
import type { RequestHandler } from 'express'
import type { ProviderSettings } from '../config/provider-schema.ts'
import { acceptedAudiences } from '../tokens/claim-checks.ts'
import { serveWellKnown, wellKnownMethods, wellKnownUrl } from './well-known.ts'

const WELL_KNOWN = '/.well-known/oauth-protected-resource'

/** The part of a provider that its metadata come from. */
interface TrustedProvider {
  readonly settings: Pick<
    ProviderSettings,
    'issuer' | 'audiences' | 'accept_any_wlcg_audience' | 'required_scopes'
  >
}

/** Metadata of this service (RFC 9728 section 2). Empty lists are left out, as section 3.2 requires. */
export interface ResourceMetadata {
  /** `listen.public_url`: it identifies the whole service, not a single path. */
  readonly resource: string
  readonly resource_name: string
  readonly bearer_methods_supported: readonly string[]
  readonly authorization_servers?: readonly string[]
  readonly scopes_supported?: readonly string[]
  /** Member of our own: the accepted audiences by issuer, best first. Audiences differ from provider to provider. */
  readonly tts_audiences?: Readonly<Record<string, readonly string[]>>
}

/** Returns the URL of the metadata. */
export function resourceMetadataUrl(publicUrl: string): string {
  return wellKnownUrl(publicUrl, WELL_KNOWN)
}

/** Returns the metadata of this service. */
export function resourceMetadata(
  publicUrl: string,
  providers: readonly TrustedProvider[],
): ResourceMetadata {
  const settings = providers.map((provider) => provider.settings)
  const scopes = [...new Set(settings.flatMap((provider) => provider.required_scopes))].sort()
  const audiences = settings
    .map((provider) => [provider.issuer, acceptedAudiences(provider)] as const)
    .filter(([, accepted]) => accepted.length > 0)
  return {
    resource: publicUrl,
    resource_name: 'Token Translation Service',
    bearer_methods_supported: ['header'],
    ...(settings.length > 0 && { authorization_servers: settings.map(({ issuer }) => issuer) }),
    ...(scopes.length > 0 && { scopes_supported: scopes }),
    ...(audiences.length > 0 && { tts_audiences: Object.fromEntries(audiences) }),
  }
}

/** Returns the handler of the metadata. */
export function serveResourceMetadata(
  publicUrl: string,
  providers: readonly TrustedProvider[],
): RequestHandler {
  const content = resourceMetadata(publicUrl, providers)
  return serveWellKnown({ path: WELL_KNOWN, publicUrl, content })
}

/** The paths of the metadata with their methods. */
export const resourceMetadataMethods = [wellKnownMethods(WELL_KNOWN)] as const
