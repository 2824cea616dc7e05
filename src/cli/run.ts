/** Runs `tts` with the real environment, and sets the exit code. */
import { readBuildInfo } from '../base/build-info.ts'
import { prepareProcess, runCommandLine } from './command-line.ts'
import { createProgram } from './program.ts'
import type { Terminal } from './terminal.ts'

let exitCode: number | undefined
const terminal: Terminal = {
  environment: process.env,
  uid: process.getuid?.() ?? 0,
  now: () => new Date(),
  out: (result) => void process.stdout.write(result),
  note: (text) => void process.stderr.write(`${text}\n`),
  exitWith: (code) => {
    exitCode = code
  },
}

/** @param words the arguments */
export async function startTts(words: readonly string[]): Promise<void> {
  prepareProcess()
  const program = createProgram(terminal, readBuildInfo())
  const code = await runCommandLine(program, words, (line) => terminal.note(line))
  process.exitCode = exitCode ?? code
}
