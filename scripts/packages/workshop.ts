/** What all kinds of packages are made from. */
import { realpathSync } from 'node:fs'
import { join } from 'node:path'

export interface Workshop {
  /** Root of the sources. */
  readonly root: string
  /** Path of the Node that goes into packages. */
  readonly node: string
  /** The built programs. */
  readonly dist: string
  /** An empty directory to work in. */
  readonly work: string
  /** Where the packages go. */
  readonly out: string
  /** Whether to compress less. */
  readonly isFast: boolean
}

/** Name of the bill of materials in `dist/`. */
export const BILL = 'bill-of-materials.cdx.json'

/**
 * Returns the path of the Node that npm has installed. It must also be the one that runs this: it compiles for itself,
 * and tells its own parts. @throws {Error}
 */
export function nodeOf(root: string): string {
  const path = join(root, `node_modules/node-linux-${process.arch}/bin/node`)
  if (realpathSync(process.execPath) === realpathSync(path)) return path
  throw new Error(`run this with ${path}, as \`npm run packages\` does`)
}
