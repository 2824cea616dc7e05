/** docs/providers/other.md: its commands run in order, its configurations and messages are the real ones. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { configurationSchema } from '../../../src/config/schema.ts'
import { runShell, startShell, type StartedShell } from '../../deploy/shells.ts'
import { browser } from '../../support/device-person.ts'
import { freePort } from '../../support/free-port.ts'
import type { Hydra } from '../../support/hydra.ts'
import { programPath } from '../../support/programs.ts'
import { AUDIENCE } from '../../support/service.ts'
import { type Block, blocksUnder, text } from './document.ts'
import { refusalRows } from './grant-cases.ts'
import { introspect, logIn } from './support.ts'
import { tokenRows } from './token-cases.ts'

export function documentCases(hydra: () => Hydra): void {
  describe('docs/providers/other.md', () => {
    const world = useWorld(hydra)

    test('at Hydra: the client and the consent', async () => {
      const [client, consent] = blocksUnder('At Hydra')
      await world().run(client?.code)
      const { session, ...grants } = JSON.parse(consent?.code ?? '') as {
        readonly session: { readonly access_token: object }
      }
      expect(session.access_token).toEqual(hydra().app.claims)
      hydra().app.consent = { grant_access_token_audience: [] }
      try {
        const { access_token } = await logIn(hydra())
        expect(await introspect(hydra(), access_token)).toMatchObject({ aud: [] })
        hydra().app.consent = grants
        expect(await introspect(hydra(), (await logIn(hydra())).access_token)).toMatchObject({
          aud: [AUDIENCE],
        })
      } finally {
        hydra().app.consent = {}
      }
    })

    test('at the service: the configuration is in order', async () => {
      const [configuration, check] = blocksUnder('At the service')
      world().write('tts.yaml', configuration)
      expect(await world().run(check?.code)).toContain(
        'provider hydra introspection: the provider accepts our client',
      )
      await world().serve()
    })

    test('the first proxy', async () => {
      const [settings, login, refresh] = blocksUnder('The first proxy')
      world().write('certcache.yaml', settings)
      const running = world().start(login?.code)
      const pattern = /^Open in a browser on this machine {3}(\S+)$/m
      await expect.poll(running.out).toMatch(pattern)
      await browser()(pattern.exec(running.out())?.[1] ?? '')
      expect((await running.ended).code).toBe(0)
      expect(await world().run(refresh?.code)).toContain('renewed')
    })

    test.for(['At the service', 'Dex', 'Providers without introspection'])(
      '%s: the configuration has no faults',
      (heading) => {
        const [block] = blocksUnder(heading)
        expect(block?.language).toBe('yaml')
        expect(configurationSchema.safeParse(parse(block?.code ?? '')).error).toBeUndefined()
      },
    )

    test('the messages of refused tokens are those that the service sends', () => {
      const messages = tokenRows
        .map(({ answer }) => answer['detail'])
        .filter((detail) => typeof detail === 'string')
      expect(messages.length).toBeGreaterThan(6)
      expect(messages.filter((message) => !text.includes(message))).toEqual([])
    })

    test('the words of refused grants are those of Hydra', () => {
      const missing = refusalRows.filter(
        ({ check, description }) =>
          !text.split('\n').some((line) => {
            const [, first = '', second = ''] = line.split('|')
            const words = second.trim().replaceAll('`', '')
            const isEqual = description === '' || (words !== '' && description.startsWith(words))
            return first.trim() === `\`${check}\`` && isEqual
          }),
      )
      expect(missing.map(({ name }) => name)).toEqual([])
    })
  })

  describe('docs/providers/other.md, any provider', () => {
    const world = useWorld(hydra)

    test('the settings that tts provider probe prints lead to a proxy', async () => {
      const [look, examine, check, get] = blocksUnder('Any provider')
      const { access_token: code } = await logIn(hydra(), 'jwt')
      world().write('token', { language: 'text', code })
      expect(await world().run(look?.code)).toMatch(/^looks like +: hydra$/m)
      const out = await world().run(examine?.code)
      const printed = out.slice(out.indexOf('providers:'), out.indexOf('\nTo do:'))
      world().write('tts.yaml', { language: 'yaml', code: printed })
      expect(await world().run(check?.code)).toContain('allow rule 0 allows the user')
      await world().serve()
      expect(await world().run(get?.code)).toContain('@hydra/CN=')
    })
  })
}

interface World {
  /** Runs commands with our programs; returns their output, or throws. */
  run(code: string | undefined): Promise<string>
  start(code: string | undefined): StartedShell
  write(name: string, block: Block | undefined): void
  serve(): Promise<void>
}

/** A directory with our programs, in which the addresses of the document are those of the test. */
function useWorld(hydra: () => Hydra): () => World {
  let world: World | undefined
  let directory: string
  let service: StartedShell | undefined
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'tts-hydra-document-'))
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    const place = (code: string): string =>
      code
        .replaceAll(/https:\/\/(hydra|idp)\.example\.org/g, hydra().issuer)
        .replaceAll('http://127.0.0.1:4445', hydra().adminUrl)
        // Elsewhere it is the audience.
        .replaceAll('{ url: https://tts.example.org }', `{ url: ${url} }`)
        .replaceAll('--url https://tts.example.org', `--url ${url}`)
    const words = (code = 'false') => ['sh', '-eu', '-c', place(code)]
    const options = { cwd: directory, env: environmentIn(directory, port), timeoutMs: 60_000 }
    world = {
      run: async (code) => {
        const { code: status, out, err } = await runShell(words(code), options)
        if (status !== 0) throw new Error(`${code}\nended with ${status}:\n${out}\n${err}`)
        return out
      },
      // In place of the shell, so that a kill reaches it.
      start: (code) => startShell(words(`exec ${code}`), options),
      write: (name, block) => writeFileSync(join(directory, name), place(block?.code ?? '')),
      serve: async () => {
        service = startShell(['tts', 'serve'], { ...options, timeoutMs: 300_000 })
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

function environmentIn(directory: string, port: number): Record<string, string> {
  const commands = join(directory, 'commands')
  mkdirSync(commands)
  for (const [name, source] of [
    ['tts', 'src/cli/main.ts'],
    ['certcache', 'src/certcache/main.ts'],
  ] as const)
    writeFileSync(
      join(commands, name),
      `#!/bin/sh\nexec '${process.execPath}' '${programPath(source)}' "$@"\n`,
      { mode: 0o755 },
    )
  // Stands for oidc-agent: prints the token of the test.
  writeFileSync(join(commands, 'oidc-token'), `#!/bin/sh\ncat '${join(directory, 'token')}'\n`, {
    mode: 0o755,
  })
  return {
    PATH: `${commands}:${process.env['PATH']}`,
    HOME: directory,
    TTS_DATA_DIR: join(directory, 'data'),
    TTS_LISTEN__PORT: String(port),
    TTS_CA__KEY_KIND: 'ec-p256',
    CERTCACHE_STATE__DIRECTORY: join(directory, 'certcache'),
    NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] ?? '',
  }
}
