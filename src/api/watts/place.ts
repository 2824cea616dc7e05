/** Parses the paths of WaTTS: version, issuer, resource type and id. */
import type { Request } from 'express'
import { withoutTrailingSlash } from '../../config/provider-schema.ts'
import { TtsError } from '../../base/errors.ts'
import { badRequest, wattsMessages } from './answers.ts'

/** Resource types in the path. */
export const resourceTypes = [
  'oidcp',
  'info',
  'logout',
  'service',
  'credential',
  'credential_data',
  'access_token',
] as const
export type ResourceType = (typeof resourceTypes)[number]

/** A parsed path. */
export interface Place {
  readonly version: 1 | 2
  readonly type: ResourceType
  /** Issuer in the path or the header: an id or a URL; undefined if there is none. */
  readonly issuer: string | undefined
  readonly id: string | undefined
}

/** Header in which clients of version 1 name the issuer. */
const ISSUER_HEADER = 'x-openid-connect-issuer'
const MAX_SEGMENT = 2048

/**
 * Parses the path below `/api`.
 *
 * @throws {TtsError} `not_found` (not a path of WaTTS)
 */
export function readPlace(request: Request): Place & { readonly versionWord: string } {
  const [versionWord = '', ...segments] = pathSegments(request.path)
  const header = request.get(ISSUER_HEADER)
  const place = segmentsOf(segments, header)
  if (place === undefined || !isType(place.type)) {
    throw new TtsError('not_found', wattsMessages.notFound, { check: 'path' })
  }
  return { ...place, type: place.type, version: versionWord.endsWith('1') ? 1 : 2, versionWord }
}

/**
 * Checks the version and the header of version 1. WaTTS checked them after the method, so this comes second.
 *
 * @throws {TtsError} `invalid_request`
 */
export function checkPlace(
  request: Request,
  { versionWord, version }: { versionWord: string; version: number },
): void {
  if (!/^[vV][12]$/.test(versionWord)) throw badRequest()
  if (request.get(ISSUER_HEADER) === undefined) return
  // With the header, the path must not name an issuer: /api/v1/<type>[/<id>].
  if (version !== 1 || pathSegments(request.path).length > 3) throw badRequest()
}

function segmentsOf(
  segments: readonly string[],
  header: string | undefined,
): { type: string; issuer: string | undefined; id: string | undefined } | undefined {
  const [first = '', second = '', third] = segments
  switch (segments.length) {
    case 1:
      return { type: first, issuer: issuerOf(header), id: undefined }
    case 2:
      return isType(second) && header === undefined
        ? { type: second, issuer: first, id: undefined }
        : { type: first, issuer: issuerOf(header), id: second }
    case 3:
      return { type: second, issuer: first, id: third }
    default:
      return undefined
  }
}

/** Some clients percent-encode the header as they do the path. */
function issuerOf(header: string | undefined): string | undefined {
  return header === undefined || header.includes('://') ? header : decoded(header)
}

function pathSegments(path: string): readonly string[] {
  return path
    .replace(/\/$/, '')
    .split('/')
    .slice(1)
    .map((segment) => decoded(segment))
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.slice(0, MAX_SEGMENT))
  } catch {
    return ''
  }
}

function isType(word: string): word is ResourceType {
  return (resourceTypes as readonly string[]).includes(word)
}

/**
 * Returns the id of the provider in a path, which names it by id or by issuer URL.
 *
 * @throws {TtsError} `invalid_request` (unknown provider)
 */
export function resolveProvider(
  name: string | undefined,
  providers: readonly { readonly id: string; readonly settings: { readonly issuer: string } }[],
): string | undefined {
  if (name === undefined) return undefined
  // The pseudo provider of a relying service. The session shows whether it exists.
  if (/^rsp-[A-Za-z0-9_-]{1,60}$/.test(name)) return name
  const provider = name.includes('://')
    ? providers.find(
        ({ settings }) => withoutTrailingSlash(settings.issuer) === withoutTrailingSlash(name),
      )
    : providers.find(({ id }) => id === name)
  if (provider === undefined) throw badRequest()
  return provider.id
}
