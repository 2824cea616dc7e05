/** Services that trust a real Hydra, and requests to them. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import type { Hydra } from '../../support/hydra.ts'
import { AUDIENCE, everyRefusalRecorded, serveIn, waitUntilReady } from '../../support/service.ts'
import { type FormAnswer, postForm } from '../../support/token-forms.ts'

export interface HydraService {
  readonly url: string
  readonly directory: string
}

/** Settings of the provider that accept opaque access tokens and JWTs. */
export const providerSettings = (hydra: Hydra): Record<string, unknown> => ({
  issuer: hydra.issuer,
  profile: 'hydra',
  audiences: [AUDIENCE],
  client_id: 'tts',
  client_authentication: 'none',
  login: { enabled: false },
  introspect: 'opaque',
  endpoints: { introspection: introspectionUrl(hydra) },
  claims: { groups: 'ext.groups' },
})

export const introspectionUrl = ({ adminUrl }: Hydra): string =>
  `${adminUrl}/admin/oauth2/introspect`

interface ServiceOptions {
  /** Changes of the settings of the provider. */
  readonly provider?: Readonly<Record<string, unknown>>
  /** Claims that the rule requires. Default: the group `cms`. */
  readonly rule?: Readonly<Record<string, unknown>>
}

/** A service of the block's own. */
export function useService(
  hydra: () => Hydra,
  { provider = {}, rule = { groups: { contains: 'cms' } } }: ServiceOptions = {},
): () => HydraService {
  let service: HydraService | undefined
  let stop: () => Promise<void> = async () => undefined
  beforeAll(async () => {
    const directory = await mkdtemp(join(tmpdir(), 'tts-hydra-service-'))
    const remove = (): Promise<void> => rm(directory, { recursive: true, force: true })
    stop = remove
    const { running } = await serveIn(directory, {
      listen: { port: 0 },
      ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' },
      providers: { hydra: { ...providerSettings(hydra()), ...provider } },
      services: { proxy: { authz: { allow: [{ provider: 'hydra', claims: rule }] } } },
      limits: { key_pool_size: 0, ...everyRefusalRecorded },
    })
    stop = async () => {
      await running.stop()
      await remove()
    }
    await waitUntilReady(running.url)
    service = { url: running.url, directory }
  })
  afterAll(() => stop())
  return () => {
    if (service === undefined) throw new Error('the service has not started yet')
    return service
  }
}

export const issued = {
  status: 200,
  text: expect.stringContaining('BEGIN CERTIFICATE') as string,
}

export const SECRET = randomBytes(18).toString('base64url')

/** The clients of the cases. All may request our audience, unless they say otherwise. */
const clients: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  opaque: {},
  jwt: { access_token_strategy: 'jwt' },
  'without-audience': { audience: [] },
  'opaque-client': {
    client_secret: SECRET,
    token_endpoint_auth_method: 'client_secret_basic',
    grant_types: ['client_credentials'],
  },
  'jwt-client': {
    client_secret: SECRET,
    token_endpoint_auth_method: 'client_secret_basic',
    grant_types: ['client_credentials'],
    access_token_strategy: 'jwt',
  },
}

export async function createClients(hydra: Hydra): Promise<void> {
  for (const [id, settings] of Object.entries(clients))
    await hydra.createClient(id, { audience: [AUDIENCE], ...settings })
}

/** Logs alice in for our audience. Returns the answer of the token endpoint; throws if Hydra refuses. */
export async function logIn(
  hydra: Hydra,
  client = 'opaque',
  form: Readonly<Record<string, string>> = { audience: AUDIENCE },
): Promise<Readonly<Record<'access_token' | 'refresh_token' | 'id_token', string>>> {
  const { body } = await hydra.logIn({ client, form })
  const { access_token, refresh_token, id_token } = body
  if (access_token === undefined || refresh_token === undefined || id_token === undefined)
    throw new Error(JSON.stringify(body))
  return { access_token, refresh_token, id_token }
}

/** An access token for our audience of a client itself. */
export async function clientToken(hydra: Hydra, client: string): Promise<string> {
  const form = { grant_type: 'client_credentials', audience: AUDIENCE }
  return (await hydra.token(form, { id: client, secret: SECRET })).body.access_token ?? ''
}

export const refresh = (hydra: Hydra, refreshToken = '', client = 'opaque'): Promise<FormAnswer> =>
  hydra.token({ grant_type: 'refresh_token', refresh_token: refreshToken, client_id: client })

/** What the administration port says about a token. */
export const introspect = async (hydra: Hydra, token: string) =>
  (await postForm(introspectionUrl(hydra), { token })).body
