/** What outlives a restart of the service: which requests were used, and visits under way. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadConfiguration } from '../../src/config/load.ts'
import { createLog } from '../../src/base/log.ts'
import { serve } from '../../src/service/serve.ts'
import { startTestService } from '../support/service.ts'
import { fieldsOf, withLogin } from '../web/support.ts'
import { refusalOf, signed, startSite, SiteUser } from './support.ts'

test('a used request is refused, a visit goes on, and its form is good for once', async () => {
  const site = await startSite()
  const allow = [{ provider: 'rsp-portal', claims: { sub: { any: true } } }]
  const first = await startTestService(
    withLogin({
      services: { info: { plugin: 'info', authz: { allow } } },
      relying_services: {
        portal: { keys_location: `${site.url}/jwk`, base_url: site.url, perform_login: false },
      },
    }),
  )
  try {
    const siteUser = new SiteUser(first, site)
    const jwt = await signed(site)
    expect((await siteUser.arrive(jwt)).status).toBe(302)
    const page = await siteUser.ask('/rsp/request')
    const { port } = new URL(first.url)
    await first.running.stop()
    const again = await serve(
      await loadConfiguration(join(first.directory, 'tts.yaml'), { TTS_LISTEN__PORT: port }),
      createLog({ level: 'silent', name: 'test', destination: { write: () => undefined } }),
    )
    try {
      const answer = await new SiteUser(first, site).arrive(jwt)
      expect([answer.status, refusalOf(answer)[1]]).toEqual([409, 'replay'])
      const form = fieldsOf(page.text, '/rsp/request')
      expect((await siteUser.ask('/rsp/request', { form })).status).toBe(200)
      expect((await siteUser.ask('/rsp/request', { form })).status).toBe(409)
    } finally {
      await again.stop()
    }
  } finally {
    await first.stop()
    await site.close()
  }
})
