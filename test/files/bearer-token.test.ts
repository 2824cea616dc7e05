import { randomBytes } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { TtsError } from '../../src/base/errors.ts'
import { discoverBearerToken, readTokenFile } from '../../src/files/bearer-token.ts'

const uid = process.getuid?.() ?? 0
const name = `bt_u${uid}`
let directory = ''
let runtime = ''
let temporary = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-token-'))
  runtime = join(directory, 'runtime')
  temporary = join(directory, 'tmp')
  for (const each of [runtime, temporary]) mkdirSync(each)
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

function put(path: string, text: string | Buffer): string {
  writeFileSync(path, text, { mode: 0o600 })
  return path
}

const discover = (environment: Record<string, string | undefined> = {}, user = uid) =>
  discoverBearerToken({ environment, uid: user, temporaryDirectory: temporary })

async function refusal(found: Promise<unknown>): Promise<TtsError> {
  const error: unknown = await found.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof TtsError)) throw new Error(`wanted a TtsError, found ${String(error)}`)
  expect(error.code).toBe('missing_token')
  return error
}

describe('discovery', () => {
  test('looks at its places in the order of the WLCG document', async () => {
    const named = put(join(directory, 'named'), 'from-named\n')
    put(join(runtime, name), 'from-runtime')
    put(join(temporary, name), 'from-tmp')
    const all = {
      BEARER_TOKEN: ' from-environment\n',
      BEARER_TOKEN_FILE: named,
      XDG_RUNTIME_DIR: runtime,
    }
    expect(await discover(all)).toEqual({ token: 'from-environment', source: 'BEARER_TOKEN' })
    expect(await discover({ ...all, BEARER_TOKEN: ' ' })).toEqual({
      token: 'from-named',
      source: named,
    })
    expect(await discover({ XDG_RUNTIME_DIR: runtime })).toEqual({
      token: 'from-runtime',
      source: join(runtime, name),
    })
    rmSync(join(runtime, name))
    const last = { token: 'from-tmp', source: join(temporary, name) }
    expect(await discover({ XDG_RUNTIME_DIR: runtime })).toEqual(last)
    expect(await discover({ BEARER_TOKEN: undefined, XDG_RUNTIME_DIR: '' })).toEqual(last)
  })

  test('finds nothing and names every place', async () => {
    const { message, remedy } = await refusal(discover({ XDG_RUNTIME_DIR: runtime }))
    expect(message).toContain('BEARER_TOKEN, BEARER_TOKEN_FILE')
    expect(message).toContain(join(runtime, name))
    expect(message).toContain(join(temporary, name))
    expect(remedy).toContain('--token-file')
  })

  test('a file that a variable names and that is not there is an error, no reason to go on', async () => {
    put(join(temporary, name), 'from-tmp')
    const { message } = await refusal(discover({ BEARER_TOKEN_FILE: join(directory, 'none') }))
    expect(message).toBe(
      `the token file ${join(directory, 'none')} cannot be read: the file or its directory does not exist`,
    )
  })

  test('a file in the runtime directory that holds no token is an error too', async () => {
    put(join(temporary, name), 'from-tmp')
    put(join(runtime, name), '\n')
    const { message } = await refusal(discover({ XDG_RUNTIME_DIR: runtime }))
    expect(message).toBe(`the token file ${join(runtime, name)} is empty`)
  })

  test('a directory or a FIFO in /tmp is refused at once', { timeout: 10_000 }, async () => {
    mkdirSync(join(temporary, name))
    expect((await refusal(discover())).message).toContain('is not a plain file that you own')
    rmSync(join(temporary, name), { recursive: true })
    execFileSync('mkfifo', [join(temporary, name)])
    expect((await refusal(discover())).message).toContain('is not a plain file that you own')
  })

  test('a file that somebody else put into /tmp is not taken', async () => {
    const user = uid === 0 ? 0 : uid + 1
    const path = put(join(temporary, `bt_u${user}`), 'planted')
    if (uid === 0) chownSync(path, 65_534, 65_534)
    const { message, remedy } = await refusal(discover({}, user))
    expect(message).toBe(`${path} is not a plain file that you own`)
    expect(remedy).toContain('Remove it')
    expect(message).not.toContain('planted')
  })

  test('a link to a file of one’s own is followed', async () => {
    symlinkSync(put(join(directory, 'named'), 'linked'), join(temporary, name))
    expect((await discover()).token).toBe('linked')
  })
})

describe('token files', () => {
  test.for([
    { title: 'an empty one', content: '', says: 'is empty' },
    { title: 'white space alone', content: ' \n\t', says: 'is empty' },
    { title: 'two tokens', content: 'one two', says: 'does not hold exactly one token' },
    { title: 'two lines', content: 'one\ntwo\n', says: 'does not hold exactly one token' },
    { title: 'no ASCII', content: 'tokën', says: 'does not hold exactly one token' },
    {
      title: 'a long one',
      content: Buffer.alloc(70_000, 0x61),
      says: 'is longer than 65536 bytes',
    },
    { title: 'JSON without it', content: '{"a":1}', says: 'is JSON without an access_token' },
    { title: 'broken JSON', content: '{"access_token', says: 'is JSON without an access_token' },
    { title: 'a number', content: '{"access_token":7}', says: 'is JSON without an access_token' },
    { title: 'an empty member', content: '{"access_token":""}', says: 'is empty' },
    {
      title: 'two in a member',
      content: '{"access_token":"a b"}',
      says: 'does not hold exactly one token',
    },
  ])('$title is refused, and not shown', async ({ content, says }) => {
    const secret = randomBytes(12).toString('hex')
    const path = put(join(directory, 'token'), content)
    const { message } = await refusal(readTokenFile(path))
    expect(message).toBe(`the token file ${path} ${says}`)
    const two = put(join(directory, 'token'), `${secret} ${secret}`)
    expect(JSON.stringify(await refusal(readTokenFile(two)))).not.toContain(secret)
  })

  // As HTCondor's credmon stores it, with the suffix .use.
  test('the JSON answer of a token endpoint', async () => {
    const answer = {
      access_token: 'a.b-c',
      token_type: 'bearer',
      expires_in: 1199,
      expires_at: 1.5e9,
    }
    const path = put(join(directory, 'igwn.use'), `${JSON.stringify(answer)}\n`)
    expect(await readTokenFile(path)).toBe('a.b-c')
    expect(await discover({ BEARER_TOKEN_FILE: path })).toEqual({ token: 'a.b-c', source: path })
    expect((await discover({ BEARER_TOKEN: JSON.stringify(answer) })).token).toBe('a.b-c')
  })

  test('the file with the refresh token beside it is named', async () => {
    const path = put(join(directory, 'igwn.top'), '{"refresh_token":"r"}')
    const { message, remedy } = await refusal(readTokenFile(path))
    expect(message).toBe(`the token file ${path} is JSON without an access_token`)
    expect(remedy).toContain('suffix .use')
  })

  test('a pipe that nobody writes to is given up', async () => {
    const path = join(directory, 'pipe')
    execFileSync('mkfifo', [path])
    const { message } = await refusal(readTokenFile(path, { timeoutMs: 50 }))
    expect(message).toBe(`the token file ${path} is a pipe that does not end in time`)
  })

  test('white space around the token is no part of it', async () => {
    const path = put(join(directory, 'token'), '\n  a-token \r\n')
    expect(await readTokenFile(path)).toBe('a-token')
  })

  test('a directory is refused with the reason', async () => {
    expect((await refusal(readTokenFile(directory))).message).toContain('it is a directory')
  })

  test('a pipe that gives the token in pieces is read to its end', async () => {
    const path = join(directory, 'pipe')
    execFileSync('mkfifo', [path])
    const script = `(printf first-; sleep 0.05; printf second) > '${path}'`
    const token = readTokenFile(path)
    execFileSync('sh', ['-c', `${script} &`], { stdio: 'ignore' })
    expect(await token).toBe('first-second')
  })
})

describe('where a private file is wanted', () => {
  const places = {
    named: () => join(directory, 'named'),
    runtime: () => join(runtime, name),
    tmp: () => join(temporary, name),
  }
  test.for(Object.keys(places) as (keyof typeof places)[])(
    '%s: one for others is refused',
    async (place) => {
      const path = put(places[place](), 'a-token')
      const environment = {
        BEARER_TOKEN_FILE: place === 'named' ? path : '',
        XDG_RUNTIME_DIR: runtime,
      }
      const find = async (wantsPrivate?: boolean) =>
        discoverBearerToken({
          environment,
          uid,
          temporaryDirectory: temporary,
          ...(wantsPrivate === undefined ? {} : { wantsPrivate }),
        })
      expect((await find(true)).token).toBe('a-token')
      chmodSync(path, 0o644)
      expect((await find()).token).toBe('a-token')
      await expect(find(true)).rejects.toMatchObject({
        code: 'configuration',
        check: 'file_mode',
        remedy: `Run chmod 600 '${path}'.`,
      })
    },
  )
  test('a pipe is read whatever its mode', async () => {
    const path = join(directory, 'pipe')
    execFileSync('mkfifo', ['-m', '644', path])
    const read = readTokenFile(path, { wantsPrivate: true })
    execFileSync('sh', ['-c', `echo from-pipe >'${path}'`])
    expect(await read).toBe('from-pipe')
  })
})
