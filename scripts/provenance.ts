/** From what a build is made, and when. */
import { execFileSync } from 'node:child_process'
import { env } from 'node:process'

export interface Provenance {
  /** In hexadecimal; `-dirty` follows if files were changed. Undefined outside of a checkout. */
  readonly commit?: string
  /** As in RFC 3339. */
  readonly builtAt: string
}

/**
 * Reads it from git. SOURCE_COMMIT stands in where there is no git (a container), SOURCE_DATE_EPOCH for the time, so
 * that a build can be repeated byte by byte.
 */
export function provenanceOf(root: string): Provenance {
  const { SOURCE_COMMIT: given, SOURCE_DATE_EPOCH: epoch } = env
  const at = epoch ? new Date(Number(epoch) * 1000) : new Date()
  const commit = given || commitOf(root)
  return { ...(commit !== undefined && { commit }), builtAt: at.toISOString() }
}

function commitOf(root: string): string | undefined {
  const git = (...words: string[]): string =>
    execFileSync('git', words, { cwd: root, encoding: 'utf8', stdio: 'pipe' }).trim()
  try {
    const changes = git('status', '--porcelain', '--untracked-files=no')
    return `${git('rev-parse', 'HEAD')}${changes === '' ? '' : '-dirty'}`
  } catch {
    return undefined
  }
}
