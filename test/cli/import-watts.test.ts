import { execFileSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { loadConfiguration } from '../../src/config/load.ts'
import { runTts, type TtsRun } from '../support/terminal.ts'

const small = `ssl = false
openid.iam.client_id = us
openid.iam.client_secret = THE-SECRET
openid.iam.config_endpoint = https://iam.example.org/.well-known/openid-configuration
nodename = x
`

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-import-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const at = (name: string): string => join(directory, name)
const mode = (name: string): string => (statSync(at(name)).mode & 0o777).toString(8)
function importText(text: string | Buffer, ...words: string[]): Promise<TtsRun> {
  writeFileSync(at('watts.conf'), text)
  return runTts(['import-watts', at('watts.conf'), '--out', at('tts.yaml'), ...words])
}

test('writes the configuration and its secrets for the operator alone, and says what became of what', async () => {
  const { code, out, notes } = await importText(small)
  expect({ code, notes }).toEqual({ code: 0, notes: '' })
  expect(readdirSync(directory).sort()).toEqual(['client-secret-iam', 'tts.yaml', 'watts.conf'])
  expect([mode('tts.yaml'), mode('client-secret-iam')]).toEqual(['600', '600'])
  expect(out).toContain('Not converted:\n  line 5: nodename: ')
  expect(out).toMatch(/^4 converted, 1 converted with a difference, 1 dropped, 0 to fix$/m)
  expect(out).toContain(at('tts.yaml'))
  expect(out + readFileSync(at('tts.yaml'), 'utf8')).not.toContain('THE-SECRET')
  const { configuration } = await loadConfiguration(at('tts.yaml'), {})
  expect(configuration.providers['iam']?.client_secret).toBe('THE-SECRET')
})

test('secrets may go elsewhere', async () => {
  const { code } = await importText(small, '--secrets-dir', at('secrets'))
  expect(code).toBe(0)
  expect([mode('secrets'), mode('secrets/client-secret-iam')]).toEqual(['700', '600'])
  const { configuration } = await loadConfiguration(at('tts.yaml'), {})
  expect(configuration.providers['iam']?.client_secret_file).toBe(at('secrets/client-secret-iam'))
  expect(configuration.providers['iam']?.client_secret).toBe('THE-SECRET')
})

test('with something to fix it ends with 1, written all the same', async () => {
  const { code, out } = await importText(`${small}sll = true\nnonsense\n`)
  expect(code).toBe(1)
  expect(out).toMatch(
    /^TO FIX .*\n {2}line 6: sll: unknown key: WaTTS.*\n {2}line 7: \(line\): the line has no =$/m,
  )
  expect(readFileSync(at('tts.yaml'), 'utf8')).toMatch(/^# {3}line 6: sll: /m)
})

test('for scripts: keys and notes, no values', async () => {
  const { code, out } = await importText(
    `${small}service.s.cmd = /p\nservice.s.plugin.token = HIDDEN\n`,
    '--json',
  )
  expect(code).toBe(1)
  expect(out).not.toMatch(/HIDDEN|THE-SECRET/)
  const { findings, written } = JSON.parse(out) as {
    findings: { fate: string; key: string }[]
    written: string[]
  }
  expect(written).toEqual([at('client-secret-iam'), at('tts.yaml')])
  expect(findings).toContainEqual(
    expect.objectContaining({ line: 5, key: 'nodename', fate: 'dropped' }),
  )
})

test.for(['tts.yaml', 'client-secret-iam'])(
  '%s is not written over unless asked to',
  async (name) => {
    writeFileSync(at(name), 'mine')
    const { code, notes } = await importText(small)
    expect(code).toBe(1)
    expect(notes).toContain(`${at(name)} exists already`)
    expect(notes).toContain('--force')
    expect(readdirSync(directory).sort()).toEqual([name, 'watts.conf'].sort())
    expect(readFileSync(at(name), 'utf8')).toBe('mine')
    expect((await importText(small, '--force')).code).toBe(0)
    expect(readFileSync(at(name), 'utf8')).not.toBe('mine')
  },
)

test.for([
  {
    name: 'no such file',
    words: ['/no/such/file'],
    code: 5,
    says: 'the file or its directory does not exist',
  },
  { name: 'a directory', words: ['.'], code: 2, says: 'it is a directory' },
  { name: 'no file', words: [], code: 2, says: 'file' },
])('$name', async ({ words, code, says }) => {
  const run = await runTts(['import-watts', ...words])
  expect(run).toMatchObject({ code, out: '' })
  expect(run.notes).toContain(says)
})

test.for<{ name: string; text: string | Buffer }>([
  { name: 'nothing', text: '' },
  { name: 'comments', text: '# a\n' },
  { name: 'prose', text: 'Dear reader,\nthis is none.\n' },
  { name: 'bytes', text: Buffer.from([0, 255, 254, 10, 0]) },
  { name: 'over 1 MiB', text: `${small}#${' '.repeat(1_100_000)}` },
])('$name is no watts.conf', async ({ text }) => {
  const { code, out } = await importText(text)
  expect({ code, out }).toEqual({ code: 2, out: '' })
  expect(readdirSync(directory)).toEqual(['watts.conf'])
})

test('a directory that cannot be written ends it with 2, and no configuration is there', async () => {
  mkdirSync(at('tts.yaml'))
  const { code } = await importText(small, '--force')
  expect(code).toBe(2)
})

test('`-` is standard output; the report goes to standard error', async () => {
  writeFileSync(at('watts.conf'), small)
  const words = ['import-watts', at('watts.conf'), '--out', '-']
  const none = await runTts(words)
  expect(none).toMatchObject({ code: 2, out: '' })
  expect(none.notes).toContain('has client secrets, which need a directory')
  const { code, out, notes } = await runTts([...words, '--secrets-dir', at('secrets')])
  expect(code).toBe(0)
  expect(readdirSync(directory).sort()).toEqual(['secrets', 'watts.conf'])
  expect(notes).toContain('Not converted:')
  expect(out).not.toContain('THE-SECRET')
  writeFileSync(at('tts.yaml'), out, { mode: 0o600 })
  const { configuration } = await loadConfiguration(at('tts.yaml'), {})
  expect(configuration.providers['iam']?.client_secret).toBe('THE-SECRET')
})

test('a pipe or a directory is not replaced, and nothing is written before', async () => {
  execFileSync('mkfifo', [at('pipe')])
  mkdirSync(at('directory'))
  for (const name of ['pipe', 'directory']) {
    const { code, notes } = await importText(small, '--force', '--out', at(name))
    expect(code).toBe(2)
    expect(notes).toContain('it is not replaced')
    expect(readdirSync(directory).sort()).toEqual(['directory', 'pipe', 'watts.conf'])
  }
})
