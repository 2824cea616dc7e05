/** docs/providers/other.md and its code blocks. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export const text = readFileSync(
  join(import.meta.dirname, '../../../docs/providers/other.md'),
  'utf8',
)

export interface Block {
  readonly language: string
  readonly code: string
}

/** The code blocks below a heading, up to the next one. */
export function blocksUnder(heading: string): readonly Block[] {
  const after = text.split(`# ${heading}\n`)[1]
  if (after === undefined) throw new Error(`no heading ${heading}`)
  const section = after.replace(/\n#{2,} (?=[A-Z])[^]*/, '')
  return [...section.matchAll(/^ *```(\w+)\n([^]*?)^ *```$/gm)].map(
    ([, language = '', code = '']) => ({
      language,
      code,
    }),
  )
}
