/** Generic OAuth libraries get a proxy by token exchange, and OpenSSL verifies it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as oauth from 'openid-client'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createCsr } from '../../../ca/csr.ts'
import { readCertificate } from '../../../ca/certificate.ts'
import { createSigner, generatePrivateKey } from '../../../ca/key.ts'
import { parseProxyFile } from '../../../ca/proxy-file.ts'
import {
  ACCESS_TOKEN,
  TOKEN_EXCHANGE,
  CERTIFICATE_TOKEN_TYPE,
  PROXY_TOKEN_TYPE,
} from '../../../src/api/oauth/token-types.ts'
import { serverMetadata } from '../../../src/api/oauth/server-metadata.ts'
import { obtainAccessToken } from '../../../demo/user-agent.ts'
import { AUDIENCE, useTestService } from '../../support/service.ts'
import { describeWithTools } from '../../support/grid-tools.ts'
import { opensslRefusal } from '../../support/openssl.ts'
import { derOf, quick } from '../support.ts'

const PUBLIC_URL = 'https://www.example.org/tts'
const WELL_KNOWN = '/.well-known/oauth-authorization-server'
const service = useTestService({
  // The groups, by which the service decides, are in the tokens of a login.
  identityProvider: { tokens: { includeAuthnInfo: true } },
  configuration: { ...quick.configuration, listen: { port: 0, public_url: PUBLIC_URL } },
})

/** A key of the client's own, of the kind that grid tools need. */
const makeCsr = async () => createCsr([], createSigner(await generatePrivateKey('rsa-2048')))

/** A token from a login at the provider, as a client has it. */
async function logIn(): Promise<string> {
  const { issuer, clients } = service().provider
  const { clientId } = clients.cli
  const tokens = await obtainAccessToken({
    issuer,
    clientId,
    username: 'alice',
    audience: AUDIENCE,
  })
  return tokens.access_token
}

/** What OpenSSL says of a proxy from a PEM: undefined when it accepts. */
async function refusalOf(pem: string): Promise<string | undefined> {
  const [leaf, ...untrusted] = parseProxyFile(pem).certificates
  const root = await (await fetch(`${service().url}/ca/ca.pem`)).text()
  const anchors = [readCertificate(derOf(root))]
  return opensslRefusal({ leaf: leaf!, untrusted, anchors, now: new Date() })
}

describe('openid-client', () => {
  /** Discovers the service by its metadata; requests for the public URL go to the test's service. */
  async function discover(): Promise<oauth.Configuration> {
    const toService: oauth.CustomFetch = async (url, options) => {
      const { pathname } = new URL(url)
      const path = pathname.endsWith('/oauth2/token') ? pathname.replace(/^\/tts/, '') : pathname
      return fetch(`${service().url}${path}`, options as RequestInit)
    }
    return oauth.discovery(new URL(PUBLIC_URL), 'any-client', undefined, oauth.None(), {
      algorithm: 'oauth2',
      [oauth.customFetch]: toService,
    })
  }
  const exchange = async (parameters: Record<string, string>) =>
    oauth.genericGrantRequest(await discover(), TOKEN_EXCHANGE, {
      subject_token_type: ACCESS_TOKEN,
      ...parameters,
    })

  test('gets a proxy', async () => {
    const answer = await exchange({
      subject_token: await logIn(),
      requested_token_type: PROXY_TOKEN_TYPE,
      csr: await makeCsr(),
      lifetime_seconds: '3600',
    })
    expect(answer).toMatchObject({ token_type: 'n_a', issued_token_type: PROXY_TOKEN_TYPE })
    expect(answer.expiresIn()).toBeGreaterThan(3500)
    expect(await refusalOf(answer.access_token)).toBeUndefined()
  })

  test('gets a certificate', async () => {
    const answer = await exchange({
      subject_token: await logIn(),
      requested_token_type: CERTIFICATE_TOKEN_TYPE,
      csr: await makeCsr(),
    })
    expect(answer).toMatchObject({ issued_token_type: CERTIFICATE_TOKEN_TYPE })
    expect(answer.access_token).toMatch(/^-----BEGIN CERTIFICATE-----/)
  })

  test('reads the reason of a refusal', async () => {
    await expect(
      exchange({ subject_token: service().token('alice', { exp: 1 }) }),
    ).rejects.toMatchObject({
      error: 'invalid_request',
      error_description: 'the token has expired',
      status: 400,
    })
    await expect(
      exchange({ subject_token: service().token(), audience: 'https://storage.example.org' }),
    ).rejects.toMatchObject({ error: 'invalid_target' })
  })
})

describe('the metadata: RFC 8414', () => {
  test.for([WELL_KNOWN, `${WELL_KNOWN}/tts`])('%s', async (path) => {
    const response = await fetch(`${service().url}${path}`)
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8')
    expect(await response.json()).toEqual({
      issuer: PUBLIC_URL,
      token_endpoint: `${PUBLIC_URL}/oauth2/token`,
      response_types_supported: [],
      grant_types_supported: [TOKEN_EXCHANGE],
      token_endpoint_auth_methods_supported: ['none'],
      tts_subject_token_types_supported: [ACCESS_TOKEN, 'urn:ietf:params:oauth:token-type:jwt'],
      tts_requested_token_types_supported: [PROXY_TOKEN_TYPE, CERTIFICATE_TOKEN_TYPE],
    })
  })

  test('a public URL with a slash at its end keeps it as issuer', () => {
    expect(serverMetadata('https://tts.example.org/', { accessTokens: false })).toMatchObject({
      issuer: 'https://tts.example.org/',
      token_endpoint: 'https://tts.example.org/oauth2/token',
    })
  })

  test('other paths are not found, other methods refused; OpenAPI and metrics name it', async () => {
    expect((await fetch(`${service().url}${WELL_KNOWN}/else`)).status).toBe(404)
    const posted = await fetch(`${service().url}${WELL_KNOWN}`, { method: 'POST' })
    expect([posted.status, posted.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
    expect(await (await fetch(`${service().url}/openapi.json`)).json()).toMatchObject({
      paths: { [WELL_KNOWN]: { get: {} }, '/oauth2/token': { post: {} } },
    })
    expect(await (await fetch(`${service().url}/metrics`)).text()).toContain(
      `route="${WELL_KNOWN}"`,
    )
  })
})

describeWithTools('authlib', ['python3-authlib', 'python3-requests'], () => {
  const script = join(import.meta.dirname, 'fixtures/exchange.py')
  /** Debian's own Python has the modules of Debian's packages. */
  const python = '/usr/bin/python3'

  /** Runs the script; the token goes through standard input, because arguments are public. */
  async function exchange(token: string): Promise<Record<string, unknown>> {
    const directory = await mkdtemp(join(tmpdir(), 'tts-authlib-'))
    onTestFinished(async () => rm(directory, { recursive: true, force: true }))
    const csrPath = join(directory, 'csr.pem')
    await writeFile(csrPath, await makeCsr())
    const child = spawn(
      python,
      [script, `${service().url}/oauth2/token`, PROXY_TOKEN_TYPE, csrPath],
      {
        env: { PATH: '/usr/bin:/bin', HOME: '/nonexistent', AUTHLIB_INSECURE_TRANSPORT: '1' },
        stdio: ['pipe', 'pipe', 'pipe'],
        timeout: 20_000,
      },
    )
    let output = ''
    let errors = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text
    })
    child.stdin.end(token)
    const [code] = (await once(child, 'close')) as [number | null]
    expect(code, errors).toBe(0)
    return JSON.parse(output) as Record<string, unknown>
  }

  test('gets a proxy', async () => {
    const answer = await exchange(await logIn())
    expect(answer).toMatchObject({ token_type: 'N_A', issued_token_type: PROXY_TOKEN_TYPE })
    expect(await refusalOf(String(answer['access_token']))).toBeUndefined()
  })

  test('reads the reason of a refusal', async () => {
    expect(await exchange(service().token('bob'))).toEqual({
      error: 'invalid_request',
      error_description: 'no rule of this service allows this user (claims checked: groups)',
    })
  })
})
