/** What an executable does to its caller, one program for each way to misbehave; and that nobody else pays for it. */
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { runProcess } from '../../plugins/executable/process.ts'
import { runPlugin } from '../../plugins/executable/runner.ts'
import { executableSettings } from '../../plugins/executable/settings.ts'
import { startProblem } from '../../plugins/executable/start-problem.ts'
import { openStreams } from '../../plugins/executable/streams.ts'
import {
  caller,
  firstValue,
  fixture,
  isGone,
  keptLog,
  makePlugin,
  refusalOf,
  soon,
  startPlugin,
  useDirectory,
  valueOf,
} from './support.ts'

const directory = useDirectory()
const hadError = 'the plugin had an error, please contact the administrator'
const badResult = 'the plugin returned a bad result, please contact the administrator'
const timedOut = 'the plugin timed out, please inform the administrator'

/** Directories of runs that are still there. */
const left = (): string[] => readdirSync(directory).filter((name) => name.startsWith('tts-plugin-'))

describe('what costs the caller an error', () => {
  test.for([
    {
      name: 'crashes.py',
      message: hadError,
      cause: /printed nothing \(exit code 1; .*RuntimeError: the database is +\[2J +gone/,
    },
    { name: 'prints-half.py', message: hadError, cause: /is not one JSON object \(exit code 0\)/ },
    { name: 'two-objects.sh', message: hadError, cause: /is not one JSON object/ },
    { name: 'chatter.sh', message: hadError, cause: /is not one JSON object/ },
    { name: 'array.sh', message: hadError, cause: /is JSON but not an object/ },
    { name: 'latin1.py', message: hadError, cause: /is not UTF-8/ },
    { name: 'silent.sh', message: hadError, cause: /printed nothing \(exit code 0\)/ },
    { name: 'killed.sh', message: hadError, cause: /printed nothing \(killed by SIGSEGV/ },
    { name: 'no-result.sh', message: hadError, cause: /no `result`/ },
    { name: 'wrong-result.sh', message: badResult, cause: /`result` must be ok/ },
    { name: 'no-state.sh', message: badResult, cause: /`state`/ },
    { name: 'nul-state.py', message: badResult, cause: /`state`: must be text/ },
    { name: 'error-without-words.sh', message: badResult, cause: /`user_msg`/ },
    { name: 'floods-stdout.py', message: hadError, cause: /wrote more than 65536 bytes/ },
    { name: 'floods-stderr.py', message: hadError, cause: /wrote more than 65536 bytes/ },
  ])('$name', async ({ name, message, cause }) => {
    const { plugin, lines } = await startPlugin(directory, name, { maximum_output_bytes: 65_536 })
    expect(plugin.status.state).toBe('ready')
    const refusal = await refusalOf(plugin.request(caller, {}, soon()))
    expect(refusal).toEqual({ code: 'failed', message, cause: expect.stringMatching(cause) })
    expect(left()).toEqual([])
    // The log says how it ended; control characters do not reach it.
    const run = lines.findLast(({ event }) => event === 'plugin.run')
    expect(run).toMatchObject({ plugin: name, action: 'request' })
    expect(JSON.stringify(lines)).not.toMatch(/\\u00(0[0-9a-f]|1[0-9a-f]|7f)/)
    expect(JSON.stringify(run).length).toBeLessThan(8600)
  })

  test.for([
    { name: 'hangs.sh', seconds: 0.3 },
    { name: 'reads-nothing-hangs.sh', seconds: 0.3 },
    { name: 'ignores-sigterm.sh', seconds: 1 },
  ])('$name is ended at its deadline', async ({ name, seconds }) => {
    const log = keptLog()
    const settings = executableSettings.parse({
      allow_root: true,
      command: [fixture(name)],
      working_directory: directory,
      timeout_seconds: seconds,
    })
    const input = 'x'.repeat(300_000)
    const run = { action: 'request', input, by: 'stdin', secrets: [], signal: soon() } as const
    const refusal = await refusalOf(runPlugin({ id: name, settings, log }, run))
    expect(refusal).toMatchObject({ code: 'timeout', message: timedOut })
    expect(log.lines).toEqual([
      expect.objectContaining({ event: 'plugin.run', stopped: 'timeout', level: 'warn' }),
    ])
    expect(left()).toEqual([])
  })

  test('one that ignores SIGTERM is gone all the same', async () => {
    const pid = Number(readFileSync(join(directory, 'ignores-sigterm.pid'), 'utf8'))
    expect(pid).toBeGreaterThan(1)
    expect(await isGone(pid)).toBe(true)
  })
})

describe('what is an answer all the same', () => {
  test.for([
    { name: 'good-json-bad-exit.sh', fields: { exit_code: 3, level: 'warn' } },
    { name: 'deep.py', fields: { exit_code: 0, level: 'info' } },
    { name: 'never-reads.py', fields: { exit_code: 0 } },
    { name: 'closes-stdin.py', fields: { exit_code: 0 } },
    {
      name: 'names-of-streams.sh',
      fields: { stderr: expect.stringMatching(/^the request has \d+ characters$/) },
    },
  ])('$name', async ({ name, fields }) => {
    const { plugin, lines } = await startPlugin(directory, name)
    // As much as no pipe holds, and little.
    for (const much of ['x'.repeat(300_000), 'x'])
      expect(valueOf(await plugin.request(caller, { much }, soon()))).toBe('the value')
    expect(lines.at(-1)).toMatchObject({ event: 'plugin.run', ...fields })
    expect(left()).toEqual([])
  })

  test('one that prints before it reads', async () => {
    const { plugin } = await startPlugin(directory, 'prints-first.py')
    const params = { much: 'x'.repeat(300_000) }
    expect(valueOf(await plugin.request(caller, params, soon()))).toBe('y'.repeat(200_000))
  })

  test.for([{ name: 'leaves-grandchild.py' }, { name: 'stays-behind.sh' }])(
    '$name: what it left behind is ended',
    async ({ name }) => {
      const { plugin, lines } = await startPlugin(directory, name)
      const pid = Number(await firstValue(plugin))
      expect(pid).toBeGreaterThan(1)
      expect(await isGone(pid)).toBe(true)
      const held = name === 'leaves-grandchild.py'
      expect(lines.at(-1)?.['left_children']).toBe(held ? true : undefined)
    },
  )

  test('a grandchild that left the group and holds the output is not waited for', async () => {
    const { plugin } = await startPlugin(directory, 'escapes.py')
    const pid = Number(await firstValue(plugin))
    process.kill(pid, 'SIGKILL')
  })

  test('text of any kind', async () => {
    const { plugin } = await startPlugin(directory, 'unicode.py')
    expect(await plugin.request(caller, {}, soon())).toEqual({
      kind: 'credential',
      entries: [{ name: 'Größe', type: 'text', value: '☃ \u{1d11e} \0 😀' }],
      notAfter: undefined,
      warnings: [],
      state: 'Zoë',
    })
  })

  test('entries: what is not known is left out, and the rest stays', async () => {
    const { plugin, lines } = await startPlugin(directory, 'entries.py')
    expect(await plugin.request(caller, {}, soon())).toEqual({
      kind: 'credential',
      entries: [
        { name: 'Text', type: 'text', value: 'one', rows: 2, cols: 30 },
        { name: 'File', type: 'textfile', value: 'a\nb\n3', saveAs: 'file.pem' },
        { name: 'Escape', type: 'textfile', value: 'x' },
        { name: 'Number', type: 'text', value: '42' },
        { name: 'Texts', type: 'text', value: '["no","file"]' },
      ],
      notAfter: undefined,
      warnings: ["4 of the plugin's entries could not be read, contact the administrator"],
      state: 'state-1',
    })
    expect(lines.at(-1)).toMatchObject({ event: 'plugin.entries_left_out', count: 4 })
    const { plugin: deep } = await startPlugin(directory, 'deep-value.py')
    expect(await deep.request(caller, {}, soon())).toMatchObject({ entries: [] })
  })

  test('a refusal, in the words of the plugin, as one line', async () => {
    const { plugin, lines } = await startPlugin(directory, 'refuses.py')
    const refusal = await refusalOf(plugin.request(caller, {}, soon()))
    expect(refusal).toMatchObject({
      code: 'refused',
      message: 'you have no account here, nobody',
      cause: 'the plugin says: no such user',
    })
    expect(lines.at(-1)).toMatchObject({ event: 'plugin.refused', level: 'info' })
    expect((await refusalOf(plugin.revoke(caller, 'state', soon()))).code).toBe('refused')
  })

  test('not yet ready: it says so, and when to try again', async () => {
    const { plugin } = makePlugin(directory, 'refuses.py')
    const starting = {
      code: 'overloaded',
      message: 'the plugin is starting, please try again later',
      retryAfterSeconds: 5,
    }
    await expect(plugin.revoke(caller, 'state', soon())).rejects.toMatchObject(starting)
    await expect(plugin.request(caller, {}, soon())).rejects.toMatchObject(starting)
  })

  test('the wanted for another login, after which it goes on', async () => {
    const { plugin } = await startPlugin(directory, 'wants-login.py')
    const login = { kind: 'login', provider: 'egi', message: 'log in there too' }
    expect(await plugin.request(caller, {}, soon())).toEqual(login)
    const another = { ...caller, providerId: 'egi', sub: 'zoe@egi' }
    const additionalLogins = [another]
    expect(await firstValue(plugin, { ...caller, additionalLogins })).toBe('zoe@egi')
    // Only requests may end in a login.
    expect((await refusalOf(plugin.revoke(caller, 's', soon()))).code).toBe('failed')
  })
})

describe('what a program sees', () => {
  test('an empty directory of its own, removed after it', async () => {
    const { plugin } = await startPlugin(directory, 'writes-files.py')
    const seen = JSON.parse(await firstValue(plugin)) as { directory: string }
    expect(seen).toEqual({ directory: expect.stringContaining(directory), found: [], mode: 0o700 })
    const other = JSON.parse(await firstValue(plugin)) as { directory: string }
    expect(other.directory).not.toBe(seen.directory)
    expect(left()).toEqual([])
  })

  test('nothing of our environment', async () => {
    process.env['TTS_TEST_SECRET'] = 'to be seen by nobody'
    const { plugin } = await startPlugin(directory, 'snoops.py', { environment: { REGION: 'eu' } })
    const seen = JSON.parse(await firstValue(plugin)) as Record<string, unknown>
    delete process.env['TTS_TEST_SECRET']
    const { environment, descriptors, ...rest } = seen as {
      environment: Record<string, string>
      descriptors: number[]
    }
    const { HOME, TMPDIR, LC_CTYPE: _byPython, TTS_RUN_ID: run, ...fixed } = environment
    expect(run).toMatch(/^[0-9a-f-]{36}$/)
    expect(fixed).toEqual({
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      LANG: 'C.UTF-8',
      REGION: 'eu',
    })
    expect([HOME, TMPDIR]).toEqual([expect.stringContaining(directory), HOME])
    expect(rest).toEqual({
      arguments: `python3\0${fixture('snoops.py')}\0`,
      kinds: ['file', 'fifo', 'fifo'],
      group: true,
      session: true,
    })
    // 3 is that by which it looks. Whatever this process itself was handed without close-on-exec stays as it was.
    const handedDown = readdirSync('/proc/self/fd').map(Number)
    const opened = descriptors.filter((each) => each > 3 && !handedDown.includes(each))
    expect(opened).toEqual([])
  })

  test('an access token only on standard input, and only where it is passed on', async () => {
    const accessToken = randomBytes(24).toString('base64url')
    const who = { ...caller, accessToken }
    const passing = { pass_access_token: true }
    const { plugin, lines } = await startPlugin(directory, 'shows-cmdlines.py', passing)
    expect(JSON.parse(await firstValue(plugin, who))).toEqual({ length: 32, found: [] })
    expect(JSON.stringify(lines)).not.toContain(accessToken)
    const { plugin: without } = await startPlugin(directory, 'echoes.py')
    expect(await firstValue(without, who)).not.toContain(accessToken)
  })

  test('what it writes of its input to standard error stays out of the log', async () => {
    const accessToken = randomBytes(24).toString('base64url')
    const passing = { pass_access_token: true }
    const { plugin, lines } = await startPlugin(directory, 'leaks.py', passing)
    await plugin.request({ ...caller, accessToken }, {}, soon())
    const { stderr } = lines.at(-1) as unknown as { stderr: string }
    expect(stderr).toMatch(/^\[…\] padding .* \[hidden\]$/)
    expect(JSON.stringify(lines)).not.toContain(accessToken)
    const { plugin: refusing, lines: said } = await startPlugin(directory, 'refuses.py', passing)
    const refusal = await refusalOf(refusing.request({ ...caller, accessToken }, {}, soon()))
    expect(refusal.message).toBe('you have no account here, [hidden]')
    expect(JSON.stringify(said)).not.toContain(accessToken)
  })
})

test('where there is no memory for a file, the input comes by a socket', async () => {
  const place = mkdtempSync(join(directory, 'socket-'))
  const input = 'x'.repeat(300_000)
  const limits = {
    timeoutMs: 20_000,
    maximumOutputBytes: 1_000_000,
    keptErrorBytes: 10,
    graceMs: 100,
    drainMs: 100,
  }
  const run = async (file: string) => {
    const streams = await openStreams(place, input, { memoryDirectory: '/no/such/directory' })
    const start = { file, args: [], cwd: place, env: {}, streams, input, signal: soon() }
    return runProcess(start, limits)
  }
  expect((await run('/bin/cat')).stdout.toString()).toBe(input)
  // Nobody reads: that is in order too.
  expect(await run('/bin/true')).toMatchObject({ exitCode: 0, stopped: undefined })
})

test('nothing stays open or lies about', async () => {
  const { plugin } = await startPlugin(directory, 'never-reads.py')
  const { plugin: missing } = await startPlugin(directory, 'missing')
  const open = (): number => readdirSync('/proc/self/fd').length
  const inMemory = (): string[] =>
    readdirSync('/dev/shm').filter((name) => name.startsWith('tts-plugin-'))
  const before = open()
  for (let time = 0; time < 5; time += 1) {
    await plugin.request(caller, {}, soon())
    await missing.start(soon())
  }
  expect(open()).toBeLessThanOrEqual(before)
  expect([...inMemory(), ...left()]).toEqual([])
})

describe('a program that cannot be run is disabled, with the remedy', () => {
  test.for([
    { name: 'missing', reason: /the program \S+\/missing does not exist$/, remedy: /command/ },
    { name: '', reason: /the program .* does not exist/, remedy: /command/ },
    { name: 'no-interpreter', reason: /names its interpreter/, remedy: /#!/ },
    {
      name: 'missing-interpreter',
      reason: /interpreter \/opt\/no\/such\/interpreter .* missing/,
      remedy: /Install/,
    },
    {
      name: 'parameter-errs.sh',
      reason: /the plugin says: the key of the CA is missing/,
      shown: 'the plugin says: sorry',
      remedy: /tts plugin test/,
    },
    {
      name: 'stderr-at-start.sh',
      reason: /it printed nothing \(exit code 3; .*SECRET-ON-STDERR/,
      shown: 'it printed nothing',
      remedy: /tts plugin test/,
    },
    {
      name: 'argument-only.sh',
      reason: /from its argument, which other users/,
      remedy: /allow_insecure_plugins/,
    },
  ])('$name', async ({ name, reason, remedy, ...more }) => {
    const { plugin, lines } = await startPlugin(directory, name)
    expect(plugin.status).toEqual({
      ...more,
      state: 'disabled',
      reason: expect.stringMatching(reason),
      remedy: expect.stringMatching(remedy),
    })
    expect(lines.at(-1)).toMatchObject({ level: 'error', event: 'plugin.disabled' })
    const refusal = await refusalOf(plugin.request(caller, {}, soon()))
    expect(refusal).toMatchObject({ code: 'failed', message: hadError })
    expect((await refusalOf((async () => plugin.checkParameters({}))())).code).toBe(
      'invalid_parameters',
    )
  })

  test('not executable; and fixed without a restart', async () => {
    const path = join(directory, 'silent.sh')
    copyFileSync(fixture('echoes.py'), path)
    copyFileSync(fixture('plugin.py'), join(directory, 'plugin.py'))
    chmodSync(path, 0o644)
    const { plugin } = await startPlugin(directory, '', { command: [path] })
    expect(plugin.status).toMatchObject({
      reason: `${path} is not executable`,
      remedy: expect.stringMatching(/chmod/),
    })
    chmodSync(path, 0o755)
    expect(await plugin.start(soon())).toMatchObject({ state: 'ready', version: 'fixture' })
  })

  test.for([
    { name: 'missing', reason: 'it does not exist' },
    { name: 'file', reason: 'a part of the path is not a directory' },
  ])('no directory for its runs: $name', async ({ name, reason }) => {
    writeFileSync(join(directory, 'file'), '')
    const parent = join(directory, name)
    const { plugin } = await startPlugin(directory, 'echoes.py', { working_directory: parent })
    expect(plugin.status).toMatchObject({
      state: 'disabled',
      reason: `no directory for the run can be made in ${parent}: ${reason}`,
      remedy: expect.stringMatching(/^Set working_directory to .*\.$/),
    })
  })

  test.for([
    { error: { code: 'EACCES' }, reason: 'permission denied', remedy: /noexec/ },
    { error: { code: 'EAGAIN' }, reason: 'the limit of processes is reached', remedy: /TasksMax/ },
    {
      error: { code: 'E2BIG' },
      reason: 'the request is too long for an argument',
      remedy: /stdin/,
    },
    { error: { code: 'EPROTO' }, reason: 'system error EPROTO', remedy: /working_directory/ },
    // A failed child process has its exit code here.
    { error: { code: 1 }, reason: 'unknown error', remedy: /working_directory/ },
    { error: new Error('secret'), reason: 'unknown error', remedy: /working_directory/ },
  ])('cannot be started: $reason', ({ error, reason, remedy }) => {
    const problem = startProblem(error)
    expect(problem.message).toBe(`it cannot be started: ${reason}`)
    expect(problem.remedy).toMatch(remedy)
  })

  test('an access token is never passed by argument', async () => {
    const given = { pass_access_token: true, allow_insecure_plugins: true }
    const { plugin } = await startPlugin(directory, 'argument-only.sh', given)
    expect(plugin.status).toMatchObject({
      state: 'disabled',
      reason:
        'it reads requests from its argument, and an access token is never passed as an argument',
    })
  })

  test.for([{ allow_insecure_plugins: true }, {}])(
    'a program that reads standard input without saying so gets the token there: %o',
    async (given) => {
      const settings = { ...given, pass_access_token: true, reads_stdin: true }
      const { plugin } = await startPlugin(directory, 'secret-stdin.py', settings)
      expect(plugin.status).toMatchObject({ state: 'ready', by: 'stdin' })
      expect(await firstValue(plugin, { ...caller, accessToken: 'the-token' })).toBe(
        '[0, "the-token"]',
      )
    },
  )

  test('an old plugin runs where the operator allows it', async () => {
    const given = { allow_insecure_plugins: true }
    const { plugin } = await startPlugin(directory, 'argument-only.sh', given)
    expect(plugin.status).toMatchObject({ state: 'ready', by: 'argument' })
    const argument = await firstValue(plugin, { ...caller, accessToken: 'token' })
    expect(argument).toMatch(/^[\w-]+$/)
    const input = JSON.parse(Buffer.from(argument, 'base64url').toString()) as object
    expect(input).toMatchObject({ action: 'request', user_info: { sub: caller.sub } })
    expect(input).not.toHaveProperty('access_token')
    // The bound of one argument is the kernel's.
    const refusal = await refusalOf(plugin.request(caller, { much: 'x'.repeat(200_000) }, soon()))
    expect(refusal).toMatchObject({
      code: 'failed',
      cause: expect.stringMatching(/too long for an argument/),
    })
    expect(left()).toEqual([])
  })
})

describe('a caller who leaves', () => {
  test('ends the run, and hears its own reason', async () => {
    const { plugin, lines } = await startPlugin(directory, 'hangs.sh')
    const leaving = new AbortController()
    const answer = plugin.request(caller, {}, leaving.signal)
    setTimeout(() => leaving.abort(new Error('gone')), 100)
    await expect(answer).rejects.toThrow('gone')
    expect(lines.at(-1)).toMatchObject({ event: 'plugin.run', stopped: 'aborted' })
    expect(left()).toEqual([])
    await expect(plugin.request(caller, {}, leaving.signal)).rejects.toThrow('gone')
  })

  test('others are served meanwhile, up to the bounds', async () => {
    const given = { parallel_runner: 1, maximum_waiting: 1 }
    const { plugin } = await startPlugin(directory, 'hangs.sh', given)
    const leaving = new AbortController()
    const first = plugin.request(caller, {}, leaving.signal)
    const waiting = new AbortController()
    const second = plugin.request(caller, {}, waiting.signal)
    expect([plugin.load.running, plugin.load.waiting]).toEqual([1, 1])
    const third = await refusalOf(plugin.request(caller, {}, soon()))
    expect(third).toMatchObject({
      code: 'overloaded',
      message: expect.stringMatching(/try again later/),
    })
    waiting.abort(new Error('gone too'))
    await expect(second).rejects.toThrow('gone too')
    expect(plugin.load.waiting).toBe(0)
    leaving.abort(new Error('gone'))
    await expect(first).rejects.toThrow('gone')
    expect(plugin.load.running).toBe(0)
  })
})
