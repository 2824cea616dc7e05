/** A realm of a real Keycloak, set up over the admin REST API as docs/providers/keycloak.md says. */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import type { Keycloak } from './keycloak.ts'
import { accessTokenOf, type FormAnswer, postForm } from './token-forms.ts'
import { AUDIENCE } from './service.ts'

/** A client that authenticates, as `postForm` takes it. */
export interface KeycloakClient {
  readonly id: string
  readonly secret: string
}

/** The answer to a login. */
export interface KeycloakTokens {
  readonly access_token: string
  readonly refresh_token: string
  readonly id_token: string
  readonly refresh_expires_in: number
}

/** Members of a realm, a user or a client, as the admin REST API has them. */
export type Representation = Readonly<Record<string, unknown>>

/** A realm with the users alice (groups /cms and /cms/production) and bob; the password is the name. */
export interface KeycloakRealm {
  readonly issuer: string
  /** The service's client: confidential, with a service account and token exchange, and in `aud` of every token. */
  readonly tts: KeycloakClient
  /** A confidential client of somebody else with a service account. */
  readonly other: KeycloakClient
  /** Sends a request to the admin REST API below this realm. */
  admin(method: string, path: string, body?: unknown): Promise<unknown>
  /** Changes the realm, a user (`users/ID`) or a client (`clients/ID`); `attributes` are merged. */
  change(path: string, changes: Representation): Promise<void>
  /** The internal id of a client by its client id. */
  clientKey(clientId: string): Promise<string>
  /** The internal id of a user by name. */
  userKey(username: string): Promise<string>
  /** Creates a client, and a public one with which users log in; both have the default client scopes. */
  createClient(clientId: string, settings: Representation): Promise<void>
  createPublicClient(clientId: string, settings?: Representation): Promise<void>
  /** Logs a user in by password. Default: alice, with the public client `cli`. */
  logIn(login?: {
    readonly username?: string
    readonly client?: string
    readonly scope?: string
  }): Promise<KeycloakTokens>
  /** Returns an access token of a client itself. */
  serviceAccountToken(client: KeycloakClient): Promise<string>
  /** Posts a form to the token endpoint. */
  token(form: Readonly<Record<string, string>>, client?: KeycloakClient): Promise<FormAnswer>
  /** Posts a form to another endpoint of the realm, for example `token/introspect`. */
  post(
    endpoint: string,
    form: Readonly<Record<string, string>>,
    client?: KeycloakClient,
  ): Promise<FormAnswer>
}

const secret = (): string => randomBytes(18).toString('base64url')

/** Type of the components that hold the keys of a realm. */
export const KEY_PROVIDER = 'org.keycloak.keys.KeyProvider'

/** A new signing key as a component; the one with the highest priority signs. */
export function rsaKey(name: string, priority: number): Representation {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const config = { privateKey: [pem], priority: [String(priority)], algorithm: ['RS256'] }
  return { name, providerId: 'rsa', config }
}

/** Creates a realm. */
export async function createRealm(keycloak: Keycloak, name: string): Promise<KeycloakRealm> {
  const realm = realmOf(keycloak, name)
  await keycloak.admin('POST', '', {
    realm: name,
    enabled: true,
    // Only for speed: logins cost little, and with our keys Keycloak does not generate any.
    oauth2DevicePollingInterval: 1,
    passwordPolicy: 'hashIterations(1)',
    components: {
      [KEY_PROVIDER]: [
        rsaKey('rsa-100', 100),
        { name: 'hmac', providerId: 'hmac-generated', config: { algorithm: ['HS512'] } },
        { name: 'aes', providerId: 'aes-generated', config: {} },
      ],
    },
  })
  await createUsers(realm)
  await createClientScope(realm)
  await realm.createClient(realm.tts.id, {
    secret: realm.tts.secret,
    serviceAccountsEnabled: true,
    standardFlowEnabled: false,
    attributes: {
      'standard.token.exchange.enabled': 'true',
      'standard.token.exchange.enableRefreshRequestedTokenType': 'SAME_SESSION',
    },
  })
  await realm.createClient(realm.other.id, {
    secret: realm.other.secret,
    serviceAccountsEnabled: true,
    standardFlowEnabled: false,
  })
  await realm.createPublicClient('cli', {
    attributes: { 'oauth2.device.authorization.grant.enabled': 'true' },
  })
  return realm
}

/** A protocol mapper that writes into access tokens and introspection answers. */
export const mapper = (
  name: string,
  protocolMapper: string,
  config: Representation,
): Representation => ({
  name,
  protocol: 'openid-connect',
  protocolMapper,
  config: { 'access.token.claim': 'true', 'introspection.token.claim': 'true', ...config },
})

/** The client scope `tts`, which every client gets: our audience, our client as audience, and the groups. */
async function createClientScope(realm: KeycloakRealm): Promise<void> {
  const scope = await realm.admin('POST', '/client-scopes', {
    name: 'tts',
    protocol: 'openid-connect',
    attributes: { 'include.in.token.scope': 'false' },
    protocolMappers: [
      mapper('audience', 'oidc-audience-mapper', { 'included.custom.audience': AUDIENCE }),
      mapper('client', 'oidc-audience-mapper', { 'included.client.audience': realm.tts.id }),
      mapper('groups', 'oidc-group-membership-mapper', {
        'claim.name': 'groups',
        'full.path': 'false',
      }),
    ],
  })
  await realm.admin('PUT', `/default-default-client-scopes/${String(scope)}`)
}

async function createUsers(realm: KeycloakRealm): Promise<void> {
  const cms = await realm.admin('POST', '/groups', { name: 'cms' })
  await realm.admin('POST', `/groups/${String(cms)}/children`, { name: 'production' })
  const groups = { alice: ['/cms', '/cms/production'], bob: [] }
  for (const [username, memberOf] of Object.entries(groups))
    await realm.admin('POST', '/users', {
      username,
      enabled: true,
      email: `${username}@example.org`,
      emailVerified: true,
      firstName: username,
      lastName: 'Example',
      groups: memberOf,
      credentials: [{ type: 'password', value: username, temporary: false }],
    })
}

function realmOf(keycloak: Keycloak, name: string): KeycloakRealm {
  const issuer = `${keycloak.url}/realms/${name}`
  const admin = (method: string, path: string, body?: unknown): Promise<unknown> =>
    keycloak.admin(method, `/${name}${path}`, body)
  const keyOf = async (path: string): Promise<string> => {
    const [first] = (await admin('GET', path)) as readonly { readonly id: string }[]
    if (first === undefined) throw new Error(`nothing at ${path}`)
    return first.id
  }
  const post: KeycloakRealm['post'] = (endpoint, form, client) =>
    postForm(`${issuer}/protocol/openid-connect/${endpoint}`, form, client)
  const token: KeycloakRealm['token'] = (form, client) => post('token', form, client)
  const createClient: KeycloakRealm['createClient'] = async (clientId, settings) => {
    await admin('POST', '/clients', { clientId, ...settings })
  }
  return {
    issuer,
    tts: { id: 'tts', secret: secret() },
    other: { id: 'other', secret: secret() },
    admin,
    token,
    post,
    change: async (path, { attributes, ...changes }) => {
      const old = (await admin('GET', path)) as { readonly attributes?: Representation }
      const merged = { ...old.attributes, ...(attributes as Representation | undefined) }
      await admin('PUT', path, { ...old, ...changes, attributes: merged })
    },
    clientKey: (clientId) => keyOf(`/clients?clientId=${encodeURIComponent(clientId)}`),
    userKey: (username) => keyOf(`/users?exact=true&username=${username}`),
    createClient,
    createPublicClient: (clientId, settings = {}) =>
      createClient(clientId, { publicClient: true, directAccessGrantsEnabled: true, ...settings }),
    logIn: async ({ username = 'alice', client = 'cli', scope = 'openid' } = {}) => {
      const form = { grant_type: 'password', client_id: client, username, password: username }
      const answer = await token({ ...form, scope })
      accessTokenOf(answer)
      return answer.body as unknown as KeycloakTokens
    },
    serviceAccountToken: async (client) => {
      return accessTokenOf(await token({ grant_type: 'client_credentials' }, client))
    },
  }
}
