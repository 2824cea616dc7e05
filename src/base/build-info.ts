/** What runs: the version of the package, and how it was built. */
import { readFileSync } from 'node:fs'
import { findPackageJSON } from 'node:module'

export interface BuildInfo {
  readonly version: string
  /** Commit that it was built from, in hexadecimal; undefined when it runs from its sources. */
  readonly commit?: string
  /** When it was built, as in RFC 3339; undefined when it runs from its sources. */
  readonly builtAt?: string
}

/** Reads it from the nearest package.json, where scripts/build.ts has written it. @throws {Error} from `node:fs` */
export function readBuildInfo(): BuildInfo {
  const file = findPackageJSON('.', import.meta.url) ?? ''
  const { version, commit, builtAt } = JSON.parse(readFileSync(file, 'utf8')) as BuildInfo
  return { version, ...(commit && { commit }), ...(builtAt && { builtAt }) }
}
