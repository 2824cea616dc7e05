/** Services that trust a realm of a real Keycloak, and requests to them. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import {
  createRealm,
  type KeycloakClient,
  type KeycloakRealm,
} from '../../support/keycloak-realm.ts'
import type { Keycloak } from '../../support/keycloak.ts'
import { accessTokenOf, type FormAnswer } from '../../support/token-forms.ts'
import { AUDIENCE, everyRefusalRecorded, serveIn, waitUntilReady } from '../../support/service.ts'

export type Form = Readonly<Record<string, string>>

export interface KeycloakService {
  readonly url: string
  /** Everything that was logged, one JSON line each. */
  readonly logged: readonly string[]
  stop(): Promise<void>
}

/** Starts a service for members of the group `cms`; `provider` changes its settings of the realm. */
export async function startService(
  realm: KeycloakRealm,
  provider: Readonly<Record<string, unknown>> = {},
): Promise<KeycloakService> {
  const directory = await mkdtemp(join(tmpdir(), 'tts-keycloak-service-'))
  const { running, logged } = await serveIn(directory, {
    listen: { port: 0 },
    ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' },
    providers: {
      keycloak: {
        issuer: realm.issuer,
        profile: 'keycloak',
        audiences: [AUDIENCE],
        client_id: realm.tts.id,
        client_secret: realm.tts.secret,
        ...provider,
      },
    },
    services: {
      proxy: {
        authz: { allow: [{ provider: 'keycloak', claims: { groups: { contains: 'cms' } } }] },
      },
    },
    limits: { key_pool_size: 0, ...everyRefusalRecorded },
  })
  await waitUntilReady(running.url)
  return {
    url: running.url,
    logged,
    stop: async () => {
      await running.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** A realm of the block's own, which is removed with the Keycloak. */
export function useRealm(keycloak: () => Keycloak, name: string): () => KeycloakRealm {
  let realm: KeycloakRealm | undefined
  beforeAll(async () => {
    realm = await createRealm(keycloak(), name)
  })
  return () => {
    if (realm === undefined) throw new Error('the realm is not created yet')
    return realm
  }
}

/** A service of the block's own. */
export function useService(
  realm: () => KeycloakRealm,
  provider: Readonly<Record<string, unknown>> = {},
): () => KeycloakService {
  let service: KeycloakService | undefined
  beforeAll(async () => {
    service = await startService(realm(), provider)
  })
  afterAll(async () => service?.stop())
  return () => {
    if (service === undefined) throw new Error('the service has not started yet')
    return service
  }
}

/** Payload of a JWT, unverified. */
export function claimsOf(token: string): Readonly<Record<string, unknown>> {
  const payload = token.split('.')[1] ?? ''
  return JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>
}

const TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:'
export const ACCESS_TOKEN = `${TOKEN_TYPE}access_token`
export const REFRESH_TOKEN = `${TOKEN_TYPE}refresh_token`

/** Posts a token exchange. Default: by our client. */
export async function exchange(
  realm: KeycloakRealm,
  subjectToken: string,
  {
    form = {},
    client = realm.tts,
  }: { readonly form?: Form; readonly client?: KeycloakClient | undefined } = {},
): Promise<FormAnswer> {
  return realm.token(
    {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: subjectToken,
      subject_token_type: ACCESS_TOKEN,
      ...form,
    },
    client,
  )
}

/** The access token of an exchange by our client. */
export async function exchanged(realm: KeycloakRealm, subjectToken: string): Promise<string> {
  return accessTokenOf(await exchange(realm, subjectToken))
}

/** Posts a refresh, by our client or by a public one. */
export async function refresh(
  realm: KeycloakRealm,
  refreshToken: string | undefined,
  client: KeycloakClient | string = realm.tts,
): Promise<FormAnswer> {
  const form = { grant_type: 'refresh_token', refresh_token: refreshToken ?? '' }
  return typeof client === 'string'
    ? realm.token({ ...form, client_id: client })
    : realm.token(form, client)
}

/** Expects a rest of a lifetime in seconds. Keycloak counts whole seconds, and a busy machine needs some of them. */
export function expectAtMost(seconds: unknown, lifetime: number): void {
  expect(seconds).toBeLessThanOrEqual(lifetime)
  expect(seconds).toBeGreaterThan(lifetime - 100)
}
