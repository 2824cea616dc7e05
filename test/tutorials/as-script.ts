/** The blocks of a tutorial as one script, for a shell that is not here: in another root directory, for example. */
import { outputDifference } from './expected-output.ts'
import type { TutorialBlock } from './markdown.ts'

const MARK = '@@ block'

/** A script of bash that ends at the first command that fails, and prints where each block begins. */
export function asScript(blocks: readonly TutorialBlock[]): string {
  const parts = blocks.flatMap(({ commands }, index) => [`echo '${MARK} ${index}'`, ...commands])
  return ['set -e', ...parts, `echo '${MARK} ${blocks.length}'`].join('\n')
}

/**
 * Compares what such a script printed with what the tutorial shows. Returns the first difference, with the line of the
 * tutorial; undefined: there is none.
 */
export function scriptProblem(
  blocks: readonly TutorialBlock[],
  printed: string,
): string | undefined {
  const outputs = printed.split(new RegExp(`^${MARK} \\d+\\n`, 'm')).slice(1)
  for (const [index, { line, heading, output }] of blocks.entries()) {
    const found = outputs[index]
    const isComplete = index + 1 < outputs.length
    const problem =
      found === undefined || !isComplete
        ? 'a command failed'
        : output && outputDifference(output, found.trimEnd().split(/\r?\n/))
    if (problem !== undefined) return `line ${line}, "${heading}": ${problem}\n${found ?? printed}`
  }
  return undefined
}
