/** clients/python against a real service, by the Python and the libraries of Debian. */
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { describeWithTools, runTool } from '../support/grid-tools.ts'
import { AUDIENCE, useTestService } from '../support/service.ts'
import { logIn } from '../api/delegation-support.ts'
import {
  clientDirectory,
  clientService,
  exampleOf,
  untrustedServer,
  verifiedPerson,
} from './support.ts'

const run = promisify(execFile)
/** Debian's, whose libraries are Debian's too; another one may come first in the path. */
const PYTHON = '/usr/bin/python3'
const source = join(clientDirectory('python'), 'src')
const program = join(import.meta.dirname, 'check_client.py')

describeWithTools('the Python client', ['python3-cryptography'], () => {
  const service = useTestService(clientService)

  const tokenOf = (sub: string): string =>
    service().provider.mint({ claims: { sub, groups: ['cms'], aud: AUDIENCE } })

  async function temporary(): Promise<string> {
    const directory = await mkdtemp(join(tmpdir(), 'tts-python-'))
    onTestFinished(() => rm(directory, { recursive: true, force: true }))
    return directory
  }

  /** Runs one function of check_client.py. */
  async function check(
    name: string,
    env: Record<string, string> = {},
  ): Promise<{ readonly result: unknown; readonly directory: string }> {
    const directory = await temporary()
    const { stdout } = await run(PYTHON, ['-B', '-W', 'error', program, name], {
      timeout: 60_000,
      env: { TTS_URL: service().url, TTS_DIRECTORY: directory, PYTHONPATH: source, ...env },
    })
    return { result: JSON.parse(stdout) as unknown, directory }
  }

  test('proxies: RSA and EC keys made here, in private files', async () => {
    const env = { FIRST: tokenOf('python-rsa'), SECOND: tokenOf('python-ec') }
    const { result: seen, directory } = await check('proxies', env)
    const result = seen as Record<string, unknown>
    expect(result).toMatchObject({
      mode: '0o600',
      warning: expect.stringContaining('XRootD') as string,
      files: ['ec', 'rsa'],
    })
    expect(result['seconds']).toBeLessThanOrEqual(3600)
    expect(result['seconds']).toBeGreaterThan(3500)
    expect(result['repr']).not.toContain('PRIVATE')
    const read = (name: string) => readFile(join(directory, name), 'utf8')
    expect(await verifiedPerson(service(), await read('rsa'))).toBe('python-rsa')
    expect(await read('rsa')).toContain('BEGIN RSA PRIVATE KEY')
    expect(await verifiedPerson(service(), await read('ec'))).toBe('python-ec')
  })

  test('a delegation: made, used, shown, listed, revoked', async () => {
    const env = { LOGIN: await logIn(service()) }
    const { result, directory } = await check('delegations', env)
    expect(result).toMatchObject({
      label: 'python',
      events: expect.arrayContaining(['made', 'used']) as string[],
      page: 1,
      listed: true,
      renews_until: true,
      newly_revoked: true,
      after: { error: 'TtsProblem', status: 410, code: 'delegation_ended' },
    })
    const renewed = await readFile(join(directory, 'renewed'), 'utf8')
    expect(await verifiedPerson(service(), renewed)).not.toBe('')
  })

  test('credentials page by page; shown and revoked', async () => {
    const { result } = await check('credentials', { PAGES: tokenOf('python-pages') })
    expect(result).toEqual({ in_order: true, shown: null, newly_revoked: true, left: 0 })
  })

  test('a real limit: 429, and the next attempt after Retry-After', async () => {
    const { result } = await check('limit', { LIMITED: tokenOf('python-limit') })
    expect(result).toEqual([1])
  })

  test('what is tried again, and when: as the TypeScript client does', async () => {
    expect((await check('table')).result).toEqual({
      '429': [7, 7],
      '503': [1.5, 3],
      '503, at once': [1.5, 3],
      '408': [1.5, 3],
      'gateway 502': [1.5, 3],
      'gateway 504, not repeatable': [],
      'no answer': [1.5, 3],
      'no answer, not repeatable': [],
      '401': [],
      '409': [],
      '500': [],
      '502 of a plugin': [],
      'past the deadline': [],
      'another error': [],
    })
  })

  test('errors, and answers of other programs', async () => {
    const wrong = service().token('alice', { aud: 'https://other.example.org' })
    const env = {
      FIRST: tokenOf('python-errors'),
      WRONG_AUDIENCE: wrong,
      BOB: service().token('bob'),
      UNTRUSTED: (await untrustedServer()).url,
    }
    const result = (await check('errors', env)).result as Record<string, Record<string, unknown>>
    expect(result['audience']).toMatchObject({
      status: 401,
      code: 'invalid_token',
      check: 'audience',
      accepted_audiences: [AUDIENCE],
      retry_after_seconds: null,
    })
    expect(JSON.stringify(result)).not.toContain(wrong)
    // Of tokens, secrets and passwords.
    expect(JSON.stringify(result)).not.toMatch(/hidden/)
    expect(result['untrusted']?.['text']).toMatch(
      /is not trusted \(self-signed certificate\); ca_file/,
    )
    expect(result['parameter']).toMatchObject({ code: 'invalid_request', check: 'parameters' })
    expect(result['path']).toMatchObject({ code: 'not_found' })
    expect(result['rules']).toMatchObject({ code: 'access_denied' })
    const kinds = Object.entries(result).map(([name, { error }]) => [name, error])
    expect(Object.fromEntries(kinds.slice(4))).toEqual({
      http: 'TtsClientError',
      'loopback in front': 'TtsClientError',
      'no token': 'TtsClientError',
      redirect: 'TtsForeignAnswer',
      'login page': 'TtsForeignAnswer',
      gateway: 'TtsForeignAnswer',
      'foreign problem': 'TtsForeignAnswer',
      'too long': 'TtsClientError',
      'no HTTP': 'TtsUnreachable',
      'no list': 'TtsForeignAnswer',
      nested: 'TtsForeignAnswer',
      'odd problem': 'TtsProblem',
      cut: 'TtsUnreachable',
      'cut refusal': 'TtsUnreachable',
      'cut chunk': 'TtsUnreachable',
      'slow head': 'TtsUnreachable',
      'slow body': 'TtsUnreachable',
      'slow refusal': 'TtsUnreachable',
      'slow end': 'TtsUnreachable',
      'line break': 'TtsClientError',
      'no ASCII': 'TtsClientError',
      'bad secret': 'TtsClientError',
      'empty secret': 'TtsClientError',
      dots: 'TtsClientError',
      password: 'TtsClientError',
      port: 'TtsClientError',
      'no host': 'TtsClientError',
      'half an address': 'TtsClientError',
      query: 'TtsClientError',
      untrusted: 'TtsClientError',
      slow: 'TtsUnreachable',
      nobody: 'TtsUnreachable',
    })
  })

  test('lists without pages end; a long page is read', async () => {
    expect((await check('pages')).result).toEqual([[1], [2], 1])
  })

  test('line ends of a gateway', async () => {
    expect((await check('line_ends')).result).toEqual([
      '-----BEGIN CERTIFICATE-----',
      '-----END CERTIFICATE-----',
      '-----BEGIN PRIVATE KEY-----',
      '-----END PRIVATE KEY-----',
      '-----BEGIN CERTIFICATE-----',
      '-----END CERTIFICATE-----',
    ])
  })

  test('a token for this machine does not go through a proxy', async () => {
    const env = { http_proxy: 'http://127.0.0.1:1', PAGES: tokenOf('python-proxied') }
    expect((await check('credentials', env)).result).toMatchObject({ in_order: true })
  })

  test('the example of the README', async () => {
    const directory = await temporary()
    const proxy = join(directory, 'proxy')
    await writeFile(join(directory, 'example.py'), exampleOf('python', 'python'))
    const { stdout, stderr } = await run(PYTHON, ['-B', 'example.py'], {
      cwd: directory,
      timeout: 60_000,
      env: {
        PYTHONPATH: source,
        TTS_URL: service().url,
        BEARER_TOKEN: tokenOf('python-example'),
        X509_USER_PROXY: proxy,
      },
    })
    expect({ stdout, stderr }).toEqual({
      stdout: expect.stringMatching(/^valid until 20\S+\n$/) as string,
      stderr: '',
    })
    expect(await verifiedPerson(service(), await readFile(proxy, 'utf8'))).toBe('python-example')
    expect((await stat(proxy)).mode & 0o777).toBe(0o600)
  })
})

describeWithTools('the Python package', ['python3-cryptography', 'mypy'], () => {
  test('its types, and what the tests do with them: mypy --strict', async () => {
    const cache = await mkdtemp(join(tmpdir(), 'tts-mypy-'))
    onTestFinished(() => rm(cache, { recursive: true, force: true }))
    const words = ['--strict', '--cache-dir', cache, '--python-executable', PYTHON]
    const env = { MYPYPATH: source }
    const both = await runTool('/usr/bin/mypy', [...words, program], env)
    const own = await runTool('/usr/bin/mypy', [...words, '-p', 'tts_client'], env)
    expect(own.output).toMatch(/^Success: no issues found in 9 source files/)
    expect(both.output).toMatch(/^Success: no issues found/)
  }, 120_000)
})

const builders = ['python3-pip', 'python3-hatchling'] as const

describeWithTools('the wheel', builders, () => {
  test('has the package with its marker of types, and nothing else', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'tts-wheel-'))
    onTestFinished(() => rm(directory, { recursive: true, force: true }))
    await run('cp', ['-r', clientDirectory('python'), join(directory, 'python')])
    const options = ['--no-build-isolation', '--no-deps', '--no-index', '-q', '-w', directory]
    const words = ['-m', 'pip', '--disable-pip-version-check', 'wheel', ...options, '.']
    await run(PYTHON, words, { cwd: join(directory, 'python'), timeout: 60_000 })
    const [wheel = ''] = (await readdir(directory)).filter((name) => name.endsWith('.whl'))
    expect(wheel).toBe('tts_client-0.1.0-py3-none-any.whl')
    const list = 'import sys, zipfile; print("\\n".join(zipfile.ZipFile(sys.argv[1]).namelist()))'
    const { stdout } = await run(PYTHON, ['-c', list, join(directory, wheel)])
    const files = stdout.trim().split('\n')
    expect(files.filter((name) => name.startsWith('tts_client/')).toSorted()).toEqual([
      'tts_client/__init__.py',
      'tts_client/api_types.py',
      'tts_client/attempt.py',
      'tts_client/client.py',
      'tts_client/connection.py',
      'tts_client/errors.py',
      'tts_client/files.py',
      'tts_client/keys.py',
      'tts_client/py.typed',
      'tts_client/retry.py',
    ])
    expect(files.every((name) => /^tts_client(-0\.1\.0\.dist-info)?\//.test(name))).toBe(true)
  })
})
