import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { TtsError } from '../../src/base/errors.ts'
import { createRefreshHelper, type RefreshHelper } from '../../src/refresh-helper/helper.ts'
import { createHelperProcess, helperProgram } from '../../src/refresh-helper/helper-process.ts'
import { lockPath, newKey, readAnswer, spoolPath } from '../../src/refresh-helper/spool.ts'
import { tryFileLock } from '../../src/files/file-lock.ts'

const helperModule = new URL('../../src/refresh-helper/helper.ts', import.meta.url).href

let directory = ''
let server: Server
let url = ''
/** What the token endpoint does, and what it was asked. */
let answer: (response: ServerResponse) => void = () => undefined
let asked: string[] = []

beforeEach(async () => {
  directory = join(mkdtempSync(join(tmpdir(), 'tts-refresh-helper-')), 'spool')
  asked = []
  answer = (response) => response.end('{"access_token":"a","refresh_token":"next"}')
  server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text
    })
    request.on('end', () => {
      asked.push(`${request.method} ${request.headers['authorization']} ${body}`)
      answer(response)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`
})
afterEach(async () => {
  server.closeAllConnections()
  server.close()
  rmSync(join(directory, '..'), { recursive: true, force: true })
})

const helper = (run?: 'here'): RefreshHelper =>
  createRefreshHelper({ directory, environment: {}, ...(run && { run }) })

const form = (signal?: AbortSignal): RequestInit => ({
  method: 'POST',
  headers: { authorization: 'Basic c2VjcmV0' },
  body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: 'old' }),
  ...(signal && { signal }),
})
const bounds = (timeoutMs: number, providerId = 'iam') => ({ timeoutMs, providerId })
const attempt = () => ({ owner: 'd1', key: newKey() })
/** Process ids of helpers with this test's spool. */
const running = (): string[] =>
  readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(directory)
    } catch {
      return false
    }
  })
const files = (): string[] => readdirSync(directory).filter((name) => name !== 'id')

describe.for(['process', 'here'] as const)('a request made in %s', (run) => {
  const made = (): RefreshHelper => helper(run === 'here' ? 'here' : undefined)

  test('is sent once as it is, and answered as fetch answers; the answer is in the spool, sealed', async () => {
    const one = attempt()
    const response = await made().fetchFor(one, bounds(5000))(url, form())
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({ access_token: 'a', refresh_token: 'next' })
    expect(asked).toEqual(['POST Basic c2VjcmV0 grant_type=refresh_token&refresh_token=old'])
    const path = spoolPath(directory, one)
    expect((statSync(path).mode & 0o777).toString(8)).toBe('600')
    expect(readFileSync(path, 'latin1')).not.toMatch(/token|next|old/)
    expect(await readAnswer(path, newKey())).toBeUndefined()
    expect(await made().recover(one, 1000)).toMatchObject({
      answer: { status: 200, body: '{"access_token":"a","refresh_token":"next"}' },
      body: 'grant_type=refresh_token&refresh_token=old',
    })
    expect(await made().owners()).toEqual(['d1'])
    await made().forget('d1')
    await expect.poll(files).toEqual([])
    expect(await made().recover(one, 1000)).toBeUndefined()
  })

  test('a refusal is answered and not kept', async () => {
    answer = (response) => response.writeHead(400).end('{"error":"invalid_grant"}')
    const response = await made().fetchFor(attempt(), bounds(5000))(url, form())
    expect([response.status, await response.text()]).toEqual([400, '{"error":"invalid_grant"}'])
    await expect.poll(files).toEqual([])
  })

  test('no connection: the error has the code beneath it', async () => {
    server.close()
    await once(server, 'close')
    await expect(made().fetchFor(attempt(), bounds(5000))(url, form())).rejects.toMatchObject({
      cause: { code: 'ECONNREFUSED' },
    })
    await expect.poll(files).toEqual([])
  })

  test('no answer within the deadline', async () => {
    answer = () => undefined
    await expect(made().fetchFor(attempt(), bounds(100))(url, form())).rejects.toMatchObject({
      cause: { name: 'TimeoutError' },
    })
    await expect.poll(files).toEqual([])
  })

  test('an answer without end is cut off', async () => {
    answer = (response) => {
      const more = (): void => {
        if (!response.destroyed) response.write(Buffer.alloc(65_536), () => setImmediate(more))
      }
      more()
    }
    await expect(made().fetchFor(attempt(), bounds(5000))(url, form())).rejects.toMatchObject({
      cause: { message: 'the answer is too large' },
    })
  })

  test('a caller who goes is let go; the answer is in the spool all the same', async () => {
    const one = attempt()
    const leaving = new AbortController()
    let release = (): void => undefined
    answer = (response) => {
      release = () => response.end('{"refresh_token":"next"}')
      leaving.abort(new DOMException('gone', 'AbortError'))
    }
    await expect(made().fetchFor(one, bounds(5000))(url, form(leaving.signal))).rejects.toThrow(
      'gone',
    )
    release()
    await expect
      .poll(async () => (await made().recover(one, 5000))?.answer.body)
      .toBe('{"refresh_token":"next"}')
  })

  test('a spool that takes nothing when the answer comes: it is told, and written as soon as it can be', async () => {
    const away = `${directory}-away`
    answer = (response) => {
      renameSync(directory, away)
      response.end('{"refresh_token":"next"}')
    }
    const one = attempt()
    expect(await (await made().fetchFor(one, bounds(5000))(url, form())).text()).toContain('next')
    renameSync(away, directory)
    await expect.poll(async () => readAnswer(spoolPath(directory, one), one.key)).toBeDefined()
  })
})

describe('a helper process', () => {
  /** Starts one by hand and waits until it is ready for an order. */
  async function begin(path: string) {
    await helper().spool()
    const child = spawn(process.execPath, [helperProgram, directory], { stdio: 'pipe' })
    child.stdin.write(`{"authorities":[]}\n${JSON.stringify({ id: 1, prepare: path })}\n`)
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    expect(line.toString()).toBe('{"id":1,"ready":true}\n')
    return child
  }
  const order = () => ({
    url,
    headers: [],
    body: 'grant_type=refresh_token&refresh_token=old',
    timeout_ms: 5000,
    key: newKey(),
  })

  test.for([
    { kind: 'that never came', cut: 0 },
    { kind: 'that is cut short', cut: -1 },
  ])('an order $kind is none: nothing is sent, nothing is left', async ({ cut }) => {
    const child = await begin(spoolPath(directory, attempt()))
    const ended = once(child, 'exit')
    child.stdin.end(JSON.stringify({ id: 1, order: order() }).slice(0, cut))
    expect((await ended)[0]).toBe(0)
    expect(asked).toEqual([])
    expect(files()).toEqual([])
  })

  test('input that ends before the space is reserved: no order can come, nothing is left', async () => {
    await helper().spool()
    const child = spawn(process.execPath, [helperProgram, directory], { stdio: 'pipe' })
    const ended = once(child, 'exit')
    const path = spoolPath(directory, attempt())
    child.stdin.end(`{"authorities":[]}\n${JSON.stringify({ id: 1, prepare: path })}\n`)
    expect((await ended)[0]).toBe(0)
    expect(files()).toEqual([])
  })

  test('an order without a lock is none', async () => {
    const child = await begin(spoolPath(directory, attempt()))
    const ended = once(child, 'exit')
    child.stdin.end(`${JSON.stringify({ id: 2, order: order() })}\n`)
    expect((await ended)[0]).toBe(0)
    expect(asked).toEqual([])
  })

  test('an order is completed after the input has ended', async () => {
    const one = attempt()
    const child = await begin(spoolPath(directory, one))
    const ended = once(child, 'exit')
    child.stdin.end(`${JSON.stringify({ id: 1, order: { ...order(), key: one.key } })}\n`)
    expect((await ended)[0]).toBe(0)
    expect(asked).toHaveLength(1)
    expect(await helper().recover(one, 1000)).toBeDefined()
  })

  test('ends when its answer is stored elsewhere, and writes it nowhere', async () => {
    const away = `${directory}-away`
    answer = (response) => {
      renameSync(directory, away)
      response.end('{"refresh_token":"next"}')
    }
    const one = helper()
    await one.fetchFor(attempt(), bounds(5000))(url, form())
    const [lock = ''] = readdirSync(away).filter((name) => name.endsWith('.lock'))
    const isHeld = (): boolean => {
      const taken = tryFileLock(join(away, lock))
      taken?.release()
      return taken === undefined
    }
    expect(isHeld()).toBe(true)
    await one.forget('d1')
    await expect.poll(isHeld).toBe(false)
    expect(readdirSync(away).filter((name) => /\.[0-9a-f]{32}$/.test(name))).toEqual([])
  })

  test('at work is waited for; dead it is not', async () => {
    const one = attempt()
    const child = await begin(spoolPath(directory, one))
    await expect(helper().recover(one, 100)).rejects.toMatchObject({
      code: 'overloaded',
      check: 'refresh_helper',
    })
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
    expect(await helper().recover(one, 5000)).toBeUndefined()
    expect(files()).toEqual([])
  })

  test('that cannot have its lock sends nothing', async () => {
    await helper().spool()
    const one = attempt()
    const lock = tryFileLock(lockPath(spoolPath(directory, one)))
    await expect(helper().fetchFor(one, bounds(5000))(url, form())).rejects.toMatchObject({
      code: 'overloaded',
      check: 'refresh_helper',
    })
    lock?.release()
    expect(asked).toEqual([])
  })
})

describe('one process', () => {
  test('makes all requests, each over a connection of its own', async () => {
    const one = helper()
    const connections = new Set<unknown>()
    server.on('connection', (socket) => connections.add(socket))
    const ask = async (owner: string): Promise<number> =>
      (await one.fetchFor({ owner, key: newKey() }, bounds(5000))(url, form())).status
    expect(await ask('d0')).toBe(200)
    const [pid, ...others] = running()
    expect(others).toEqual([])
    const owners = Array.from({ length: 40 }, (_, index) => `d${index + 1}`)
    expect(new Set(await Promise.all(owners.map(ask)))).toEqual(new Set([200]))
    expect(running()).toEqual([pid])
    expect([asked.length, connections.size]).toEqual([41, 41])
    expect((await one.owners()).length).toBe(41)
  })

  test('that was killed is followed by another; what it was working for is told', async () => {
    const one = helper()
    answer = () => process.kill(Number(running()[0]), 'SIGKILL')
    const first = attempt()
    await expect(one.fetchFor(first, bounds(5000))(url, form())).rejects.toMatchObject({
      code: 'provider_unavailable',
      check: 'refresh_helper',
    })
    expect(await one.recover(first, 1000)).toBeUndefined()
    answer = (response) => response.end('{}')
    expect((await one.fetchFor(attempt(), bounds(5000))(url, form())).status).toBe(200)
  })

  test('that cannot be started for want of file descriptors: 503, and this process goes on', async () => {
    const program = `
      import { openSync } from 'node:fs'
      const { createRefreshHelper } = await import(${JSON.stringify(helperModule)})
      const helper = createRefreshHelper({ directory: ${JSON.stringify(directory)}, environment: {} })
      await helper.spool()
      try { for (;;) openSync('/dev/null') } catch {}
      const attempt = { owner: 'd1', key: 'k' }
      const bounds = { timeoutMs: 5000, providerId: 'iam' }
      const error = await helper.fetchFor(attempt, bounds)('http://127.0.0.1:1/', { method: 'POST' }).catch((e) => e)
      await new Promise((resolve) => setTimeout(resolve, 100))
      process.stdout.write(error.code + ' ' + error.check)`
    const words = ['-c', 'ulimit -n 64; exec "$0" --input-type=module -e "$1"']
    const shown = execFileSync('bash', [...words, process.execPath, program], { encoding: 'utf8' })
    expect(shown).toBe('overloaded refresh_helper')
  })

  /** One request by a process with such limits. */
  async function made(limits: { readonly idleMs?: number; readonly maximumAgeMs?: number }) {
    await helper().spool()
    const one = createHelperProcess({ directory, environment: {}, ...limits })
    const ask = async (): Promise<string> => {
      const { key, ...rest } = { ...attempt() }
      const path = spoolPath(directory, { key, ...rest })
      const order = { url, headers: [], body: 'a=b', timeout_ms: 5000, key }
      const begun = one.begin(order, path)
      await begun.outcome
      await begun.ended
      return running().join()
    }
    return { ask }
  }

  test('ends when it was idle', async () => {
    const { ask } = await made({ idleMs: 1 })
    await ask()
    await expect.poll(running).toEqual([])
    await ask()
    expect(asked).toHaveLength(2)
  })

  test('is replaced when it is old', async () => {
    const { ask } = await made({ maximumAgeMs: 0 })
    const first = await ask()
    await ask()
    await expect.poll(running).toHaveLength(1)
    expect(running()).not.toEqual([first])
    expect(asked).toHaveLength(2)
  })
})

/** Requests of one provider that are never answered. */
function hanging(one: RefreshHelper, count: number, signal: AbortSignal) {
  const errors: unknown[] = []
  answer = () => undefined
  const all = Array.from({ length: count }, async (_, index) =>
    one
      .fetchFor({ owner: `d${index}`, key: newKey() }, bounds(60_000, 'hangs'))(url, form(signal))
      .catch((error: unknown) => errors.push(error)),
  )
  return { errors, all }
}

test('a provider that hangs has a share of helpers and of waiting requests, and others go on', async () => {
  const one = helper('here')
  const leaving = new AbortController()
  const { errors, all } = hanging(one, 540, leaving.signal)
  await expect.poll(() => asked.length).toBe(32)
  await expect.poll(() => errors.length).toBe(540 - 532)
  for (const error of errors) expect((error as TtsError).code).toBe('overloaded')
  answer = (response) => response.end('{}')
  const response = await one.fetchFor(attempt(), bounds(5000, 'answers'))(url, form())
  expect(response.status).toBe(200)
  leaving.abort(new Error('enough'))
  await Promise.all(all)
  expect(asked).toHaveLength(32 + 1)
})

test('what waits for its turn until its deadline was not sent, and is told so', async () => {
  const one = helper('here')
  const leaving = new AbortController()
  const { all } = hanging(one, 32, leaving.signal)
  await expect.poll(() => asked.length).toBe(32)
  const late = new AbortController()
  const waiting = one.fetchFor(attempt(), bounds(60_000, 'hangs'))(url, form(late.signal))
  late.abort(new Error('too late'))
  await expect(waiting).rejects.toMatchObject({ code: 'overloaded', check: 'refresh_helper' })
  leaving.abort(new Error('enough'))
  await Promise.all(all)
  expect(asked).toHaveLength(32)
})

test('the spool has one name for good; another directory has another', async () => {
  const names = await Promise.all([helper().spool(), helper().spool(), helper().spool()])
  expect(new Set(names).size).toBe(1)
  const other = createRefreshHelper({ directory: `${directory}-2`, environment: {} })
  expect(await other.spool()).not.toBe(names[0])
})

test.for([
  {
    path: '/proc/nothing/here',
    says: '/proc/nothing/here cannot be created: the file system of its parent accepts no new directories',
  },
  { path: '/dev/null', says: 'a part of the path is not a directory' },
])('a spool that cannot be made is named: $path', async ({ path, says }) => {
  const made = createRefreshHelper({ directory: path, environment: {} })
  await expect(made.spool()).rejects.toMatchObject({
    code: 'configuration',
    check: 'refresh_spool',
    message: `the refresh spool ${path} cannot be used: ${says}`,
  })
})

test('a spool on a full disk is a passing fault: nothing is sent, and it works again', async ({
  skip,
}) => {
  skip(process.getuid?.() !== 0, 'only root can mount a small disk')
  mkdirSync(directory, { mode: 0o700 })
  try {
    const words = ['-t', 'tmpfs', '-o', 'size=4k,mode=700', 'tmpfs', directory]
    execFileSync('mount', words, { stdio: 'ignore' })
  } catch {
    skip('this container may not mount')
  }
  try {
    const filler = join(directory, 'filler')
    writeFileSync(filler, Buffer.alloc(4096))
    const full = createRefreshHelper({ directory, environment: {} })
    await expect(full.spool()).rejects.toMatchObject({
      code: 'overloaded',
      check: 'refresh_helper',
      message: 'renewal is not possible at the moment',
      retryAfterSeconds: 5,
    })
    rmSync(filler)
    expect(await full.spool()).toMatch(/^[0-9a-f-]{36}$/)
  } finally {
    execFileSync('umount', [directory])
  }
})
