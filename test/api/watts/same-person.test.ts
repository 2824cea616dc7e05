/** A person whom WaTTS gave an account stays the same person to a plugin that keeps accounts by `watts_userid`. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { useTestService } from '../../support/service.ts'
import { runTts } from '../../support/terminal.ts'
import { ask } from '../support.ts'
import { errorText, executable, obtain, program, remove, wattsService } from './support.ts'

const directory = mkdtempSync(join(tmpdir(), 'tts-test-person-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))
const mapfile = join(directory, 'map')

const service = useTestService(
  wattsService({
    account: executable(program('mapfile.py'), { conf_params: { mapfile } }),
    asked: executable(program('account.py')),
  }),
)
const tts = (...words: string[]) =>
  runTts(['--config', join(service().directory, 'tts.yaml'), ...words])

/** The id as WaTTS made it of an issuer with a slash at its end: its JSON library escaped every slash. */
function idOfWatts(issuer: string, sub: string): string {
  const json = `{"issuer":"${issuer.replaceAll('/', '\\/')}","subject":"${sub}"}`
  return Buffer.from(json).toString('base64url')
}

beforeEach(() => {
  const { issuer } = service().provider
  expect(issuer).toMatch(/\/$/)
  const { sub } = service().provider.user('alice')
  writeFileSync(mapfile, `${idOfWatts(issuer, sub)} alice17\n`)
})

const accountOf = async (): Promise<string | undefined> =>
  (await obtain(service(), { service: 'account' })).entries[0]?.value

test('gets the account that she had in WaTTS', async () => {
  expect(await accountOf()).toBe('alice17')
  expect(readFileSync(mapfile, 'utf8').trim().split('\n')).toHaveLength(1)
})

test('whether her token has the slash of the issuer or not', async () => {
  service().provider.tokens.issuerSlash = false
  try {
    expect(await accountOf()).toBe('alice17')
  } finally {
    service().provider.tokens.issuerSlash = true
  }
})

test('may delete it by the WaTTS API and by ours, and so may the operator, who has no token', async () => {
  const [one, two, three] = [
    await obtain(service(), { service: 'account' }),
    await obtain(service(), { service: 'account' }),
    await obtain(service(), { service: 'account' }),
  ]
  expect((await remove(service(), one.id)).json()).toEqual({ result: 'ok' })
  const native = await ask(service(), `/v1/credentials/${two.id}`, { method: 'DELETE' })
  expect(await native.json()).toMatchObject({ newly_revoked: true })
  expect(await tts('credential', 'revoke', three.id)).toMatchObject({ code: 0 })
})

test('of another account the plugin says so: the proof that it looks', async () => {
  const { id } = await obtain(service(), { service: 'account' })
  writeFileSync(mapfile, '')
  expect(errorText(await remove(service(), id), 500)).toBe('who are you?')
})

test('`tts plugin test` sends what the service sends, but for the claims', async () => {
  const { issuer } = service().provider
  const { sub } = service().provider.user('alice')
  const { entries } = await obtain(service(), { service: 'asked' })
  const { code, out } = await tts(
    ...`--json plugin test --request --issuer ${issuer} --sub ${sub}`.split(' '),
    program('account.py'),
  )
  expect(code, out).toBe(1) // It has an entry of an unknown type.
  const { answers } = JSON.parse(out) as {
    answers: { request: { credential: { name: string; value: [string] }[] } }
  }
  const [text = ''] = answers.request.credential.find(({ name }) => name === 'Asked')?.value ?? []
  const [tested, sent] = [text, entries.find(({ name }) => name === 'Asked')?.value ?? ''].map(
    (json) => JSON.parse(json) as { user_info: Record<string, unknown> },
  )
  expect(Object.keys(tested ?? {})).toEqual(Object.keys(sent ?? {}))
  const { iss, sub: subject } = sent?.user_info ?? {}
  expect(tested?.user_info).toMatchObject({ iss, sub: subject })
  expect({ ...tested, user_info: 0 }).toEqual({ ...sent, user_info: 0 })
})

test('is the same person to `tts plugin test`', async () => {
  const { issuer } = service().provider
  const { sub } = service().provider.user('alice')
  const { code, out } = await tts(
    ...`--json plugin test --request --issuer ${issuer} --sub ${sub} --conf`.split(' '),
    `mapfile=${mapfile}`,
    program('mapfile.py'),
  )
  expect(code, out).toBe(0)
  const { answers, checks } = JSON.parse(out) as {
    answers: { request: { credential: { value: string }[] } }
    checks: { check: string; detail: string }[]
  }
  expect(answers.request.credential[0]?.value).toBe('alice17')
  expect(checks.find(({ check }) => check === 'watts_userid')?.detail).toBe(idOfWatts(issuer, sub))
})
