/** Owners and groups of the data directory: commands of root, volumes with fsGroup, users without a passwd entry. */
import {
  appendFileSync,
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { programPath, runToEnd, startProgram } from '../support/programs.ts'
import { runTts } from '../support/terminal.ts'

let directory = ''
const path = (name: string): string => join(directory, name)
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-owners-'))
  chmodSync(directory, 0o755)
  writeFileSync(
    path('tts.yaml'),
    'data_dir: data\nlisten: { port: 0 }\nca: { key_kind: ec-p256 }\n',
  )
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

/** A user who is not in passwd. */
const USER = 61_002
const main = programPath('src/cli/main.ts')

/** Whether every user can read the program and run this Node. */
function isOpenToAll(file: string): boolean {
  for (let at = file; at !== dirname(at); at = dirname(at))
    if ((statSync(at).mode & 0o005) !== 0o005 && (at !== file || (statSync(at).mode & 0o004) === 0))
      return false
  return true
}
const isPossible =
  process.getuid?.() === 0 && [main, process.execPath].every((file) => isOpenToAll(file))

function filesBelow(top: string): readonly string[] {
  return readdirSync(top, { recursive: true, encoding: 'utf8' }).map((name) => join(top, name))
}

describe.skipIf(!isPossible)('commands of root on the data of a user', () => {
  const tts = async (...words: readonly string[]) =>
    runToEnd(main, ['--config', path('tts.yaml'), ...words], { cwd: directory })

  test('leave no file of root, and work', async () => {
    mkdirSync(path('data'), { mode: 0o700 })
    chownSync(path('data'), USER, USER)
    for (const words of [
      ['ca', 'init'],
      ['ssh-ca', 'init'],
      ['ca', 'show'],
      ['credential', 'list'],
      ['master-key', 'rotate'],
      ['ca', 'renew'],
    ]) {
      const { code, err } = await tts(...words)
      expect({ words, code, err }).toMatchObject({ code: 0 })
    }
    const checked = await tts('check')
    expect(checked.out).toMatch(/^ok {7}records: sqlite, readable and writable$/m)
    const owners = filesBelow(path('data')).map((file) => lstatSync(file).uid)
    expect(owners.length).toBeGreaterThan(6)
    expect(new Set(owners)).toEqual(new Set([USER]))
    // What goes elsewhere is root's.
    mkdirSync(path('certificates'))
    expect(await tts('ca', 'export', path('certificates'))).toMatchObject({ code: 0 })
    for (const file of filesBelow(path('certificates'))) expect(lstatSync(file).uid).toBe(0)
  })

  test('read what root names: a token, or a file of claims', async () => {
    mkdirSync(path('data'), { mode: 0o700 })
    chownSync(path('data'), USER, USER)
    const provider = { issuer: 'https://iam.example.org', audiences: ['tts'] }
    appendFileSync(path('tts.yaml'), `providers: ${JSON.stringify({ iam: provider })}\n`)
    writeFileSync(path('claims.json'), '{"sub":"u"}', { mode: 0o600 })
    writeFileSync(path('token'), 'no-jwt', { mode: 0o600 })
    const explain = ['authz', 'explain', '--service', 'x509']
    const claims = await tts(...explain, '--claims', path('claims.json'), '--provider', 'iam')
    expect(claims).toMatchObject({ err: '', out: expect.stringContaining('"u" of the provider') })
    // The token is read, and refused as a token.
    const token = await tts(...explain, '--token-file', path('token'))
    expect(token.err).toContain('the token is not a signed JWT')
  })

  test('trust the group of the owner, and no group that the owner is not in', async () => {
    mkdirSync(path('data'), { mode: 0o700 })
    chownSync(path('data'), USER, USER)
    expect(await tts('ca', 'init')).toMatchObject({ code: 0 })
    // As Kubernetes does at each start of a pod.
    for (const file of filesBelow(path('data')))
      chmodSync(file, statSync(file).isDirectory() ? 0o2770 : statSync(file).mode | 0o660)
    const configuration = readFileSync(path('tts.yaml'), 'utf8')
    writeFileSync(path('tts.yaml'), `${configuration}trusted_group: ${USER}\n`)
    expect(await tts('ca', 'show')).toMatchObject({ code: 0, err: '' })
    expect(await tts('check')).toMatchObject({ err: '' })
    writeFileSync(path('tts.yaml'), `${configuration}trusted_group: 4000000\n`)
    const { code, err } = await tts('ca', 'show')
    expect(code).toBe(2)
    expect(err).toContain(
      `trusted_group: found 4000000; must be a group of this process, which has ${USER}`,
    )
  })

  test('start no program that is root, or can become root', async () => {
    mkdirSync(path('data'), { mode: 0o700 })
    chownSync(path('data'), USER, USER)
    // Bash goes back to its real user when that is another one. Every other program could do the same.
    const plugin = [
      '#!/bin/bash',
      'cat > /dev/null',
      `grep -E '^(Uid|Gid|Groups):' /proc/self/status > ${path('data/ids')}`,
      `echo '{"result":"ok","version":"1","conf_params":[],"request_params":[]}'`,
    ]
    writeFileSync(path('plugin'), `${plugin.join('\n')}\n`, { mode: 0o755 })
    const service = { plugin: 'executable', executable: { command: [path('plugin')] } }
    appendFileSync(path('tts.yaml'), `services: ${JSON.stringify({ account: service })}\n`)
    expect(await tts('ca', 'init')).toMatchObject({ code: 0 })
    const { out } = await tts('check')
    expect(out).toMatch(/^(ok|warning) .*account/m)
    const four = Array(4).fill(String(USER)).join('\t')
    expect(readFileSync(path('data/ids'), 'utf8')).toMatch(
      new RegExp(`^Uid:\t${four}\nGid:\t${four}\nGroups:\t${USER} *$`, 'm'),
    )
  })

  test('`serve` is refused, with the line to run instead', async () => {
    mkdirSync(path('data'), { mode: 0o700 })
    chownSync(path('data'), USER, USER)
    const { code, out, err } = await tts('serve')
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(err).toContain(`root must not run the service on the data of another user`)
    expect(err).toContain(`sudo -u '#${USER}' tts serve`)
    expect(filesBelow(path('data'))).toEqual([])
  })

  test('a data directory of root is named, with its owner, for a user without an entry in passwd', async () => {
    const asUser = async (env: Record<string, string>, command = 'serve') => {
      const { child, ended, stdout, stderr } = startProgram(main, [command], {
        cwd: directory,
        env: { ...env, TTS_CA__KEY_KIND: 'ec-p256', TTS_LISTEN__PORT: '0' },
        uid: USER,
      })
      setTimeout(() => child.kill('SIGTERM'), 20_000).unref()
      return { code: await ended, out: stdout(), err: stderr() }
    }
    mkdirSync(path('data'), { mode: 0o700 })
    rmSync(path('tts.yaml'))
    const denied = await asUser({ TTS_DATA_DIR: path('data') })
    expect(denied).toMatchObject({ code: 2, out: '' })
    expect(denied.err).toContain(
      `the data directory ${path('data')} cannot be used: it belongs to user id 0, and this process (user id ${USER}) cannot write to it`,
    )
    const checked = await asUser({ TTS_DATA_DIR: path('data') }, 'check')
    expect(checked.out).toContain(
      `FAILED   data directory: the data directory ${path('data')} cannot be used: it belongs to user id 0, and this process (user id ${USER}) cannot write to it`,
    )
    const missing = await asUser({ TTS_DATA_DIR: path('missing/data') })
    expect(missing.err).toContain(
      `it does not exist, and this process (user id ${USER}) cannot create it in ${directory}, which belongs to user id 0`,
    )
    const homeless = await asUser({ HOME: '' })
    expect(homeless.err).toContain(`data_dir: must be set, because user id ${USER} has no home`)
    expect(denied.err + checked.out + missing.err + homeless.err).not.toMatch(
      /unexpected|EACCES|ENOENT/,
    )
  })
})

describe('a volume with fsGroup', () => {
  const group = process.getegid?.() ?? 0
  const show = async (environment = {}) =>
    runTts(['--config', path('tts.yaml'), 'ca', 'show'], { environment })

  test('is refused with the setting that accepts it, and accepted with it', async () => {
    expect((await runTts(['--config', path('tts.yaml'), 'ca', 'init'])).code).toBe(0)
    expect((await show()).code).toBe(0)
    // As Kubernetes does at each start of a pod.
    for (const file of filesBelow(path('data')))
      chmodSync(file, statSync(file).isDirectory() ? 0o2770 : statSync(file).mode | 0o660)
    const refused = await show()
    expect(refused.code).toBe(2)
    expect(refused.notes).toContain(`set trusted_group: ${group}.`)
    expect((await show({ TTS_TRUSTED_GROUP: String(group) })).code).toBe(0)
    // Others are still refused.
    chmodSync(path('data/master-keys'), 0o664)
    const others = await show({ TTS_TRUSTED_GROUP: String(group) })
    expect(others.notes).toContain('can be used by others than its owner (mode 0664)')
  })

  test('a group that this process is not in is refused', async () => {
    const { code, notes } = await show({ TTS_TRUSTED_GROUP: '4000000' })
    expect(code).toBe(2)
    expect(notes).toContain('trusted_group: found 4000000; must be a group of this process')
  })
})
