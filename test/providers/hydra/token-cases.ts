/** Every kind of token that Hydra issues, at the service; and what `tts provider probe` and `tts check` say of it. */
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import type { Hydra } from '../../support/hydra.ts'
import { AUDIENCE } from '../../support/service.ts'
import { runTts } from '../../support/terminal.ts'
import { postForm } from '../../support/token-forms.ts'
import { ask } from '../requests.ts'
import {
  clientToken,
  introspect,
  introspectionUrl,
  issued,
  logIn,
  providerSettings,
  useService,
} from './support.ts'

interface Row {
  readonly name: string
  readonly token: (hydra: Hydra) => Promise<string>
  readonly answer: { readonly status: number; readonly [member: string]: unknown }
}

const refused = (check: string, detail: string) => ({ status: 401, check, detail })
const NO_AUDIENCE = `the token has no audience; the client must request one with the token: ${AUDIENCE}`

/** Tokens at a service with the settings of the document. */
export const tokenRows: readonly Row[] = [
  {
    name: 'an opaque access token',
    token: async (hydra) => (await logIn(hydra)).access_token,
    answer: issued,
  },
  {
    name: 'a JWT access token',
    token: async (hydra) => (await logIn(hydra, 'jwt')).access_token,
    answer: issued,
  },
  {
    name: 'an opaque token without our audience',
    token: async (hydra) => (await logIn(hydra, 'opaque', {})).access_token,
    answer: refused('audience', NO_AUDIENCE),
  },
  {
    name: 'a JWT without our audience',
    token: async (hydra) => (await logIn(hydra, 'jwt', {})).access_token,
    answer: refused('audience', NO_AUDIENCE),
  },
  {
    name: 'a JWT whose client requested it as resource (RFC 8707)',
    token: async (hydra) => (await logIn(hydra, 'jwt', { resource: AUDIENCE })).access_token,
    answer: refused('audience', NO_AUDIENCE),
  },
  {
    name: 'an ID token',
    token: async (hydra) => (await logIn(hydra)).id_token,
    answer: refused(
      'type',
      'this does not seem to be an access token: it looks like an ID token (claim at_hash)',
    ),
  },
  {
    name: 'a refresh token',
    token: async (hydra) => (await logIn(hydra)).refresh_token,
    answer: refused('type', 'this is not an access token but a refresh token (claim token_use)'),
  },
  {
    name: 'an opaque token of a client',
    token: (hydra) => clientToken(hydra, 'opaque-client'),
    answer: refused('user', 'the token is of a client, not of a user'),
  },
  {
    name: 'a JWT of a client',
    token: (hydra) => clientToken(hydra, 'jwt-client'),
    answer: refused('user', 'the token is of a client, not of a user'),
  },
  {
    name: 'a token that Hydra does not know',
    token: async () => 'ory_at_unknown.unknown',
    answer: refused(
      'active',
      'the token is not active at any provider: unknown, expired or revoked',
    ),
  },
]

export function tokenCases(hydra: () => Hydra): void {
  describe('tokens', () => {
    const service = useService(hydra)
    const byPath = useService(hydra, {
      provider: { claims: {} },
      rule: { 'ext.groups': { contains: 'cms' } },
    })
    const rotating = useService(hydra, { provider: { jwks_cooldown_seconds: 1 } })
    const withClients = useService(hydra, {
      provider: { allow_client_tokens: true },
      rule: { sub: { equals: 'jwt-client' } },
    })

    test.for(tokenRows)('$name', async ({ token, answer }) => {
      expect(await ask(service(), await token(hydra()))).toMatchObject(answer)
    })

    test('a user without the group', async () => {
      hydra().app.claims = { groups: ['atlas'] }
      try {
        for (const client of ['opaque', 'jwt'])
          expect(await ask(service(), (await logIn(hydra(), client)).access_token)).toMatchObject({
            status: 403,
            check: 'authorisation',
          })
      } finally {
        hydra().app.claims = { groups: ['cms'] }
      }
    })

    test('a rule that names ext.groups, without claims.groups', async () => {
      for (const client of ['opaque', 'jwt'])
        expect(await ask(byPath(), (await logIn(hydra(), client)).access_token)).toMatchObject(
          issued,
        )
    })

    test('a client, with allow_client_tokens', async () => {
      expect(await ask(withClients(), await clientToken(hydra(), 'jwt-client'))).toMatchObject(
        issued,
      )
      expect(await ask(withClients(), await clientToken(hydra(), 'opaque-client'))).toMatchObject({
        status: 403,
        check: 'authorisation',
      })
    })

    test('a new key: its tokens and those of the old key are accepted', async () => {
      const old = (await logIn(hydra(), 'jwt')).access_token
      await hydra().admin('POST', '/keys/hydra.jwt.access-token', { alg: 'RS256', use: 'sig' })
      const { access_token } = await logIn(hydra(), 'jwt')
      expect(keyOf(access_token)).not.toBe(keyOf(old))
      const request = async () => (await ask(rotating(), access_token)).status
      // 503 for the rest of the second.
      await expect.poll(request).toBe(200)
      expect(await ask(rotating(), old)).toMatchObject(issued)
    })

    test('introspection on the administration port asks for no authentication', async () => {
      const { access_token } = await logIn(hydra())
      const own = await introspect(hydra(), access_token)
      const url = introspectionUrl(hydra())
      const byAnybody = await postForm(
        url,
        { token: access_token },
        { id: 'anybody', secret: 'anything' },
      )
      expect(own).toMatchObject({ active: true, token_use: 'access_token', token_type: 'Bearer' })
      expect(byAnybody.body).toEqual(own)
      expect(await fetch(`${hydra().issuer}/oauth2/introspect`, { method: 'POST' })).toMatchObject({
        status: 404,
      })
    })
  })

  describe('commands', () => {
    const service = useService(hydra)
    const run = async (words: readonly string[], token: string) => {
      const { out, notes, code } = await runTts(words, { environment: { BEARER_TOKEN: token } })
      expect(out + notes).not.toContain(token)
      return { code, out: out + notes }
    }
    const probe = (words: readonly string[], token: string) =>
      run(['provider', 'probe', hydra().issuer, '--token', ...words], token)

    test('tts provider probe: a JWT', async () => {
      const { code, out } = await probe([], (await logIn(hydra(), 'jwt')).access_token)
      expect(code).toBe(0)
      expect(out).toMatch(/^looks like +: hydra$/m)
      expect(out).toMatch(/^token +: a JWT, an access token by its claims client_id/m)
      expect(out).toMatch(/^ext.groups +: cms$/m)
      const printed = settingsIn(out)
      expect(printed.providers.hydra).toEqual({
        issuer: hydra().issuer,
        profile: 'hydra',
        audiences: [AUDIENCE],
      })
      expect(printed.services.proxy.authz.allow).toEqual([
        { provider: 'hydra', claims: { 'ext.groups': { contains: 'cms' } } },
      ])
      expect(out).toContain('- There is no device_authorization_endpoint')
    })

    test('tts provider probe: an opaque token', async () => {
      const { access_token } = await logIn(hydra())
      const blind = await probe([], access_token)
      expect(blind.out).toMatch(/^token +: opaque, an access token by UserInfo$/m)
      expect(blind.out).toMatch(/^- .*Give --introspection-endpoint to get these settings\.$/m)
      const { code, out } = await probe(
        ['--introspection-endpoint', introspectionUrl(hydra())],
        access_token,
      )
      expect(code).toBe(0)
      expect(out).toMatch(/^token +: opaque, an access token by its claim token_use$/m)
      expect(out).toMatch(/^ext.groups +: cms$/m)
      const { claims: _claims, ...fromDocument } = providerSettings(hydra())
      expect(settingsIn(out).providers.hydra).toEqual(fromDocument)
    })

    test.for(['opaque', 'jwt'])('tts check --token: %s', async (client) => {
      const { access_token } = await logIn(hydra(), client)
      const { code, out } = await run(
        ['check', '--config', join(service().directory, 'tts.yaml'), '--token'],
        access_token,
      )
      expect(out).toMatch(/^ok +provider hydra introspection: the provider accepts our client$/m)
      expect(out).toMatch(/^ok +token for service proxy: allow rule 0 allows the user$/m)
      expect({ code, failed: /^failed/m.test(out) }).toEqual({ code: 0, failed: false })
    })
  })
}

interface PrintedSettings {
  readonly providers: { readonly hydra: object }
  readonly services: { readonly proxy: { readonly authz: { readonly allow: readonly unknown[] } } }
}

const settingsIn = (out: string): PrintedSettings =>
  parse(out.slice(out.indexOf('providers:'), out.indexOf('\nTo do:'))) as PrintedSettings

/** The key of a JWT by its header. */
const keyOf = (token: string): unknown =>
  (
    JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()) as {
      readonly kid: unknown
    }
  ).kid
