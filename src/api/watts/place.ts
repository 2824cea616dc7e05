/** The paths of WaTTS: which version, whose users, what is asked for. */
import type { Request } from 'express'
import { withoutTrailingSlash } from '../../config/provider-schema.ts'
import { TtsError } from '../../base/errors.ts'
import { badRequest, wattsMessages } from './answers.ts'

/** What can be asked for. */
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

/** A path that was read. */
export interface Place {
  readonly version: 1 | 2
  readonly type: ResourceType
  /** What the path or the header says of the issuer: an id, or an URL; undefined: nothing. */
  readonly issuer: string | undefined
  readonly id: string | undefined
}

/** By which clients of version 1 name the issuer. */
const ISSUER_HEADER = 'x-openid-connect-issuer'
const MAX_SEGMENT = 2048

/**
 * Reads the path below `/api`.
 *
 * @throws {TtsError} `not_found` for no path of WaTTS
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
 * What only makes sense after the method does: version, and the header of version 1.
 *
 * @throws {TtsError} `invalid_request`
 */
export function checkPlace(
  request: Request,
  { versionWord, version }: { versionWord: string; version: number },
): void {
  if (!/^[vV][12]$/.test(versionWord)) throw badRequest()
  if (request.get(ISSUER_HEADER) === undefined) return
  // With the header the issuer is not in the path: /api/v1/<type>[/<id>].
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

/** Headers of some clients are encoded as their paths are. */
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
 * The id of the provider that a path names, by its id or by its issuer's URL.
 *
 * @throws {TtsError} `invalid_request` for one that is not known
 */
export function providerNamed(
  named: string | undefined,
  providers: readonly { readonly id: string; readonly settings: { readonly issuer: string } }[],
): string | undefined {
  if (named === undefined) return undefined
  // Users of relying services; a session says whether there is one.
  if (/^rsp-[A-Za-z0-9_-]{1,60}$/.test(named)) return named
  const found = named.includes('://')
    ? providers.find(
        ({ settings }) => withoutTrailingSlash(settings.issuer) === withoutTrailingSlash(named),
      )
    : providers.find(({ id }) => id === named)
  if (found === undefined) throw badRequest()
  return found.id
}
