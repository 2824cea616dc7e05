/** A provider that is slow, wrong or gone, and one that replaces its keys. */
import { generateKeyPairSync } from 'node:crypto'
import type { Fault as ProviderFault } from '../../../demo/identity-provider/faults.ts'
import type { ChaosSystem } from '../system.ts'
import type { Fault } from './fault.ts'

/** Answers to every request. None of them processes it: no refresh token is lost by them. */
const wrongAnswers: Readonly<Record<string, ProviderFault>> = {
  'status 500': { kind: 'status', status: 500 },
  'HTML instead of JSON': {
    kind: 'body',
    body: '<html><body>Under maintenance</body></html>',
    headers: { 'content-type': 'text/html' },
  },
  'wrong JSON': { kind: 'body', body: { unexpected: ['answer'] } },
  'truncated JSON': { kind: 'malformed' },
  'answer of 4 MiB': { kind: 'huge' },
  'connections reset': { kind: 'reset' },
}

export function badProviders({ watched }: ChaosSystem): readonly Fault[] {
  const { faults, keys } = watched.provider
  const clear = async (): Promise<void> => faults.clear()
  const wrong = Object.entries(wrongAnswers).map(([name, fault]) =>
    provider(name, async () => faults.set('*', fault), clear),
  )
  return [
    ...wrong,
    provider('other keys', async () => faults.set('/jwk', otherKeys()), clear),
    provider(
      'slow',
      async () => watched.hold(),
      async () => watched.release(),
    ),
    provider(
      'connection refused',
      async () => watched.goDown(),
      async () => watched.comeUp(),
    ),
    provider('new key, the old one gone', async () => void (await keys.rotate(false))),
    provider('new key under the same id', async () => void (await keys.replace())),
  ]
}

function provider(
  name: string,
  inject: () => void | Promise<void>,
  heal: () => Promise<void> = async () => undefined,
): Fault {
  return {
    name: `provider: ${name}`,
    kind: 'provider',
    async inject() {
      await inject()
      return 0
    },
    heal,
  }
}

/** A key set of somebody else. */
function otherKeys(): ProviderFault {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const key = { ...publicKey.export({ format: 'jwk' }), kid: 'rsa1', alg: 'RS256', use: 'sig' }
  return { kind: 'body', body: { keys: [key] } }
}
