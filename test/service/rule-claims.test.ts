import { describe, expect, test } from 'vitest'
import { configurationSchema } from '../../src/config/schema.ts'
import { ruleClaimsByProvider } from '../../src/service/rule-claims.ts'
import { startTestService } from '../support/service.ts'
import { ask, quick } from '../api/support.ts'

const provider = (id: string) => ({ issuer: `https://${id}.example.org`, audiences: ['a'] })
const claims = (...names: readonly string[]) =>
  Object.fromEntries(names.map((name) => [name, { contains: 'x' }]))

test('the claims of each provider: its rules, those for any provider, and those for operators', () => {
  const configuration = configurationSchema.parse({
    providers: { iam: provider('iam'), egi: provider('egi'), none: provider('none') },
    services: {
      proxy: {
        authz: {
          allow: [{ provider: 'iam', claims: claims('groups', 'acr') }],
          forbid: [{ provider: 'iam', claims: claims('banned') }],
        },
      },
      x509: {
        authz: { allow: [{ provider: 'egi', claims: claims('eduperson_entitlement') }] },
      },
      off: {
        plugin: 'info',
        enabled: false,
        authz: { allow: [{ provider: 'any', claims: claims('unread') }] },
      },
    },
    web: { operators: { allow: [{ provider: 'any', claims: claims('groups') }] } },
  })
  expect(Object.fromEntries(ruleClaimsByProvider(configuration))).toEqual({
    iam: ['groups', 'acr', 'banned'],
    egi: ['eduperson_entitlement', 'groups'],
    none: ['groups'],
  })
})

describe('in the service', () => {
  test('the claims of the rules decide whether UserInfo is asked', async () => {
    const service = await startTestService({
      configuration: ({ issuer }) => ({
        ...quick.configuration,
        providers: {
          iam: { issuer, audiences: ['https://tts.example.org'], userinfo: 'when_missing_groups' },
        },
      }),
    })
    try {
      // As Keycloak does: roles that no rule reads. The group comes from UserInfo.
      const token = service.token('alice', { groups: undefined, realm_access: { roles: ['r'] } })
      const { sub } = service.provider.user('alice')
      service.provider.faults.set('/userinfo', { kind: 'body', body: { sub, groups: ['cms'] } })
      const answer = await ask(service, '/v1/proxies', { token })
      expect(answer.status, await answer.text()).toBe(200)
    } finally {
      await service.stop()
    }
  })
})
