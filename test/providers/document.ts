/** Runs the commands of a document about a provider: its code blocks, and a directory with our programs. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import { runShell, startShell, type StartedShell } from '../deploy/shells.ts'
import { freePort } from '../support/free-port.ts'
import { programPath } from '../support/programs.ts'

export interface Block {
  readonly language: string
  readonly code: string
}

/** A document in docs/providers. */
export interface ProviderDocument {
  readonly text: string
  /** The code blocks below a heading, up to the next one. */
  blocksUnder(heading: string): readonly Block[]
}

export function readDocument(name: string): ProviderDocument {
  const text = readFileSync(join(import.meta.dirname, '../../docs/providers', name), 'utf8')
  return {
    text,
    blocksUnder: (heading) => {
      const after = text.split(`# ${heading}\n`)[1]
      if (after === undefined) throw new Error(`no heading ${heading}`)
      const section = after.replace(/\n#{2,} (?=[A-Z])[^]*/, '')
      const blocks = section.matchAll(/^ *```(\w+)\n([^]*?)^ *```$/gm)
      return [...blocks].map(([, language = '', code = '']) => ({ language, code }))
    },
  }
}

/** Where the commands of a document run. */
export interface World {
  /** Runs commands with our programs; returns their output, or throws. */
  run(code: string | undefined): Promise<string>
  start(code: string | undefined): StartedShell
  write(name: string, block: Block | undefined): void
  serve(): Promise<void>
}

export interface WorldOptions {
  /** URLs of the document, with those of the test. That of our service is known. */
  readonly addresses: Readonly<Record<string, string>>
  /** Directory of further commands. */
  readonly commands?: string
  /** Further commands: the lines of shell scripts. */
  readonly scripts?: Readonly<Record<string, string>>
  readonly env?: Readonly<Record<string, string>>
}

/** A directory with our programs, in which the addresses of the document are those of the test. */
export function useWorld(options: () => WorldOptions): () => World {
  let world: World | undefined
  let directory: string
  let service: StartedShell | undefined
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'tts-provider-document-'))
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    const { addresses } = options()
    const place = (code: string): string =>
      Object.entries(addresses)
        .reduce((text, [from, to]) => text.replaceAll(from, to), code)
        // Elsewhere it is the audience.
        .replaceAll(/(--url |url: |" )https:\/\/tts\.example\.org/g, `$1${url}`)
    const words = (code = 'false') => ['sh', '-eu', '-c', place(code)]
    const shell = {
      cwd: directory,
      env: environmentIn(directory, port, options()),
      timeoutMs: 60_000,
    }
    world = {
      run: async (code) => {
        const { code: status, out, err } = await runShell(words(code), shell)
        if (status !== 0) throw new Error(`${code}\nended with ${status}:\n${out}\n${err}`)
        return out
      },
      // In place of the shell, so that a kill reaches it.
      start: (code) => startShell(words(`exec ${code}`), shell),
      write: (name, block) => writeFileSync(join(directory, name), place(block?.code ?? '')),
      serve: async () => {
        service = startShell(['tts', 'serve'], { ...shell, timeoutMs: 300_000 })
        const isReady = (): Promise<boolean> =>
          fetch(`${url}/readyz`).then(
            ({ ok }) => ok,
            () => false,
          )
        await expect.poll(isReady).toBe(true)
      },
    }
  })
  afterAll(async () => {
    service?.kill('SIGTERM')
    await service?.ended
    rmSync(directory, { recursive: true, force: true })
  })
  return () => {
    if (world === undefined) throw new Error('not ready yet')
    return world
  }
}

function environmentIn(directory: string, port: number, options: WorldOptions) {
  const own = join(directory, 'commands')
  mkdirSync(own)
  const run = (source: string) => `exec '${process.execPath}' '${programPath(source)}' "$@"`
  const scripts = {
    tts: run('src/cli/main.ts'),
    certcache: run('src/certcache/main.ts'),
    ...options.scripts,
  }
  for (const [name, lines] of Object.entries(scripts))
    writeFileSync(join(own, name), `#!/bin/sh\n${lines}\n`, { mode: 0o755 })
  const directories = [own, options.commands, process.env['PATH']]
  return {
    PATH: directories.filter((path) => path !== undefined).join(':'),
    HOME: directory,
    TTS_DATA_DIR: join(directory, 'data'),
    TTS_LISTEN__PORT: String(port),
    TTS_CA__KEY_KIND: 'ec-p256',
    CERTCACHE_STATE__DIRECTORY: join(directory, 'certcache'),
    NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] ?? '',
    ...options.env,
  }
}
