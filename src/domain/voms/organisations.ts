/** Virtual organisations (VOs): which FQANs the groups of a token give. */
import { type Fqan, formatFqan, parseFqan } from '../../../ca/voms/fqan.ts'
import type { VomsServer } from '../../../ca/voms/attribute-certificate.ts'
import type { KnownGroups } from './records.ts'

export interface VirtualOrganisation {
  readonly server: VomsServer
  /** The issuer whose users may be members, without a trailing slash. */
  readonly issuer: string
  /** Names or paths of the claims with groups. */
  readonly claims: readonly string[]
  readonly rules: readonly OrganisationRule[]
  readonly maximumLifetimeSeconds: number
  /** How long the groups of a token count. */
  readonly groupsValidSeconds: number
}

/** Members of the group have the FQAN; with `withBelow`, those of a group below it the same groups below the FQAN. */
export interface OrganisationRule {
  /** Without a leading slash. */
  readonly group: string
  readonly fqan: Fqan
  readonly withBelow: boolean
}

/**
 * Returns all FQANs that the groups give: groups first, the VO before all others, then roles. Who is in a group, or
 * has a role in it, is in all groups above, as everywhere in VOMS.
 */
export function fqansOf(
  { rules, claims }: VirtualOrganisation,
  { groups }: Pick<KnownGroups, 'groups'>,
): readonly Fqan[] {
  const stated = claims.flatMap((claim) => groups[claim] ?? [])
  const given = rules.flatMap((rule) => stated.flatMap((group) => givenBy(rule, group)))
  const above = given.flatMap((fqan) => groupsDownTo(fqan))
  const all = new Map([...above, ...given].map((fqan) => [formatFqan(fqan), fqan]))
  return [...all.values()].toSorted(
    (left, right) =>
      Number(left.role !== undefined) - Number(right.role !== undefined) ||
      Number(left.groups.length > 1) - Number(right.groups.length > 1),
  )
}

function givenBy({ group: base, fqan, withBelow }: OrganisationRule, group: string): Fqan[] {
  if (!withBelow) return group === base ? [fqan] : []
  if (!group.startsWith(`${base}/`)) return []
  try {
    // A group called `Role=…` must not become a role.
    const below = parseFqan(`/${fqan.groups[0]}/${group.slice(base.length + 1)}`)
    if (below.role !== undefined || /\/(Role|Capability)=/.test(`/${group}`)) return []
    return [{ groups: [...fqan.groups, ...below.groups.slice(1)], role: undefined }]
  } catch {
    // A group with spaces, or too long a name, cannot be in an FQAN.
    return []
  }
}

/** The group of an FQAN and all above it, the VO first. */
function groupsDownTo({ groups }: Fqan): readonly Fqan[] {
  return groups.map((_, index) => ({ groups: groups.slice(0, index + 1), role: undefined }))
}

/** FQANs for an attribute certificate, and those that were asked for in vain. */
export interface SelectedFqans {
  readonly fqans: readonly Fqan[]
  readonly missing: readonly Fqan[]
}

/**
 * Selects as VOMS servers do: what was asked for, in its order, and then all groups. Roles are never given unasked:
 * they are rights that their holders take on for one task.
 *
 * @param requested `all`: with all roles; empty: groups only
 */
export function selectFqans(
  available: readonly Fqan[],
  requested: readonly Fqan[] | 'all',
): SelectedFqans {
  if (requested === 'all') return { fqans: available, missing: [] }
  const byText = new Map(available.map((fqan) => [formatFqan(fqan), fqan]))
  const groups = available.filter(({ role }) => role === undefined)
  const selected = new Map([...requested, ...groups].map((fqan) => [formatFqan(fqan), fqan]))
  return {
    fqans: [...selected].filter(([text]) => byText.has(text)).map(([, fqan]) => fqan),
    missing: requested.filter((fqan) => !byText.has(formatFqan(fqan))),
  }
}
