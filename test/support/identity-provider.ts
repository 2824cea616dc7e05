import { afterAll, afterEach, beforeAll } from 'vitest'
import type { IdentityProviderOptions } from '../../demo/identity-provider/options.ts'
import { tokenSettings } from '../../demo/identity-provider/options.ts'
import {
  startIdentityProvider,
  type IdentityProvider,
} from '../../demo/identity-provider/server.ts'

/**
 * One demo provider for a test file. The returned function answers it; between tests its faults, counts, token settings
 * and users' standing are as at the start.
 */
export function useIdentityProvider(options: IdentityProviderOptions = {}): () => IdentityProvider {
  let provider: IdentityProvider | undefined
  beforeAll(async () => {
    provider = await startIdentityProvider(options)
  })
  afterEach(() => {
    if (provider === undefined) return
    provider.faults.clear()
    provider.faults.resetCounts()
    Object.assign(provider.tokens, tokenSettings(options.tokens))
    for (const username of (options.users ?? [{ username: 'alice' }, { username: 'bob' }]).map(
      (user) => user.username,
    )) {
      Object.assign(provider.user(username), { suspended: false, aupSigned: true })
    }
  })
  afterAll(async () => provider?.close())
  return () => {
    if (provider === undefined) throw new Error('the identity provider has not started yet')
    return provider
  }
}
