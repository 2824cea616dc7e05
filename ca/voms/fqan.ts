/**
 * Fully qualified attribute names (FQANs) of VOMS: `/vo/group/Role=role`. The first part is the name of the virtual
 * organisation (VO).
 */
import { CaError, type CaErrorReason } from '../errors.ts'

/** A group, or a role in a group. */
export interface Fqan {
  /** The VO and the groups below it, outermost first. */
  readonly groups: readonly string[]
  readonly role: string | undefined
}

/**
 * Names of VOs: letters, digits, dots, hyphens and underscores; the first one a letter or digit. A name is a directory
 * in vomsdir and a quoted word in vomses, so it must not have slashes, quotes or white space.
 */
export const voNamePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/
/** Names of groups and roles. VOMS also allows spaces, but the requests of its clients cannot carry them. */
const partPattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$/
/** Longest FQAN, in characters. */
export const MAX_FQAN_LENGTH = 255

/**
 * Reads an FQAN. `Role=NULL` and `Capability=NULL`, which VOMS adds, mean "no role" and nothing.
 *
 * @throws {CaError} `bad_request`
 * @see RFC 5755 section 4.4.4, and GFD.182 section 3.4 for the text in its octets
 * @example
 * parseFqan('/cms/uscms/Role=production/Capability=NULL').role // => 'production'
 */
export function parseFqan(text: string): Fqan {
  if (text.length > MAX_FQAN_LENGTH)
    throw badFqan(`an FQAN must have at most ${MAX_FQAN_LENGTH} characters`, 'too_large')
  const [empty, ...parts] = text.split('/')
  if (empty !== '' || parts.length === 0)
    throw badFqan('an FQAN must begin with a slash and the name of the VO')
  if (parts.at(-1) === 'Capability=NULL') parts.pop()
  const last = parts.at(-1)
  const role = last?.startsWith('Role=') === true ? last.slice('Role='.length) : undefined
  if (role !== undefined) parts.pop()
  const names = role === undefined || role === 'NULL' ? parts : [...parts, role]
  if (!voNamePattern.test(parts[0] ?? '') || !names.every((name) => partPattern.test(name)))
    throw badFqan(
      'an FQAN must look like /vo/group/Role=role, with names of letters, digits, dots, hyphens and underscores',
    )
  return { groups: parts, role: role === 'NULL' ? undefined : role }
}

/**
 * The short form, without `Role=NULL` and `Capability=NULL`.
 *
 * @see RFC 5755 section 4.4.4
 * @example
 * formatFqan({ groups: ['cms', 'uscms'], role: undefined }) // => '/cms/uscms'
 */
export function formatFqan({ groups, role }: Fqan): string {
  return `/${groups.join('/')}${role === undefined ? '' : `/Role=${role}`}`
}

/**
 * The form in attribute certificates. Relying parties compare it as text, with both NULL parts.
 *
 * @see RFC 5755 section 4.4.4
 * @example
 * formatLongFqan({ groups: ['cms'], role: undefined }) // => '/cms/Role=NULL/Capability=NULL'
 */
export function formatLongFqan({ groups, role }: Fqan): string {
  return `/${groups.join('/')}/Role=${role ?? 'NULL'}/Capability=NULL`
}

function badFqan(message: string, reason: CaErrorReason = 'bad_value'): CaError {
  return new CaError('bad_request', message, { field: 'FQAN', reason })
}
