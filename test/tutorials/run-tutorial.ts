/** Runs a tutorial from beginning to end, as a reader does who copies each block into a terminal. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { freePort } from '../support/free-port.ts'
import { outputDifference } from './expected-output.ts'
import { readTutorial, type TutorialBlock, withFreePorts } from './markdown.ts'
import { type ShellSession, startShell } from './shell-session.ts'

const root = resolve(import.meta.dirname, '../..')

/** The block that builds the programs. The tests build them once for all tutorials. */
const BUILD = 'npm ci && npm run -s build'

/** What a person does between two blocks. */
export type PersonAct = (session: ShellSession) => Promise<void>

export interface TutorialOptions {
  /** Directory with the built programs. */
  readonly built: string
  /** By heading: what happens before the first block under that heading. */
  readonly acts?: Readonly<Record<string, PersonAct>>
  /** How long programs may take to end after the last block. Default 5 seconds. */
  readonly graceMs?: number
}

/**
 * Runs a Markdown file. @throws {Error} with the line of the file, the command and its output: if a command fails, if
 * the output is not what the tutorial shows, or if something still runs afterwards
 */
export async function runTutorial(
  path: string,
  { built, acts = {}, graceMs = 5000 }: TutorialOptions,
): Promise<void> {
  const blocks = await withFreePorts(readTutorial(readFileSync(path, 'utf8')), freePort)
  const [first, ...others] = blocks
  if (first?.commands.join('\n') !== BUILD) throw new Error(`the first block is not \`${BUILD}\``)
  const directory = mkdtempSync(join(tmpdir(), 'tts-tutorial-'))
  const session = startShell({ directory, cwd: checkout(directory, built) })
  const todo = new Map(Object.entries(acts))
  try {
    for (const block of others) {
      await todo.get(block.heading)?.(session)
      todo.delete(block.heading)
      await runBlock(session, block)
    }
    const missing = [...todo.keys()].join(', ')
    if (missing !== '') throw new Error(`no block is under the heading ${missing}`)
    const leftovers = await session.leftovers(graceMs)
    if (leftovers.length > 0) throw new Error(`still running: ${leftovers.join('; ')}`)
  } finally {
    await session.kill()
    rmSync(directory, { recursive: true, force: true })
  }
}

/** A directory like a checkout in which the programs are built. */
function checkout(directory: string, built: string): string {
  const path = join(directory, 'checkout')
  mkdirSync(path)
  for (const name of ['demo', 'deploy', 'node_modules'])
    symlinkSync(join(root, name), join(path, name))
  symlinkSync(built, join(path, 'dist'))
  return path
}

async function runBlock(session: ShellSession, block: TutorialBlock): Promise<void> {
  const { exitCode, failedLine, output } = await session.run(block.commands).catch((error) => {
    throw new Error(`line ${block.line}, "${block.heading}": ${String(error)}`, { cause: error })
  })
  const problem =
    exitCode === 0
      ? outputProblem(block, output)
      : `the command at line ${block.line + Math.max(failedLine - 1, 0)} ended with exit code ${exitCode}`
  if (problem === undefined) return
  const commands = block.commands.join('\n')
  throw new Error(
    `line ${block.line}, "${block.heading}": ${problem}\n${commands}\n--- printed:\n${output}`,
  )
}

function outputProblem(block: TutorialBlock, output: string): string | undefined {
  if (block.output === undefined) return undefined
  // A terminal does not show the carriage return at the end of a line, such as those of HTTP headers.
  return outputDifference(block.output, output.trimEnd().split(/\r?\n/))
}
