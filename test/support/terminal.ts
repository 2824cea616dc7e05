/** The command line in this process: a terminal that keeps what it is told, and one run of `tts` on it. */
import { runCommandLine } from '../../src/cli/command-line.ts'
import { createProgram } from '../../src/cli/program.ts'
import type { Terminal } from '../../src/cli/terminal.ts'
import { trustGroup } from '../../src/files/trusted-group.ts'
import { misspeltKeysIn } from './spelling.ts'

export interface TtsRunOptions {
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** Numeric id of the user; ours when left out. */
  readonly uid?: number
  readonly now?: () => Date
  /** Stands for `/tmp` where tokens are looked for. */
  readonly temporaryDirectory?: string
}

/** What one run of `tts` did. */
export interface TtsRun {
  readonly code: number
  readonly out: string
  readonly bytes: Buffer
  readonly notes: string
}

/** Runs `tts` with these words as src/cli/main.ts does, with nothing of this process's environment. */
export async function runTts(
  words: readonly string[],
  { environment = {}, uid, now, ...runtime }: TtsRunOptions = {},
): Promise<TtsRun> {
  const results: Buffer[] = []
  let notes = ''
  let exitCode: number | undefined
  const terminal: Terminal & { readonly temporaryDirectory?: string } = {
    environment,
    uid: uid ?? process.getuid?.() ?? 0,
    now: now ?? (() => new Date()),
    out: (result) => void results.push(Buffer.from(result)),
    note: (text) => {
      notes += `${text}\n`
    },
    exitWith: (code) => {
      exitCode = code
    },
    ...runtime,
  }
  const code = await runCommandLine(
    createProgram(terminal, { version: '0.0.0-test' }),
    words,
    terminal.note,
  )
  // A command ends with its process; here the next one, or the next test file, must not trust its group.
  trustGroup(undefined)
  const bytes = Buffer.concat(results)
  if (words.includes('--json')) {
    const misspelt = misspeltKeysIn(bytes.toString())
    if (misspelt.length > 0)
      throw new Error(`keys that are not in snake_case: ${misspelt.join(', ')}`)
  }
  return { code: exitCode ?? code, out: bytes.toString(), bytes, notes }
}
