/** What runs: the version of the package, and how it was built. */
import { readFileSync } from 'node:fs'
import { findPackageJSON } from 'node:module'
import { getAsset, isSea } from 'node:sea'

export interface BuildInfo {
  readonly version: string
  /** Commit that it was built from, in hexadecimal; undefined when it runs from its sources. */
  readonly commit?: string
  /** When it was built, as in RFC 3339; undefined when it runs from its sources. */
  readonly builtAt?: string
}

/** Reads it from the nearest package.json, where scripts/build.ts has written it. @throws {Error} from `node:fs` */
export function readBuildInfo(): BuildInfo {
  const text = isSea()
    ? getAsset('package.json', 'utf8')
    : readFileSync(findPackageJSON('.', import.meta.url) ?? '', 'utf8')
  const { version, commit, builtAt } = JSON.parse(text) as BuildInfo
  return { version, ...(commit && { commit }), ...(builtAt && { builtAt }) }
}
