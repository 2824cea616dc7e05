/** Runs `tts` with the real environment, and sets the exit code. */
import { readFileSync } from 'node:fs'
import { findPackageJSON } from 'node:module'
import { createProgram, runProgram } from './program.ts'
import type { Terminal } from './terminal.ts'

// Files are private by default; a file that others may read gets its mode explicitly.
process.umask(0o077)

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

const packageFile = findPackageJSON('..', import.meta.url) ?? ''
const { version } = JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string }

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    // In `tts credential list | head` the reader closes the pipe early, which is not an error.
    process.exit(error.code === 'EPIPE' ? 0 : 1)
  })
}
const code = await runProgram(createProgram(terminal, version), process.argv.slice(2), terminal)
process.exitCode = exitCode ?? code
