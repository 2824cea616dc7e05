import { obtainAccessToken } from '../../demo/user-agent.ts'
import {
  createTokenVerifier,
  type TokenVerifier,
  type TokenVerifierDependencies,
} from '../../src/tokens/verify-token.ts'
import { providerSettings, type ProviderSettings } from '../../src/config/provider-schema.ts'
import { TtsError } from '../../src/base/errors.ts'
import type { Fetch } from '../../src/tokens/limited-fetch.ts'
import { onTestFinished } from 'vitest'
import type { z } from 'zod'

/** The audience of the service in these tests. */
export const AUDIENCE = 'https://tts.example.org'

/** What may be set in tests. */
export type SettingsInput = Partial<z.input<typeof providerSettings>>

/** Settings with defaults, for one audience. */
export function settingsFor(issuer: string, changes: SettingsInput = {}): ProviderSettings {
  return providerSettings.parse({ issuer, audiences: [AUDIENCE], timeout_seconds: 2, ...changes })
}

/** A verifier that is closed when the test ends, on a clock that the test may move. */
export function verifierFor(
  providers: Record<string, ProviderSettings>,
  fetchFunction?: Fetch,
  more: Partial<TokenVerifierDependencies> = {},
): TokenVerifier & { advance(seconds: number): void; readonly lines: string[] } {
  let offsetMs = 0
  const lines: string[] = []
  const note = (fields: object, message: string) =>
    lines.push(`${message} ${JSON.stringify(fields)}`)
  const verifier = createTokenVerifier({
    providers,
    now: () => new Date(Date.now() + offsetMs),
    log: { info: note, warn: note },
    retry: { firstMs: 10, longestMs: 20 },
    ...(fetchFunction !== undefined && { fetch: fetchFunction }),
    ...more,
  })
  onTestFinished(() => verifier.close())
  return Object.assign(verifier, {
    lines,
    advance: (seconds: number) => {
      offsetMs += seconds * 1000
    },
  })
}

/** An access token of alice for this service, after a login in a browser. */
export async function accessTokenAt({ issuer }: { readonly issuer: string }): Promise<string> {
  const request = { clientId: 'demo-cli', username: 'alice', scope: 'openid profile email' }
  return (await obtainAccessToken({ issuer, ...request, audience: AUDIENCE })).access_token
}

/** The TtsError that a promise is rejected with. Throws Error when it is not. */
export async function refusalOf(promise: Promise<unknown>): Promise<TtsError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof TtsError) return error
  throw new Error(`expected a TtsError, got ${String(error)}`)
}

/** Waits, in steps of a few milliseconds, until the condition holds. */
export async function until(condition: () => boolean): Promise<void> {
  for (let step = 0; step < 12_000; step += 1) {
    if (condition()) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  throw new Error('it did not come about')
}
