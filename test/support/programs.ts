/** Our programs as processes of their own: compiled, because Node 20 does not run TypeScript. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '../..')

export interface Programs {
  /** Path of a compiled source, given as it is from the root of the project. */
  path(source: string): string
  remove(): void
}

/** Compiles these sources, with what they import, into a directory beside a link to the packages. */
export function compilePrograms(sources: readonly string[]): Programs {
  const directory = mkdtempSync(join(tmpdir(), 'tts-programs-'))
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'))
  const outDir = join(directory, 'dist')
  const compilerOptions = { noEmit: false, noCheck: true, rootDir: root, outDir }
  // No import names the body of a thread.
  const files = [...sources, 'src/store/sqlite-worker.mjs'].map((source) => join(root, source))
  const config = { extends: join(root, 'tsconfig.json'), compilerOptions, include: [], files }
  writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify(config))
  copyFileSync(join(root, 'package.json'), join(directory, 'package.json'))
  execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', directory], { stdio: 'pipe' })
  return {
    path: (source) => join(outDir, source.replace(/\.ts$/, '.js')),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  }
}

export interface Started {
  readonly child: ChildProcess
  stdout(): string
  stderr(): string
  /** Waits until standard output matches; throws when the program ends before that. */
  says(pattern: RegExp): Promise<RegExpExecArray>
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>
}

export interface StartOptions {
  readonly cwd?: string
  /** Besides PATH; nothing else is handed down. */
  readonly env?: Readonly<Record<string, string>>
}

/** Starts a compiled program. Who starts it sees to its end. */
export function startProgram(
  path: string,
  words: readonly string[],
  { cwd = tmpdir(), env = {} }: StartOptions = {},
): Started {
  const child = spawn(process.execPath, [path, ...words], {
    cwd,
    env: { PATH: process.env['PATH'], HOME: '/nonexistent', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const ended = once(child, 'close').then(
    ([code, signal]) => (code ?? signal) as number | NodeJS.Signals,
  )
  const says = async (pattern: RegExp): Promise<RegExpExecArray> => {
    for (;;) {
      const found = pattern.exec(stdout)
      if (found) return found
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`the program ended before it said ${pattern}:\n${stdout}\n${stderr}`)
      await Promise.race([once(child.stdout, 'data'), ended])
    }
  }
  return { child, stdout: () => stdout, stderr: () => stderr, says, ended }
}

/** Runs a compiled program to its end. */
export async function runToEnd(
  path: string,
  words: readonly string[],
  options?: StartOptions,
): Promise<{ readonly code: number | NodeJS.Signals; readonly out: string; readonly err: string }> {
  const started = startProgram(path, words, options)
  const code = await started.ended
  return { code, out: started.stdout(), err: started.stderr() }
}
