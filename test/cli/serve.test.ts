import { execFileSync, spawn } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { programPath, runToEnd, type Started, startProgram } from '../support/programs.ts'
let directory = ''
const path = (name: string): string => join(directory, name)
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-serve-'))
})
const running: Started[] = []
afterEach(async () => {
  for (const { child, ended } of running.splice(0)) {
    child.kill('SIGKILL')
    await ended
  }
})
afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
})

const main = (): string => programPath('src/cli/main.ts')
const environment = (): Record<string, string> => ({
  XDG_DATA_HOME: path('share'),
  TTS_LISTEN__PORT: '0',
})

async function serve(env: Record<string, string> = environment()) {
  const started = startProgram(main(), ['serve'], { cwd: directory, env })
  running.push(started)
  const [, url = ''] = await started.says(/"url":"(http:[^"]+)".*"listening"/)
  return { ...started, url }
}

describe('tts serve', () => {
  test('starts with nothing configured, in private files, and again with the same CA', async () => {
    const first = await serve()
    expect(first.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    expect((await fetch(`${first.url}/healthz`)).status).toBe(200)
    const ready = (await (await fetch(`${first.url}/readyz`)).json()) as object
    expect(ready).toMatchObject({ ready: true, store: 'ok', providers: [] })
    const authority = await (await fetch(`${first.url}/ca/ca.pem`)).text()
    const { publicKey, subject } = new X509Certificate(authority)
    expect(subject.split('\n').at(-1)).toBe('CN=TTS-CA')
    expect(publicKey.asymmetricKeyDetails?.modulusLength).toBe(4096)
    const refused = await fetch(`${first.url}/v1/proxies`, { method: 'POST' })
    expect(refused.status).toBe(401)

    const data = path('share/tts')
    for (const name of readdirSync(data, { recursive: true, encoding: 'utf8' })) {
      const found = statSync(join(data, name))
      const wanted = found.isDirectory()
        ? 0o700
        : ['ca/ca.pem', 'ca/database-id'].includes(name)
          ? 0o644
          : 0o600
      expect({ name, mode: found.mode & 0o777 }).toEqual({ name, mode: wanted })
    }
    expect(statSync(data).mode & 0o777).toBe(0o700)
    expect(readdirSync(data)).toEqual(expect.arrayContaining(['ca', 'master-keys', 'tts.db']))

    first.child.kill('SIGTERM')
    expect(await first.ended).toBe(0)
    expect(first.stdout()).toContain('"stopped"')
    expect(first.stderr()).toBe('')
    for (const line of first.stdout().trimEnd().split('\n'))
      expect(JSON.parse(line)).toMatchObject({ name: 'tts' })

    const second = await serve()
    expect(await (await fetch(`${second.url}/ca/ca.pem`)).text()).toBe(authority)
    second.child.kill('SIGINT')
    expect(await second.ended).toBe(0)
  })

  test('a signal while it starts is heard', async () => {
    const env = { ...environment(), XDG_DATA_HOME: path('early') }
    const started = startProgram(main(), ['serve'], { cwd: directory, env })
    running.push(started)
    // The key of the CA takes a second or more; its passphrase is made before.
    await expect
      .poll(() => existsSync(path('early/tts/ca/passphrase')), { interval: 2, timeout: 15_000 })
      .toBe(true)
    started.child.kill('SIGTERM')
    expect(await started.ended).toBe(0)
    expect(started.stdout()).toContain('"stopped"')
  })

  test.for([
    { env: { TTS_LISTEN__PORT: 'eighty' }, names: 'listen.port: found "eighty"' },
    { env: { TTS_LISTN__PORT: '1' }, names: 'listn: unknown key' },
    { env: { TTS_LISTEN__HOST: '0.0.0.0' }, names: 'listen' },
    { env: { TTS_CONFIG: '/nonexistent/tts.yaml' }, names: '/nonexistent/tts.yaml' },
    { env: { TTS_CA__SUBJECT: 'TTS' }, names: 'ca.subject' },
  ])('$env ends it with 2', async ({ env, names }) => {
    const all = { XDG_DATA_HOME: path('never'), ...(env as Record<string, string>) }
    const { code, out, err } = await runToEnd(main(), ['serve'], { cwd: directory, env: all })
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(err).toMatch(/^tts: /)
    expect(err).toContain(names)
    expect(err).not.toContain('    at ')
    expect(existsSync(path('never'))).toBe(false)
  })

  test('a port that is taken is said', async () => {
    const ca = { TTS_CA__KEY_KIND: 'ec-p256', XDG_DATA_HOME: path('taken') }
    const { url } = await serve({ ...environment(), ...ca })
    const env = { ...ca, TTS_LISTEN__PORT: new URL(url).port }
    const { code, err } = await runToEnd(main(), ['serve'], { cwd: directory, env })
    expect(code).toBe(2)
    expect(err).toContain(
      `cannot listen on 127.0.0.1 port ${env.TTS_LISTEN__PORT}: another program listens there`,
    )
  })
})

describe('tts as a program', () => {
  const sh = (script: string): string =>
    execFileSync('sh', ['-c', script, 'sh', process.execPath, main()], {
      encoding: 'utf8',
      cwd: directory,
      env: { PATH: process.env['PATH'] },
      timeout: 20_000,
    })

  test('a reader that goes away is no error', () => {
    const script = '{ "$1" "$2" --help; echo "code $?" >&2; } 2>err | head -n 1; cat err'
    expect(sh(script)).toBe('Usage: tts [options] [command]\ncode 0\n')
    const both = '{ "$1" "$2" no-such-command; echo "code $?" >code; } 2>&1 | true; cat code'
    expect(sh(both)).toMatch(/^code [02]\n$/)
  })

  test('has the version of its package', async () => {
    const { version } = JSON.parse(
      readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
    ) as { version: string }
    expect(await runToEnd(main(), ['--version'])).toEqual({ code: 0, out: `${version}\n`, err: '' })
  })

  test('its exit code is the one that a command asked for', async () => {
    writeFileSync(path('none'), 'not a directory')
    writeFileSync(path('tts.yaml.none'), 'data_dir: none\n')
    const words = ['--config', path('tts.yaml.none'), 'check']
    const { code, out } = await runToEnd(main(), words, { cwd: directory })
    expect(code).toBe(1)
    expect(out).toContain('FAILED   data directory')
  })
})

describe('signals', () => {
  const start = async (name: string, configuration: string) => {
    writeFileSync(path(`${name}.yaml`), configuration)
    const started = startProgram(main(), ['serve', '--config', path(`${name}.yaml`)], {
      cwd: directory,
    })
    running.push(started)
    const [, url = ''] = await started.says(/"url":"(http:[^"]+)".*"listening"/)
    return { ...started, url }
  }
  const base = 'listen: { port: 0 }\nca: { key_kind: ec-p256 }\n'

  test('SIGHUP reads the configuration again; what cannot be used is logged with its remedy', async () => {
    const { child, url, says, stdout, ended } = await start('hup', `data_dir: hup\n${base}`)
    const ready = async (): Promise<unknown> => (await fetch(`${url}/readyz`)).json()
    writeFileSync(path('hup.yaml'), `data_dir: hup\n${base}lisen: 1\n`)
    child.kill('SIGHUP')
    await says(/"event":"service.reload-failed".*lisen: unknown key/)
    expect(await ready()).toMatchObject({ ready: true })
    writeFileSync(path('hup.yaml'), `data_dir: elsewhere\n${base}`)
    child.kill('SIGHUP')
    await says(/there is no CA in .*elsewhere yet/)
    expect(existsSync(path('elsewhere/ca'))).toBe(false)
    writeFileSync(path('hup.yaml'), `data_dir: hup\n${base}log: { level: debug }\n`)
    child.kill('SIGHUP')
    await says(/"event":"service.reloaded"/)
    expect(await ready()).toMatchObject({ ready: true })
    child.kill('SIGTERM')
    expect(await ended).toBe(0)
    expect(stdout()).toContain('"stopped"')
  })

  test('a reader of the log that stops reading, or goes away, does not stop the service', async () => {
    const limits =
      'requests_per_second_per_address: 1e5, burst_per_address: 1e5, shutdown_seconds: 5'
    const wide = `${base}limits: { ${limits} }\n`
    for (const reader of ['stuck', 'gone']) {
      writeFileSync(path(`${reader}.yaml`), `data_dir: ${reader}\n${wide}`)
      const child = spawn(process.execPath, [main(), 'serve', '-c', path(`${reader}.yaml`)], {
        env: { PATH: process.env['PATH'], HOME: '/nonexistent' },
        stdio: ['ignore', 'pipe', 'ignore'],
      })
      onTestFinished(() => void child.kill('SIGKILL'))
      const ended = once(child, 'exit')
      let text = ''
      while (!text.includes('"listening"')) text += String((await once(child.stdout, 'data'))[0])
      const url = /"url":"(http:[^"]+)"/.exec(text)?.[1] ?? ''
      if (reader === 'stuck') child.stdout.pause()
      else child.stdout.destroy()
      // Each refusal is a line of about 400 bytes; pipe and stream hold less than a thousand of them.
      const refused = Array.from({ length: 20 }, async () => {
        for (let count = 0; count < 100; count += 1)
          expect((await fetch(`${url}/v1/proxies`, { method: 'POST' })).status).toBe(401)
      })
      await Promise.all(refused)
      child.kill('SIGTERM')
      expect(await ended).toEqual([0, null])
    }
  })
})
