/** The whole engine, when a Secret cannot be written: renewal, file and served proxy are not affected. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { delegating, logIn } from '../../../api/delegation-support.ts'
import { useTestService } from '../../../support/service.ts'
import { settingsIn, startEngine, temporaryDirectory } from '../../engine-support.ts'

const service = useTestService(delegating())
const always = { name: undefined, validForSeconds: 400 * 86_400 }

// The service account has a fixed path, which no test may create.
test.for([
  [{}, 'KUBERNETES_SERVICE_HOST is not set'],
  [
    { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: '1' },
    '/var/run/secrets/kubernetes.io/serviceaccount/namespace cannot be read: the file or its directory does not exist',
  ],
] as const)('with the environment %j', async ([environment, reason]) => {
  const directory = await temporaryDirectory()
  const path = join(directory, 'gwms_proxy')
  const settings = await settingsIn(directory, {
    service: { url: service().url },
    source: { token: await logIn(service()) },
    proxies: {
      gwms_proxy: {
        key_type: 'ec-p256',
        outputs: [{ path }],
        kubernetes_secrets: [{ name: 'worker' }],
      },
    },
  })
  const { engine } = await startEngine(settings, { environment })
  const message = `the Kubernetes API cannot be used: ${reason}`
  const renewal = engine.renewIfDue(always, AbortSignal.timeout(20_000))
  await expect(renewal).rejects.toMatchObject({ code: 'configuration', message })
  const served = engine.current()
  expect(await readFile(path)).toEqual(served?.pem)
  expect(engine.status().proxies[0]).toMatchObject({
    lastError: { code: 'configuration', message },
    attempts: { failed: 0 },
  })
})
