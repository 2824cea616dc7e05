/** docs/providers/indigo-iam.md: its configuration and commands, in order, at the development IAM. */
import { expect, test } from 'vitest'
import { SigningKeys } from '../../demo/identity-provider/signing-keys.ts'
import { explanations } from '../../src/grants/refusal-words.ts'
import { answerDevice } from '../support/device-person.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'
import { readDocument, useWorld } from './document.ts'

const { text, blocksUnder } = readDocument('indigo-iam.md')

// At IAM, `iss` in access tokens is usually without the slash of the discovery document.
const provider = useIdentityProvider({
  tokens: { issuerSlash: false, deviceIntervalSeconds: 1 },
})
const world = useWorld(() => {
  const { cli, certcache, tts } = provider().clients
  return {
    addresses: {
      'https://iam.example.org/': provider().issuer,
      'CLIENT-ID-OF-GRID-CLI': cli.clientId,
      'CLIENT-ID-OF-TTS-DELEGATION': certcache.clientId,
      'CLIENT-ID-OF-TTS-SERVICE': tts.clientId,
    },
  }
})

test('at the service: the configuration is in order', async () => {
  const { certcache, tts } = provider().clients
  await world().run(`umask 077
    echo '${certcache.clientSecret}' > delegation-secret
    echo '${tts.clientSecret}' > client-secret`)
  const [configuration, check] = blocksUnder('At the service')
  world().write('tts.yaml', configuration)
  const out = await world().run(check?.code)
  expect(out).toMatch(/profile: indigo-iam/)
  expect(out).toMatch(/^ok {7}provider iam:/m)
  expect(out).toMatch(/^ok {7}provider iam delegation:/m)
  await world().serve()
})

test('tts check finds a wrong client secret', async () => {
  const out = await world().run(`umask 077
    echo wrong > wrong
    ! TTS_PROVIDERS__IAM__DELEGATION__CLIENT_SECRET_FILE=wrong tts check`)
  expect(out).toMatch(/^FAILED {3}provider iam delegation: .* refuses our client/m)
})

test('the first proxy', async () => {
  const [start, get] = blocksUnder('The first proxy')
  const [, userCode = ''] = (await world().run(start?.code)).trim().split('\n')
  await logIn(userCode)
  expect(await world().run(get?.code)).toContain('@iam/CN=')
})

test('a delegation', async () => {
  const [create] = blocksUnder('Without a client: delegations')
  const until = Date.parse((await world().run(create?.code)).trim())
  expect(until).toBeGreaterThan(Date.now() + 29 * 24 * 3_600_000)
})

test('certcache', async () => {
  const [settings, login, refresh] = blocksUnder('For days: certcache')
  world().write('certcache.yaml', settings)
  const running = world().start(login?.code)
  await expect.poll(running.out).toMatch(/^and enter/m)
  const [, userCode = ''] = /^and enter {3}(\S+)$/m.exec(running.out()) ?? []
  await logIn(userCode)
  expect((await running.ended).code).toBe(0)
  expect(await world().run(refresh?.code)).toContain('renewed')
})

test('the web page: the additional configuration is in order', async () => {
  const [first] = blocksUnder('At the service')
  const [more] = blocksUnder('The web page')
  const code = merged(first?.code, more?.code)
  world().write('more.yaml', { language: 'yaml', code })
  const out = await world().run('TTS_CONFIG=more.yaml tts check')
  expect(out).toMatch(/^ok {7}provider iam:/m)
  const checked = 'TTS_CONFIG=more.yaml tts check --token --token-file token'
  expect(await world().run(checked)).toContain('introspect')
})

test('the messages of refused tokens are those that the service sends', async () => {
  const aud = 'https://tts.example.org'
  const tokens = [
    provider().mint(),
    provider().mint({ claims: { aud: 'https://other.example.org' } }),
    // An ID token of a device login, which has neither `auth_time` nor `nonce`.
    provider().mint({ claims: { aud, client_id: undefined, kid: 'rsa1', name: 'Alice' } }),
    await clientToken(aud),
    // The keys were fetched less than 30 seconds ago.
    provider().mint({ claims: { aud }, key: (await SigningKeys.create()).current }),
  ]
  const messages = []
  for (const token of tokens) messages.push(await refusalOf(token))
  const shown = messages.map((message) => `| \`${message.replace(/in \d+ s$/, 'in … s')}\``)
  expect(shown.filter((message) => !text.includes(message))).toEqual([])
})

test('the checks of refused delegations are ours', () => {
  const rows = [...text.matchAll(/^\| `([a-z_]+)`(?: \\\*)? +\|/gm)].map(([, check = '']) => check)
  expect(rows.length).toBeGreaterThan(8)
  expect(rows.filter((check) => !Object.hasOwn(explanations, check))).toEqual([])
})

const logIn = (userCode: string): Promise<string> =>
  answerDevice({ verificationUri: `${provider().issuer}device`, userCode, username: 'alice' })

/** Returns why the service refuses a token. */
async function refusalOf(token: string): Promise<string> {
  const command = `curl -sS -H 'Authorization: Bearer ${token}' --url https://tts.example.org/v1/delegations`
  return (JSON.parse(await world().run(command)) as { readonly detail: string }).detail
}

async function clientToken(audience: string): Promise<string> {
  const { clientId, clientSecret } = provider().clients.worker
  const basic = Buffer.from(`${clientId}:${clientSecret}`).toString('base64')
  const response = await fetch(`${provider().issuer}token`, {
    method: 'POST',
    headers: { authorization: `Basic ${basic}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', audience }),
  })
  return ((await response.json()) as { readonly access_token: string }).access_token
}

/** Inserts the lines of the second block where the first has its lines for the provider. */
function merged(first = '', second = ''): string {
  const [head = '', lines = ''] = second.split('providers:\n  iam:\n')
  return first.replace('providers:\n  iam:\n', `${head}providers:\n  iam:\n${lines}`)
}
