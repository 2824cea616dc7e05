/**
 * The way back: the holder of a proxy gets an access token, over real TLS, and programs of others verify it: the
 * SciTokens library and XRootD, which fetch the keys themselves.
 */
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { Agent, request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRemoteJWKSet, customFetch, decodeJwt, jwtVerify } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { getProxy, signedFields, type TestProxy } from '../api/oauth/proxy-support.ts'
import { FORM } from '../api/oauth/support.ts'
import { quick } from '../api/support.ts'
import { freePort } from '../support/free-port.ts'
import { describeWithTools, runTool } from '../support/grid-tools.ts'
import { makePrivateCa, type PrivateCa } from '../support/private-ca.ts'
import { startTestService, type TestService } from '../support/service.ts'
import {
  mayTrustOthers,
  startTokenStorage,
  type TokenStorage,
  tokenStoragePackages,
  trustingOnly,
} from '../support/token-storage.ts'

const STORAGE = 'https://storage.example.org'
const READ = 'storage.read:/cms'
let directory = ''
let privateCa: PrivateCa
let service: TestService
let issuer = ''
let key: KeyObject
let proxy: TestProxy

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tts-access-tokens-'))
  privateCa = makePrivateCa(directory)
  const { certFile, keyFile } = privateCa.issue('localhost')
  const port = await freePort()
  issuer = `https://localhost:${port}/`
  service = await startTestService({
    // fetch, which waits for readiness, does not know the CA.
    awaitReady: false,
    configuration: {
      ...quick.configuration,
      listen: {
        port,
        public_url: issuer,
        tls_certificate_file: certFile,
        tls_key_file: keyFile,
      },
      access_tokens: { enabled: true, audiences: [STORAGE], scopes: [READ, 'storage.read:/atlas'] },
    },
  })
  key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
  proxy = await getProxy({ url: issuer.slice(0, -1) }, { token: service.token(), key, send })
})
afterAll(async () => {
  await service.stop()
  await rm(directory, { recursive: true, force: true })
})

/** As fetch, with the private CA, and with a client certificate if `certificate` is given. */
async function send(
  url: string | URL,
  init: RequestInit & { readonly certificate?: string } = {},
): Promise<Response> {
  const ca = await readFile(privateCa.file)
  const client =
    init.certificate === undefined
      ? {}
      : { cert: init.certificate, key: key.export({ type: 'pkcs8', format: 'pem' }) }
  return new Promise((resolve, reject) => {
    const headers = Object.fromEntries(new Headers(init.headers))
    const options = { method: init.method ?? 'GET', headers, ca, agent: new Agent(), ...client }
    const sent = httpsRequest(new URL(url), options, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (part: string) => {
        text += part
      })
      answer.once('end', () => {
        const known = Object.entries(answer.headers).map(([name, value]): [string, string] => [
          name,
          String(value),
        ])
        resolve(new Response(text, { status: answer.statusCode ?? 0, headers: known }))
      })
      answer.once('error', reject)
    })
    sent.once('error', reject)
    sent.end(init.body)
  })
}

async function post(
  fields: [string, string][],
  certificate?: string,
): Promise<Record<string, unknown>> {
  const answer = await send(`${issuer}oauth2/token`, {
    method: 'POST',
    headers: { 'content-type': FORM },
    body: new URLSearchParams(fields).toString(),
    ...(certificate === undefined ? {} : { certificate }),
  })
  return (await answer.json()) as Record<string, unknown>
}

/** A token for a signed request. */
async function tokenFor(scope: string): Promise<string> {
  const answer = await post(signedFields(proxy, { audiences: [STORAGE], scope }))
  expect(answer, JSON.stringify(answer)).toMatchObject({ token_type: 'Bearer', scope })
  return String(answer['access_token'])
}

test('jose: the keys are where discovery says', async () => {
  const discovery = await send(`${issuer}.well-known/openid-configuration`)
  const metadata = (await discovery.json()) as { issuer: string; jwks_uri: string }
  expect(metadata.issuer).toBe(issuer)
  const keys = createRemoteJWKSet(new URL(metadata.jwks_uri), {
    [customFetch]: (url: string) => send(url),
  })
  const { payload } = await jwtVerify(await tokenFor(READ), keys, { issuer, audience: STORAGE })
  expect(payload).toMatchObject({ 'wlcg.ver': '1.0', scope: READ })
})

describe('the proxy as TLS client certificate', () => {
  const unsigned = () =>
    signedFields(proxy, { audiences: [STORAGE] }).filter(
      ([name]) => !['at', 'signature'].includes(name),
    )

  test('is proof enough', async () => {
    expect(await post(unsigned(), proxy.chain)).toMatchObject({ token_type: 'Bearer' })
  })

  test('proves nothing for another proxy', async () => {
    const other = await getProxy(
      { url: issuer.slice(0, -1) },
      { token: service.token(), key, send },
    )
    expect(await post(unsigned(), other.chain)).toMatchObject({
      error: 'invalid_request',
      check: 'possession',
    })
  })

  test('without one, a signature is needed', async () => {
    expect(await post(unsigned())).toMatchObject({ error: 'invalid_request', check: 'possession' })
  })
})

describeWithTools('the commands of docs/command-line.md', ['openssl', 'curl', 'jq'], () => {
  test('get a token for a proxy file', async () => {
    const documentation = await readFile(
      new URL('../../docs/command-line.md', import.meta.url),
      'utf8',
    )
    const [commands = ''] = documentation
      .split('```')
      .filter((part) => part.startsWith('sh\n') && part.includes('tts access token v1'))
    const home = await mkdtemp(join(directory, 'home-'))
    const [first, ...above] = proxy.chain.split(/(?<=-----END CERTIFICATE-----\n)/)
    const pem = key.export({ type: 'pkcs8', format: 'pem' }).toString()
    await writeFile(join(home, 'gwms_proxy'), [first, pem, ...above].join(''), { mode: 0o600 })
    const script = commands.slice(3).replaceAll('https://tts.example.org/', issuer)
    const { output, status } = await runTool('sh', ['-c', `cd ${home}\n${script}`], {
      CURL_CA_BUNDLE: privateCa.file,
    })
    expect(status, output).toBe(0)
    expect(decodeJwt(output.trim())).toMatchObject({ aud: STORAGE, scope: READ })
  })
})

const packages = mayTrustOthers() ? tokenStoragePackages : [...tokenStoragePackages, 'bubblewrap']
describeWithTools('programs of others', packages, () => {
  let storage: TokenStorage
  beforeAll(async () => {
    storage = await startTokenStorage({ issuer, audience: STORAGE, bundle: privateCa.file })
  })
  afterAll(async () => storage.close())

  const verify = (token: string) => {
    const words = ['-p', 'wlcg', token] as const
    const [program, ...args] = trustingOnly(privateCa.file, ['scitokens-verify', ...words])
    return runTool(program, args, { XDG_CACHE_HOME: directory })
  }

  test('scitokens-verify accepts a token, and none that was changed', async () => {
    const token = await tokenFor(READ)
    const accepted = await verify(token)
    expect(accepted.output).toMatch(/Token deserialization successful/)
    expect(accepted.status).toBe(0)
    const [header, , signature] = token.split('.')
    const claims = Buffer.from(JSON.stringify({ 'wlcg.ver': '1.0', iss: issuer, sub: 'x' }))
    const forged = await verify(`${header}.${claims.toString('base64url')}.${signature}`)
    expect(forged.status).not.toBe(0)
  })

  test('XRootD lets the holder of the token read, and nobody else', async () => {
    const read = await storage.read(await tokenFor(READ))
    expect(read.output, storage.output()).toContain(storage.content.trim())
    const bad = {
      none: undefined,
      'of another directory': await tokenFor('storage.read:/atlas'),
      'without that scope': await tokenFor('wlcg.groups'),
      forged: `${(await tokenFor(READ)).slice(0, -10)}AAAAAAAAAA`,
    }
    for (const [name, token] of Object.entries(bad)) {
      const refused = await storage.read(token)
      expect(refused.status, name).not.toBe(0)
      expect(refused.output, name).not.toContain(storage.content.trim())
    }
  })
})
