/** Finds the commands of our programs that Markdown shows. */

/** A command line as a document shows it. */
export interface NamedCommand {
  /** Line of the Markdown text, from 1. */
  readonly line: number
  readonly program: string
  /** The words after the program's name. */
  readonly words: readonly string[]
  /** Whether a reader can type it as it is: in a block for the shell, not in a sentence. */
  readonly isComplete: boolean
}

/** A program's name with a word after it; the first group is what comes before it on the line. */
const PROGRAM = /(?<=(^|.*[\s/(`'"=;|&]))(tts|certcache) +(?=["'$<A-Za-z-])/g

/** The end of a text after which a shell reads the name of a program, or npm that of a script. */
const COMMAND_POSITION =
  /(?:^|[|;&(!`]|\b(?:if|then|else|do|until|while|exec|sudo|npm run(?: -s)?))\s*(?:\w+=(?:"[^"]*"|'[^']*'|\$\([^)]*\)|\S*)\s+)*$/

/**
 * Returns the command lines in blocks and in code within sentences. What follows a program's name is one if it begins
 * with a command of the program, or if a shell would run it.
 *
 * @param isCommand whether a program has a command of this name
 */
export function commandsIn(
  markdown: string,
  isCommand: (program: string, name: string) => boolean,
): readonly NamedCommand[] {
  return codeIn(markdown).flatMap(({ line, text, isForShell, isComplete }) =>
    [...text.matchAll(PROGRAM)].flatMap((match) => {
      const [whole, before = '', program = ''] = match
      const words = shellWords(text.slice(match.index + whole.length).replace(/^-- /, ''))
      const [first = ''] = words
      const isRun = isForShell && COMMAND_POSITION.test(before) && !/^[A-Z]+$/.test(first)
      return isRun || isCommand(program, first) ? [{ line, program, words, isComplete }] : []
    }),
  )
}

interface Code {
  readonly line: number
  readonly text: string
  /** Whether it is in a block for the shell, or within a sentence: not a file, and not what a program prints. */
  readonly isForShell: boolean
  readonly isComplete: boolean
}

/** The lines of blocks, joined where one goes on in the next one, and the code within sentences. */
function codeIn(markdown: string): readonly Code[] {
  const found: Code[] = []
  let language: string | undefined
  let begun: Code | undefined
  for (const [index, text] of markdown.split('\n').entries()) {
    const fence = /^\s*(?:```|~~~)(.*)$/.exec(text)
    if (fence) language = language === undefined ? fence[1] : undefined
    else if (language === undefined)
      for (const [, code = ''] of text.matchAll(/`([^`]+)`/g))
        found.push({ line: index + 1, text: code, isForShell: true, isComplete: false })
    else {
      const isForShell = language === 'sh'
      const line: Code = begun ?? {
        line: index + 1,
        text: '',
        isForShell,
        isComplete: isForShell,
      }
      const goesOn = text.endsWith('\\')
      const joined = { ...line, text: line.text + (goesOn ? `${text.slice(0, -1)} ` : text) }
      begun = goesOn ? joined : undefined
      if (!goesOn) found.push(joined)
    }
  }
  return found
}

/**
 * The words of a simple command, up to what ends it. A substitution is one word, and so is `a|b`, which in a document
 * means one or the other.
 */
export function shellWords(text: string): readonly string[] {
  const words: string[] = []
  let word: string | undefined
  let at = 0
  while (at < text.length) {
    const rest = text.slice(at)
    const [piece = ''] =
      /^(?:"(?:[^"\\]|\\.)*"|'[^']*'|[<$]\((?:[^()]|\([^)]*\))*\)|\$\{[^}]*\}|<[A-Z]+>|\\.)/.exec(
        rest,
      ) ?? []
    if (piece !== '') word = (word ?? '') + piece.replace(/^(["'])([^]*)\1$/, '$2')
    else if (/^(?:\|(?!\w)|[;&()<>`])/.test(rest) || (word === undefined && rest.startsWith('#')))
      break
    else if (/^\s/.test(rest)) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else word = (word ?? '') + rest.charAt(0)
    at += piece.length || 1
  }
  // In `2>/dev/null` the number belongs to what ends the command.
  const isDescriptor = /^[12]$/.test(word ?? '') && /^[<>]/.test(text.slice(at))
  return word === undefined || isDescriptor ? words : [...words, word]
}
