import { expect, test } from 'vitest'
import { useTestService } from '../../support/service.ts'
import { wattsService, wire } from './support.ts'

const service = useTestService(
  wattsService(
    {},
    {
      providers: {
        hidden: { issuer: 'http://127.0.0.1:9/', audiences: ['x'], login: { enabled: false } },
      },
    },
  ),
)

test('GET oidcp: providers at which nobody logs in are hidden', async () => {
  const { openid_provider_list: list } = (await wire(`${service().url}/api/v2/oidcp`)).json() as {
    openid_provider_list: { id: string }[]
  }
  expect(list.map(({ id }) => id)).toEqual(['iam'])
})
