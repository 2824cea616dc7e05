import { execFileSync } from 'node:child_process'
import {
  chownSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  closeSync,
  readFileSync,
  readSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { useTestService } from '../support/service.ts'
import { runTts, type TtsRunOptions } from '../support/terminal.ts'

const ca = { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' }
const service = useTestService({ configuration: { ca, limits: { key_pool_size: 0 } } })

const uid = process.getuid?.() ?? 0
let origin = ''
let directory = ''
const path = (name: string): string => join(directory, name)

beforeAll(async () => {
  origin = mkdtempSync(join(tmpdir(), 'tts-destroy-origin-'))
  const words = ['proxy', 'init', '--url', service().url, '--key-type', 'ec-p256', '-q']
  const environment = { BEARER_TOKEN: service().token() }
  await runTts([...words, '--out', join(origin, 'proxy')], { environment })
  const text = readFileSync(join(origin, 'proxy'), 'utf8')
  const [, endEntity = ''] =
    text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n/g) ?? []
  writeFileSync(join(origin, 'usercert'), endEntity)
})
afterAll(() => rmSync(origin, { recursive: true, force: true }))
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-destroy-'))
  copyFileSync(join(origin, 'proxy'), path('proxy'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const destroy = async (words: readonly string[], options: TtsRunOptions = {}) =>
  runTts(['proxy', 'destroy', ...words], options)

test('the file is overwritten before it is removed', async () => {
  const held = openSync(path('proxy'), 'r')
  const { code, out, notes } = await destroy([path('proxy')])
  expect({ code, out }).toEqual({ code: 0, out: '' })
  expect(notes).toBe(`${path('proxy')} was overwritten and removed.\n`)
  expect(existsSync(path('proxy'))).toBe(false)
  const content = Buffer.alloc(10_000, 1)
  const length = readSync(held, content, 0, content.length, 0)
  closeSync(held)
  expect(length).toBeGreaterThan(1000)
  expect(content.subarray(0, length)).toEqual(Buffer.alloc(length))
})

test.for([
  { title: 'X509_USER_PROXY', words: [] },
  { title: '--file', words: ['--file'] },
  { title: '-file', words: ['-file'] },
])('$title names it', async ({ words }) => {
  const environment = words.length === 0 ? { X509_USER_PROXY: path('proxy') } : {}
  const file = words.length === 0 ? [] : [path('proxy')]
  const run = await destroy([...words, ...file, '-q'], { environment })
  expect(run).toMatchObject({ code: 0, notes: '' })
  expect(existsSync(path('proxy'))).toBe(false)
})

test.for(['--default', '-default'])(
  '%s removes the default proxy besides the file',
  async (flag) => {
    copyFileSync(path('proxy'), path('other'))
    const environment = { X509_USER_PROXY: path('proxy') }
    const run = await destroy([flag, path('other')], { environment })
    expect(run).toMatchObject({ code: 0 })
    expect(['proxy', 'other'].map((name) => existsSync(path(name)))).toEqual([false, false])
    copyFileSync(join(origin, 'proxy'), path('proxy'))
    expect(await destroy([flag], { environment })).toMatchObject({ code: 0 })
    expect(existsSync(path('proxy'))).toBe(false)
  },
)

test('--default removes the default proxy also when the file cannot be removed', async () => {
  const environment = { X509_USER_PROXY: path('proxy') }
  const { code, notes } = await destroy(['--default', path('none')], { environment })
  expect(code).toBe(5)
  expect(notes).toContain(`there is no proxy file ${path('none')}`)
  expect(existsSync(path('proxy'))).toBe(false)
  const none = await destroy(['--default', path('none')], { environment })
  expect(none.notes).toContain(path('none'))
  expect(none.notes).toContain(path('proxy'))
})

test('--default and the same file by another spelling are one', async () => {
  const environment = { X509_USER_PROXY: path('proxy') }
  const spelling = `${path('.')}/./proxy`
  expect(await destroy(['--default', spelling], { environment })).toMatchObject({ code: 0 })
})

test.for(['--dry-run', '-dryrun'])('%s changes nothing', async (flag) => {
  const before = readFileSync(path('proxy'))
  const { code, notes } = await destroy([flag, path('proxy')])
  expect(code).toBe(0)
  expect(notes).toContain('would be overwritten and removed')
  expect(readFileSync(path('proxy'))).toEqual(before)
})

test('no such file', async () => {
  const { code, notes } = await destroy([path('none')])
  expect(code).toBe(5)
  expect(notes).toContain(`there is no proxy file ${path('none')}`)
})

const refused: readonly {
  readonly title: string
  readonly prepare: () => void
  readonly says: string
  readonly options?: TtsRunOptions
  readonly onlyRoot?: boolean
}[] = [
  {
    title: 'a text',
    prepare: () => writeFileSync(path('victim'), 'hello'),
    says: 'is not a proxy file',
  },
  {
    title: 'an empty file',
    prepare: () => writeFileSync(path('victim'), ''),
    says: 'is not a proxy',
  },
  {
    title: 'the certificate of a person',
    prepare: () => copyFileSync(join(origin, 'usercert'), path('victim')),
    says: 'is not a proxy file',
  },
  {
    title: 'a large file',
    prepare: () => writeFileSync(path('victim'), Buffer.alloc(300_000)),
    says: 'is too large to be a proxy file',
  },
  {
    title: 'a link',
    prepare: () => symlinkSync(path('proxy'), path('victim')),
    says: 'is a symbolic link',
  },
  {
    title: 'a file with two names',
    prepare: () => linkSync(path('proxy'), path('victim')),
    says: 'has 2 names (hard links)',
  },
  { title: 'a directory', prepare: () => mkdirSync(path('victim')), says: 'is not a plain file' },
  {
    title: 'a pipe',
    prepare: () => void execFileSync('mkfifo', [path('victim')]),
    says: 'is not a plain file',
  },
  {
    title: 'a proxy of another user',
    prepare: () => copyFileSync(join(origin, 'proxy'), path('victim')),
    says: `belongs to another user (uid ${uid})`,
    options: { uid: uid + 1 },
  },
  {
    title: 'a proxy of another user, as root',
    prepare: () => {
      copyFileSync(join(origin, 'proxy'), path('victim'))
      chownSync(path('victim'), 12_345, 12_345)
    },
    says: 'belongs to another user (uid 12345)',
    onlyRoot: true,
  },
]

test.for(refused)(
  '$title is not removed',
  async ({ prepare, says, options, onlyRoot }, { skip }) => {
    skip(onlyRoot === true && uid !== 0, 'only root can give files away')
    prepare()
    const before = readFileSync(path('proxy'))
    const { code, notes } = await destroy([path('victim')], options)
    expect(code).toBe(2)
    expect(notes).toContain(says)
    expect(notes).toContain('it is not removed')
    expect(existsSync(path('victim'))).toBe(true)
    expect(readFileSync(path('proxy'))).toEqual(before)
  },
)
