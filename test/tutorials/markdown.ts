/** Reads the commands of a tutorial and the output that it promises. */

/** A block of commands, and the output that the block after it shows. */
export interface TutorialBlock {
  /** Line of the Markdown file at which the commands begin, from 1. */
  readonly line: number
  /** The heading that the block is under, without its hashes. */
  readonly heading: string
  readonly commands: readonly string[]
  /** Lines with `…` for what varies. Undefined if the tutorial shows no output. */
  readonly output?: readonly string[]
}

/** Languages of blocks that show output, when they come right after commands. */
const OUTPUT_LANGUAGES = new Set(['text', 'json'])

interface Fence {
  readonly language: string
  readonly line: number
  readonly heading: string
  readonly lines: readonly string[]
}

/**
 * Returns the blocks with the language `sh`, in order. A block of output belongs to the block of commands before it,
 * also with text in between, unless another block or a heading comes first.
 */
export function readTutorial(markdown: string): readonly TutorialBlock[] {
  const blocks: TutorialBlock[] = []
  let before: Fence | undefined
  for (const fence of fencesOf(markdown)) {
    const { language, line, heading, lines } = fence
    const last = blocks.at(-1)
    if (language === 'sh') blocks.push({ line, heading, commands: lines })
    else if (
      OUTPUT_LANGUAGES.has(language) &&
      last !== undefined &&
      before?.language === 'sh' &&
      before.heading === heading
    )
      blocks.splice(-1, 1, { ...last, output: lines })
    before = fence
  }
  return blocks
}

/** The fenced blocks of a Markdown text. @throws {Error} if one is not closed, or has no language */
function fencesOf(markdown: string): readonly Fence[] {
  const fences: Fence[] = []
  let heading = ''
  let open: { language: string; line: number; lines: string[] } | undefined
  for (const [index, text] of markdown.split('\n').entries()) {
    const [, language] = /^```(.*)$/.exec(text) ?? []
    if (language === undefined && open !== undefined) open.lines.push(text)
    else if (language !== undefined && open !== undefined) {
      fences.push({ ...open, heading })
      open = undefined
    } else if (language !== undefined) {
      if (language === '') throw new Error(`line ${index + 1}: a block without a language`)
      open = { language, line: index + 2, lines: [] }
    } else heading = /^#+ (.+)$/.exec(text)?.[1] ?? heading
  }
  if (open !== undefined) throw new Error(`line ${open.line - 1}: the block is not closed`)
  return fences
}

/**
 * Replaces the ports that a tutorial sets in lines such as `port=8080` by free ones, in commands and in output. So a
 * tutorial names real ports where readers see them, and two of them can run at the same time.
 */
export async function withFreePorts(
  blocks: readonly TutorialBlock[],
  freePort: () => Promise<number>,
): Promise<readonly TutorialBlock[]> {
  const ports = new Map<string, string>()
  for (const { commands } of blocks)
    for (const command of commands) {
      const [, port] = /^port=(\d+)$/.exec(command) ?? []
      if (port !== undefined && !ports.has(port)) ports.set(port, String(await freePort()))
    }
  const replaced = (lines: readonly string[]): readonly string[] =>
    lines.map((line) => line.replace(/\b\d{4,5}\b/g, (number) => ports.get(number) ?? number))
  return blocks.map(({ commands, output, ...block }) => ({
    ...block,
    commands: replaced(commands),
    ...(output && { output: replaced(output) }),
  }))
}
