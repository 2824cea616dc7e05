/** The operator's tutorial for tests that install the programs in another way than it does by itself. */
import { readFileSync } from 'node:fs'
import { programPath } from '../support/programs.ts'
import { readTutorial, type TutorialBlock } from './markdown.ts'

const text = readFileSync(programPath('docs/tutorials/operator.md'), 'utf8')

/** The command that installs a package, by the beginning of its first word and what it must name. */
export function installCommand(pattern: RegExp): string {
  const commands = [...text.matchAll(/^\|[^|]+\| `([^`]+)` +\|$/gm)].map(([, one = '']) => one)
  const found = commands.find((command) => pattern.test(command))
  if (found === undefined) throw new Error(`no command of the tutorial is like ${pattern}`)
  return found
}

/** What follows after the installation. */
export function blocksAfterInstallation(): readonly TutorialBlock[] {
  const blocks = readTutorial(text)
  const first = blocks.findIndex(({ heading }) => heading.startsWith('2.'))
  const rest = blocks.slice(first)
  if (first < 1 || rest.length < 10) throw new Error('the tutorial has another form')
  return rest
}
