import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { loadConfiguration } from '../../src/config/load.ts'
import { delegationBounds } from '../../src/service/compose-delegations.ts'
import { TtsError } from '../../src/base/errors.ts'

const directory = mkdtempSync(join(tmpdir(), 'tts-delegation-settings-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

function file(name: string, text: string, mode = 0o600): string {
  const path = join(directory, name)
  writeFileSync(path, text, { mode })
  return path
}

const load = (provider: object, delegations: object = {}, environment = {}) =>
  loadConfiguration(
    file(
      'tts.yaml',
      stringify({
        providers: {
          iam: {
            issuer: 'https://iam.example.org/',
            audiences: ['https://tts.example.org'],
            ...provider,
          },
        },
        delegations,
      }),
    ),
    environment,
  )

const own = { client_id: 'tts', client_secret: 'hush' }

test('the defaults', async () => {
  const { configuration } = await load({ ...own, delegation: {} })
  expect(configuration.providers['iam']?.delegation).toEqual({
    scopes: ['openid', 'profile', 'offline_access'],
    refresh_token_lifetime_days: 30,
    timeout_seconds: 45,
  })
  expect(configuration.delegations).toEqual({
    maximum_per_identity: 20,
    maximum_days: 365,
    notice: { days_before: 5 },
    renewal_by_possession: { enabled: false, maximum_days: 30 },
  })
  const bounds = delegationBounds(configuration)
  expect([bounds.maximumDays, bounds.lifetimeDays('iam'), bounds.lifetimeDays('x')]).toEqual([
    365,
    30,
    undefined,
  ])
})

test('secrets come from files, and by the environment', async () => {
  const secret = file('secret', 'of-the-file\n')
  const url = file('webhook', 'https://hooks.example.org/T000/B000?key=1\n')
  const { configuration } = await load(
    { delegation: { client_id: 'other', client_secret_file: secret } },
    { notice: { webhook_url_file: url } },
    { TTS_DELEGATIONS__NOTICE__COMMAND: '[/bin/tell, it]' },
  )
  expect(configuration.providers['iam']?.delegation?.client_secret).toBe('of-the-file')
  expect(configuration.delegations.notice).toMatchObject({
    webhook_url: 'https://hooks.example.org/T000/B000?key=1',
    command: ['/bin/tell', 'it'],
  })
  const named = await load(
    { delegation: {}, ...own },
    {},
    {
      TTS_PROVIDERS__IAM__DELEGATION__CLIENT_ID: '007',
      TTS_PROVIDERS__IAM__DELEGATION__CLIENT_SECRET: '1e3',
    },
  )
  expect(named.configuration.providers['iam']?.delegation).toMatchObject({
    client_id: '007',
    client_secret: '1e3',
  })
})

describe('what is refused at the start', () => {
  const cases: readonly (readonly [string, object, object, string])[] = [
    ['no client at all', { delegation: {} }, {}, 'providers.iam.delegation'],
    ['a public client', { client_id: 'tts', delegation: {} }, {}, 'providers.iam.delegation'],
    [
      'an own client without secret',
      { ...own, delegation: { client_id: 'a' } },
      {},
      'providers.iam.delegation',
    ],
    [
      'a secret without client',
      { ...own, delegation: { client_secret: 'very-secret' } },
      {},
      'client_id in addition',
    ],
    ['no scope', { ...own, delegation: { scopes: [] } }, {}, 'scopes'],
    [
      'a command as one text',
      {},
      { notice: { command: 'rm -rf /' } },
      'delegations.notice.command',
    ],
    ['an empty command', {}, { notice: { command: [] } }, 'delegations.notice.command'],
    [
      'a plain webhook',
      {},
      { notice: { webhook_url: 'http://very-secret.example.org/' } },
      'must be an https URL',
    ],
    [
      'a webhook with a password',
      {},
      { notice: { webhook_url: 'https://u:very-secret@example.org/' } },
      'webhook_url',
    ],
    [
      'a webhook that is a file',
      {},
      { notice: { webhook_url: 'file:///very-secret' } },
      'webhook_url',
    ],
    ['days without end', {}, { maximum_days: 1e6 }, 'delegations.maximum_days'],
    ['an unknown key', {}, { notices: {} }, 'delegations.notices'],
  ]
  test.for(cases)('%s', async ([, provider, delegations, words]) => {
    const error: unknown = await load(provider, delegations).catch((failure: unknown) => failure)
    expect(error).toBeInstanceOf(TtsError)
    expect((error as TtsError).code).toBe('configuration')
    expect((error as TtsError).message).toContain(words)
    expect((error as TtsError).message).not.toContain('very-secret')
  })

  test('a secret that others can read, a webhook file with rubbish', async () => {
    const shared = file('shared', 'secret')
    const { chmodSync } = await import('node:fs')
    chmodSync(shared, 0o644)
    await expect(
      load({ delegation: { client_id: 'a', client_secret_file: shared } }),
    ).rejects.toMatchObject({ message: expect.stringContaining('delegation.client_secret_file') })
    await expect(
      load({}, { notice: { webhook_url_file: file('rubbish', 'ftp://very-secret/') } }),
    ).rejects.toMatchObject({
      message: expect.stringContaining('delegations.notice.webhook_url_file'),
    })
  })

  test.for(['http://127.0.0.1:9/x?y=1', 'http://localhost/', 'http://[::1]:8/', 'https://a/b?c=d'])(
    '%s is a webhook',
    async (url) => {
      const { configuration } = await load({}, { notice: { webhook_url: url } })
      expect(configuration.delegations.notice.webhook_url).toBe(url)
    },
  )
})
