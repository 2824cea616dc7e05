/** What ends access at Hydra: used refresh tokens, lost answers, revocation. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { requestHabits } from '../../../src/config/provider-profile.ts'
import { rememberedConfiguration } from '../../../src/grants/discovery.ts'
import { createGrantClient } from '../../../src/grants/grant-client.ts'
import { refreshHeld } from '../../../src/grants/refresh-token.ts'
import { calm, refusalOf, storeOver } from '../../grants/support.ts'
import { type Hydra, type HydraOptions, startHydra } from '../../support/hydra.ts'
import { AUDIENCE } from '../../support/service.ts'
import { postForm } from '../../support/token-forms.ts'
import { ask } from '../requests.ts'
import { readDocument } from '../document.ts'
import { createClients, introspect, issued, logIn, refresh, useService } from './support.ts'

const NOT_VALID = 'The refresh token is malformed or not valid.'

export function endCases(hydra: () => Hydra, program: string): void {
  rotationCases(hydra, program)
  revocationCases(hydra)
}

/** Refreshes as certcache does with a token whose newest answer was lost. */
async function refreshAfterLostAnswer(hydra: Hydra, refreshToken: string) {
  const now = (): Date => new Date()
  const common = { providerId: 'hydra', timeoutMs: 10_000 }
  const client = createGrantClient({
    ...common,
    now,
    configuration: rememberedConfiguration(
      { ...common, issuer: hydra.issuer, clientId: 'opaque', clientSecret: undefined },
      now,
    ),
    habits: requestHabits({ profile: 'hydra', audience_parameter: {} }),
  })
  await refresh(hydra, refreshToken)
  const store = storeOver({
    held: {
      current: refreshToken,
      previous: undefined,
      grantedAt: now(),
      renewedAt: now(),
      rotates: true,
      attemptBegunAt: now(),
    },
  })
  return refreshHeld({
    client,
    store,
    owner: 'gwms_proxy',
    audience: AUDIENCE,
    now,
    signal: calm(),
  })
}

function rotationCases(hydra: () => Hydra, program: string): void {
  describe('rotation', () => {
    let patient: Hydra
    beforeAll(async () => {
      const [, , configuration] = readDocument('other.md').blocksUnder('At Hydra')
      patient = await startHydra(program, parse(configuration?.code ?? '') as HydraOptions)
      await createClients(patient)
    }, 90_000)
    afterAll(async () => patient?.stop())

    test('a used refresh token ends all tokens of its login', async () => {
      const first = await logIn(hydra())
      const { body: second } = await refresh(hydra(), first.refresh_token)
      expect(second.refresh_token).not.toBe(first.refresh_token)
      await refresh(hydra(), first.refresh_token)
      const { body } = await refresh(hydra(), second.refresh_token)
      expect(body.error_description).toContain(NOT_VALID)
      expect(await introspect(hydra(), second.access_token ?? '')).toEqual({ active: false })
    })

    test('a lost answer ends the renewal', async () => {
      const { refresh_token } = await logIn(hydra())
      const { error } = await refusalOf(refreshAfterLostAnswer(hydra(), refresh_token))
      expect(error).toMatchObject({
        code: 'delegation_ended',
        check: 'refresh_token_dead',
        message: expect.stringContaining('an answer of the provider was lost') as string,
      })
    })

    test('not with the grace period of the document', async () => {
      const { refresh_token } = await logIn(patient)
      const granted = await refreshAfterLostAnswer(patient, refresh_token)
      expect(granted.refreshToken).toMatch(/^ory_rt_/)
      expect(await refresh(patient, granted.refreshToken)).toMatchObject({ status: 200 })
    })
  })
}

function revocationCases(hydra: () => Hydra): void {
  describe('what ends access', () => {
    const service = useService(hydra, { provider: { introspection_cache_seconds: 0 } })
    const strict = useService(hydra, {
      provider: { introspect: 'always', introspection_cache_seconds: 0 },
    })
    const inactive = { status: 401, check: 'active' }

    test('the end of the login session ends nothing here', async () => {
      const { access_token, refresh_token } = await logIn(hydra())
      await hydra().admin('DELETE', '/oauth2/auth/sessions/login?subject=alice')
      expect(await ask(service(), access_token)).toMatchObject(issued)
      expect(await refresh(hydra(), refresh_token)).toMatchObject({ status: 200 })
    })

    test('the end of the consent ends all, but JWTs only with introspect: always', async () => {
      const [opaque, jwt] = [await logIn(hydra()), await logIn(hydra(), 'jwt')]
      expect(await ask(strict(), jwt.access_token)).toMatchObject(issued)
      await hydra().admin('DELETE', '/oauth2/auth/sessions/consent?subject=alice&all=true')
      expect(await ask(service(), opaque.access_token)).toMatchObject(inactive)
      expect(await ask(service(), jwt.access_token)).toMatchObject(issued)
      expect(await ask(strict(), jwt.access_token)).toMatchObject(inactive)
      const { body } = await refresh(hydra(), opaque.refresh_token)
      expect(body.error_description).toContain(NOT_VALID)
    })

    test('a revoked refresh token ends its access tokens', async () => {
      const { access_token, refresh_token } = await logIn(hydra())
      const form = { token: refresh_token, client_id: 'opaque' }
      expect(await postForm(`${hydra().issuer}/oauth2/revoke`, form)).toMatchObject({ status: 200 })
      expect(await ask(service(), access_token)).toMatchObject(inactive)
    })

    test('a deleted client', async () => {
      await hydra().createClient('deleted', { audience: [AUDIENCE] })
      const { access_token, refresh_token } = await logIn(hydra(), 'deleted')
      await hydra().admin('DELETE', '/clients/deleted')
      expect(await ask(service(), access_token)).toMatchObject(inactive)
      expect(await refresh(hydra(), refresh_token, 'deleted')).toMatchObject({
        status: 401,
        body: { error: 'invalid_client' },
      })
    })

    test('groups of a refreshed token are those of the consent', async () => {
      const { refresh_token } = await logIn(hydra())
      hydra().app.claims = {}
      try {
        const { body } = await refresh(hydra(), refresh_token)
        expect(await introspect(hydra(), body.access_token ?? '')).toMatchObject({
          ext: { groups: ['cms'] },
        })
      } finally {
        hydra().app.claims = { groups: ['cms'] }
      }
    })

    test('the audience of a refreshed token is that of the login', async () => {
      const { refresh_token } = await logIn(hydra(), 'opaque', {})
      const form = { grant_type: 'refresh_token', refresh_token, client_id: 'opaque' }
      const { body } = await hydra().token({ ...form, audience: AUDIENCE })
      expect(await introspect(hydra(), body.access_token ?? '')).toMatchObject({ aud: [] })
    })
  })
}
