/** Who may have VOMS attributes, where only a fault of ours or of a plugin could ask. */
import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { parseFqan } from '../../../ca/voms/fqan.ts'
import { configurationSchema } from '../../../src/config/schema.ts'
import { vomsTools } from '../../../src/domain/issuing/voms-tools.ts'
import { createAttributes } from '../../../src/domain/voms/attributes.ts'
import { organisationsOf } from '../../../src/service/compose-voms.ts'

const now = new Date('2026-11-23T12:00:00Z')
const organisations = organisationsOf(
  configurationSchema.parse({
    providers: {
      iam: { issuer: 'https://iam.example.org/', audiences: ['a'] },
      other: { issuer: 'https://other.example.org/', audiences: ['a'] },
    },
    voms: { host: 'tts.example.org', vos: { cms: { provider: 'iam', port: 1 } } },
  }),
)
const groups = { groups: ['cms'], 'wlcg.groups': [] }
const attributes = createAttributes({
  organisations,
  records: { find: async () => ({ groups, statedAt: now }) },
  authority: async () => {
    throw new Error('nothing is signed here')
  },
  now: () => now,
  randomBytes,
})
const request = { vo: 'cms', fqans: [] }

test.for([
  { name: 'in a token', claims: { groups: ['cms'] } },
  { name: 'that are known', claims: undefined },
])('the groups $name count for users of the provider of the VO alone', async ({ claims }) => {
  const callerOf = (issuer: string) => ({ identity: { id: '1', issuer }, claims })
  const granted = await attributes.decide(callerOf('https://iam.example.org'), request)
  expect(granted.fqans).toEqual([parseFqan('/cms')])
  for (const issuer of ['https://other.example.org', 'https://iam.example.org.evil.org', ''])
    await expect(attributes.decide(callerOf(issuer), request)).rejects.toMatchObject({
      code: 'access_denied',
      check: 'voms_membership',
    })
})

test('a plugin gets only attributes that were decided on', async () => {
  const identity = { id: '1', issuer: 'https://iam.example.org' }
  const tools = vomsTools({ attributes }, { identity, claims: { groups: ['cms'] } })
  await tools.attributes([request])
  const forged = [{ vo: 'cms', fqans: [parseFqan('/cms/Role=production')] }]
  const unused = {} as Parameters<typeof tools.certify>[1]
  await expect(
    tools.certify(forged, unused, { notBefore: now, notAfter: now }),
  ).rejects.toMatchObject({ code: 'internal' })
})
