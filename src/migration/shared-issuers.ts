/** Ids of one issuer name the same people, so they need the same alias, and accept the same tokens. */
import { withoutTrailingSlash } from '../config/provider-schema.ts'
import type { Tree } from '../config/settings-tree.ts'
import type { Reading } from './reading.ts'

/** Returns the providers by id, with alias and audiences of each issuer in common. */
export function withSharedIssuers(
  reading: Reading,
  providers: ReadonlyMap<string, Tree>,
): readonly (readonly [string, Tree])[] {
  const groups = Map.groupBy(providers, ([, { issuer }]) =>
    typeof issuer === 'string' ? withoutTrailingSlash(issuer) : Symbol('no issuer'),
  )
  const shared = new Map([...groups.values()].flatMap((group) => shareOne(reading, group)))
  return [...providers].map(([id, settings]) => [id, shared.get(id) ?? settings])
}

type Entry = readonly [string, Tree]

function shareOne(reading: Reading, group: readonly Entry[]): readonly Entry[] {
  const [first, ...others] = group
  if (first === undefined || others.length === 0) return group
  const [firstId, { alias = firstId }] = first
  const all = group.flatMap(([, { audiences }]) => audiences as readonly string[])
  const audiences = [...new Set(all)]
  for (const [id] of others)
    reading.remark(
      'changed',
      `openid.${id}`,
      `has the same issuer as ${firstId}: both ids name the same people, so they have one alias and the same audiences, and a rule for one id holds for both. The last WaTTS let nobody log in at such providers`,
    )
  return [
    [firstId, { ...first[1], audiences }],
    ...others.map(([id, settings]): Entry => [id, { ...settings, alias, audiences }]),
  ]
}
