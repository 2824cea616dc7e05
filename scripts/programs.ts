/** The command trees of both programs, for those who describe them: man pages, completions, tests of documents. */
import type { Command } from 'commander'
import { createCertcacheProgram } from '../src/certcache/cli/program.ts'
import type { CliRuntime } from '../src/certcache/cli/runtime.ts'
import { createProgram } from '../src/cli/program.ts'

export type ProgramName = 'tts' | 'certcache'

const notRun = (): never => {
  throw new Error('a command that is only described cannot be run')
}

/**
 * Creates the trees. Nothing can be run in them.
 *
 * @param out gets what a command prints as its help
 */
export function describedPrograms(
  version: string,
  out: (text: string) => void = notRun,
): Readonly<Record<ProgramName, Command>> {
  const runtime: CliRuntime = {
    environment: {},
    uid: 0,
    now: () => new Date(),
    out: (result) => out(result.toString()),
    note: notRun,
    exitWith: notRun,
    clock: { now: () => new Date(), sleep: notRun },
    random: notRun,
    currentDirectory: '/',
    openEngine: notRun,
    openState: notRun,
    grantClient: notRun,
    startCodeLogin: notRun,
    onStop: notRun,
    onReload: notRun,
    endNow: notRun,
  }
  return {
    tts: createProgram(runtime, { version }),
    certcache: createCertcacheProgram(runtime, { version }),
  }
}
