/** VOMS on the command line: attributes in `tts proxy init`, and the files of `tts voms export`. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { useTestService } from '../support/service.ts'
import { runTts, type TtsRun } from '../support/terminal.ts'

const cms = {
  provider: 'iam',
  port: 15_000,
  fqans: [
    { group: 'cms', fqan: '/cms' },
    { group: 'cms/production', fqan: '/cms/Role=production' },
  ],
  maximum_lifetime_seconds: 7200,
}
const vos = { cms, 'vo.example.org': { provider: 'iam', port: 15_001 } }
const voms = { host: 'tts.example.org', listen: '127.0.0.1', vos }
const service = useTestService({ configuration: { voms: { ...voms, listen: undefined } } })

let directory = ''
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-voms-cli-'))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))
const path = (name: string): string => join(directory, name)

describe('tts proxy init --voms', () => {
  const init = (...words: readonly string[]): Promise<TtsRun> => {
    const token = service().token('alice', { groups: ['cms', 'cms/production'] })
    const where = ['--url', service().url, '--out', path('proxy')]
    const options = { environment: { BEARER_TOKEN: token } }
    return runTts(['proxy', 'init', ...where, ...words], options)
  }
  const info = (...words: readonly string[]): Promise<TtsRun> =>
    runTts(['proxy', 'info', path('proxy'), ...words])

  test('makes a proxy with attributes in one step, and says when they end', async () => {
    const { code, out, notes } = await init('--voms', 'cms:/cms/Role=production')
    expect(notes).toMatch(/note: the VOMS attributes end at .*, before the proxy/)
    expect(out).toMatch(/\nvoms {5}: \/cms\/Role=production \/cms {2}\(timeleft [12]:\d\d:\d\d\)\n/)
    expect(code).toBe(0)
    expect((await info('--fqan')).out).toBe('/cms/Role=production\n/cms\n')
    expect((await info('--vo')).out).toBe('cms\n')
    expect(Number((await info('-actimeleft')).out)).toBeGreaterThan(7000)
  })

  test('and scripts ask for them as of voms-proxy-info', async () => {
    await init('-voms', 'cms')
    expect(await info('-acexists', 'cms')).toMatchObject({ code: 0, out: '' })
    expect(await info('-acexists', 'cms', '-valid', '1:00')).toMatchObject({ code: 0 })
    expect(await info('-acexists', 'cms', '-valid', '3:00')).toMatchObject({ code: 1, out: '' })
    expect(await info('-acexists', 'atlas')).toMatchObject({ code: 1, out: '' })
    await init()
    expect(await info('-acexists', 'cms')).toMatchObject({ code: 1 })
    expect((await info('--actimeleft')).out).toBe('0\n')
  })

  test.for<readonly [readonly string[], number, string]>([
    [['--voms', 'cms:'], 2, 'an FQAN must begin with a slash'],
    [['--voms', '../cms'], 2, 'must be VO or VO:FQAN'],
    [['--voms', 'cms:/atlas'], 2, 'every FQAN after cms: must begin with /cms'],
    [['--voms', 'atlas'], 2, 'it does for cms, vo.example.org'],
    [['--voms', 'vo.example.org'], 3, 'you are not a member of the VO vo.example.org'],
    [['--voms', 'cms:/cms/Role=admin'], 3, 'you do not have /cms/Role=admin; you have /cms'],
  ])('%j is refused', async ([words, code, says]) => {
    const run = await init(...words)
    expect(run.notes).toContain(says)
    expect(run.code).toBe(code)
  })
})

describe('tts voms export', () => {
  const run = async (settings: object, ...words: readonly string[]): Promise<TtsRun> => {
    const providers = { iam: { issuer: 'https://iam.example.org', audiences: ['x'] } }
    const ca = { key_kind: 'ec-p256' }
    const configuration = { data_dir: path('data'), providers, ca, ...settings }
    writeFileSync(path('tts.yaml'), stringify(configuration))
    await runTts(['ca', 'init', '-c', path('tts.yaml')])
    return runTts(['voms', 'export', '-c', path('tts.yaml'), ...words])
  }
  const subject = '/C=EU/O=INDIGO/OU=TTS/CN=tts.example.org'
  const issuer = '/C=EU/O=INDIGO/OU=TTS/CN=TTS-CA'

  test('writes vomses and a .lsc file for each VO, which others can read', async () => {
    const { code, notes } = await run({ voms }, path('site'))
    expect(notes).toContain(`Wrote 3 files to ${path('site')}.`)
    expect(code).toBe(0)
    expect(readFileSync(path('site/vomses'), 'utf8')).toBe(
      `"cms" "tts.example.org" "15000" "${subject}" "cms"\n` +
        `"vo.example.org" "tts.example.org" "15001" "${subject}" "vo.example.org"\n`,
    )
    for (const vo of ['cms', 'vo.example.org']) {
      const lsc = path(`site/vomsdir/${vo}/tts.example.org.lsc`)
      expect(readFileSync(lsc, 'utf8')).toBe(`${subject}\n${issuer}\n`)
      expect(statSync(lsc).mode & 0o777).toBe(0o644)
      expect(statSync(path(`site/vomsdir/${vo}`)).mode & 0o777).toBe(0o755)
    }
  })

  test('- is an archive with the same', async () => {
    const { code, bytes } = await run({ voms }, '-')
    expect(code).toBe(0)
    const names = execFileSync('tar', ['tz'], { input: bytes }).toString().trim().split('\n')
    expect(names).toEqual([
      'vomses',
      'vomsdir/cms/tts.example.org.lsc',
      'vomsdir/vo.example.org/tts.example.org.lsc',
    ])
  })

  test('without VOMS servers there is no vomses', async () => {
    await run({ voms: { ...voms, listen: undefined } }, path('quiet'))
    expect(() => statSync(path('quiet/vomses'))).toThrow('ENOENT')
    expect(statSync(path('quiet/vomsdir/cms/tts.example.org.lsc')).isFile()).toBe(true)
  })

  test('without VOs it says what to do', async () => {
    const { code, notes } = await run({}, path('none'))
    expect(notes).toContain('no VO is configured')
    expect(notes).toContain('Add VOs to the section voms.vos')
    expect(code).toBe(2)
  })

  test.for<readonly [string, object, string | RegExp]>([
    ['an unknown provider', { vos: { cms: { provider: 'x', port: 1 } } }, 'voms.vos.cms.provider'],
    [
      'a hostile name',
      { vos: { '../cms': { provider: 'iam', port: 1 } } },
      'must be 1 to 63 letters',
    ],
    [
      'two VOs on one port',
      { vos: { a: { provider: 'iam', port: 1 }, b: { provider: 'iam', port: 1 } } },
      'voms.vos.b.port: found 1; must be another than that of a',
    ],
    [
      'an FQAN of another VO',
      { vos: { a: { provider: 'iam', port: 1, fqans: [{ group: 'b', fqan: '/b' }] } } },
      /voms\.vos\.a\.fqans\.0\.fqan: found "?\/b"?; must begin with \/a/,
    ],
    [
      'a role for all groups below',
      { vos: { a: { provider: 'iam', port: 1, fqans: [{ group: 'b/*', fqan: '/a/Role=x/*' }] } } },
      'must be an FQAN such as',
    ],
    [
      'only one /*',
      { vos: { a: { provider: 'iam', port: 1, fqans: [{ group: 'b/*', fqan: '/a' }] } } },
      'must end in /* exactly if the group does',
    ],
    ['a bad host', { host: 'TTS.example.org', vos }, 'must be a DNS name in lower case'],
    ['no host', { host: undefined, vos }, /voms\.host: .*must be set, because listen\.public_url/],
  ])('%s is a wrong configuration', async ([, changes, says]) => {
    const { code, notes } = await run({ voms: { ...voms, ...changes } }, path('bad'))
    expect(notes).toEqual(expect.stringMatching(typeof says === 'string' ? escaped(says) : says))
    expect(code).toBe(2)
  })
})

const escaped = (text: string): string => text.replace(/[.*/]/g, '\\$&')
