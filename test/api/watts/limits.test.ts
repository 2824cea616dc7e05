/** 503 of WaTTS's rates, and credentials whose service is no more configured. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { loadConfiguration } from '../../../src/config/load.ts'
import { createLog } from '../../../src/base/log.ts'
import { type Running, serve } from '../../../src/service/serve.ts'
import { testConfiguration, useTestService } from '../../support/service.ts'
import { ask, problemOf } from '../support.ts'
import {
  as,
  errorText,
  executable,
  get,
  obtain,
  program,
  remove,
  serviceLine,
  wattsService,
  wire,
} from './support.ts'

describe('503', () => {
  const narrow = useTestService({
    configuration: {
      limits: { key_pool_size: 0, requests_per_second_per_address: 0.1, burst_per_address: 60 },
    },
  })

  test('too many requests from one address, with Retry-After and the body of these paths', async () => {
    const answers = await Promise.all(
      Array.from({ length: 80 }, () => wire(`${narrow().url}/api/v2/oidcp`)),
    )
    const refused = answers.filter(({ status }) => status !== 200)
    expect(refused.length).toBeGreaterThan(0)
    expect(errorText(refused[0]!, 503)).toBe('too many requests from your address')
    expect(Number(refused[0]?.header('retry-after'))).toBeGreaterThan(0)
    // The same limit on the native paths is 429.
    expect(
      await problemOf(await ask(narrow(), '/v1/credentials', { method: 'GET' })),
    ).toMatchObject({ status: 429 })
  })
})

describe('503 for one identity', () => {
  const slow = useTestService({
    configuration: {
      limits: {
        key_pool_size: 0,
        credentials_per_second_per_identity: 0.01,
        burst_per_identity: 1,
      },
    },
  })

  test('too many credentials', async () => {
    const post = () =>
      wire(`${slow().url}/api/v2/iam/credential`, {
        method: 'POST',
        headers: { ...as(slow()), 'content-type': 'application/json' },
        body: '{"service_id":"proxy","params":{"key_type":"ec-p256"}}',
      })
    expect((await post()).status).toBe(303)
    const refused = await post()
    expect(errorText(refused, 503)).toMatch(/^too many credentials/)
    expect(Number(refused.header('retry-after'))).toBeGreaterThan(0)
  })
})

describe('the provider does not answer', () => {
  const down = useTestService({ providerDown: true, awaitReady: false })

  test('503, and the lists that need none are there', async () => {
    errorText(await get(down(), '/api/v2/iam/service'), 503)
    const { openid_provider_list: list } = (await wire(`${down().url}/api/v2/oidcp`)).json() as {
      openid_provider_list: { ready: boolean }[]
    }
    expect(list).toMatchObject([{ id: 'iam', ready: false }])
    expect((await wire(`${down().url}/api/v1/oidcp`)).json()).toEqual({ openid_provider_list: [] })
  })
})

describe('a credential whose service is gone', () => {
  const service = useTestService(
    wattsService({
      guest: executable(program('account.py')),
      mine: {
        plugin: 'x509-certificate',
        authz: { allow: [{ provider: 'any', claims: { sub: { any: true } } }] },
      },
    }),
  )

  /** The same records, without these services. */
  async function later(watts: object): Promise<Running> {
    const path = join(service().directory, 'later.yaml')
    const configuration = {
      ...testConfiguration(service().provider),
      data_dir: join(service().directory, 'data'),
      watts,
    }
    await writeFile(path, stringify(configuration))
    return serve(await loadConfiguration(path, {}), createLog({ level: 'silent', name: 'tts' }))
  }

  test('of a plugin: deleted only with allow_dropping_credentials; a certificate in any case', async () => {
    const guest = await obtain(service(), { service: 'guest' })
    const mine = await obtain(service(), { service: 'mine' })
    const strict = await later({})
    const at = (running: Running) => ({ ...service(), url: running.url })
    try {
      expect(errorText(await remove(at(strict), guest.id), 409)).toMatch(
        /^the service of this credential is no longer configured/,
      )
      expect((await remove(at(strict), mine.id)).status).toBe(200)
      expect((await strict.service.store.findCredential(mine.id))?.revokedAt).toBeInstanceOf(Date)
      expect(await serviceLine(at(strict), 'guest')).toBeUndefined()
    } finally {
      await strict.stop()
    }
    const lenient = await later({ allow_dropping_credentials: true })
    try {
      expect((await remove(at(lenient), guest.id)).text).toBe('{"result":"ok"}')
      expect((await lenient.service.store.findCredential(guest.id))?.revokedAt).toBeInstanceOf(Date)
    } finally {
      await lenient.stop()
    }
  })
})
