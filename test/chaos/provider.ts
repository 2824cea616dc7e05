/**
 * The demo provider with what the suite needs besides its own faults: requests that wait before they are processed, a
 * clean stop, and a log of refresh tokens.
 *
 * It rotates refresh tokens and forgets the old one at once. A provider that processes a refresh and then loses the
 * answer ends that delegation, and nobody can help it; so no fault here is between the two.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import type { DemoUser } from '../../demo/identity-provider/users.ts'

export interface WatchedProvider {
  readonly provider: IdentityProvider
  /** Requests to the token endpoint: refresh tokens given, and those refused as unknown. */
  readonly given: ReadonlySet<string>
  readonly refusedAsUnknown: readonly string[]
  /** All requests wait before they are processed, until `release`; those whose client has gone are dropped then. */
  hold(): void
  release(): void
  /** Finishes what it processes and stops listening. */
  goDown(): Promise<void>
  comeUp(): Promise<void>
}

/** Starts it with these users, all in group `cms`. */
export async function startWatchedProvider(names: readonly string[]): Promise<WatchedProvider> {
  const users = names.map((username): DemoUser => {
    const email = `${username}@example.org`
    return { sub: `sub-${username}`, username, name: username, email, groups: ['cms'] }
  })
  const provider = await startIdentityProvider({ users, tokens: { includeAuthnInfo: true } })
  const given = new Set<string>()
  const refusedAsUnknown: string[] = []
  let held = Promise.withResolvers<void>()
  held.resolve()
  let isGone = false
  const atWork = new Set<ServerResponse>()
  const { faults } = provider
  const original = faults.intercept.bind(faults)
  faults.intercept = async (path, request, response) => {
    await held.promise
    if (isGone || hasGone(request)) {
      request.socket.destroy()
      return true
    }
    atWork.add(response)
    response.once('close', () => atWork.delete(response))
    if (path === '/token') note(response, { given, refusedAsUnknown })
    return original(path, request, response)
  }
  return {
    provider,
    given,
    refusedAsUnknown,
    hold: () => {
      held = Promise.withResolvers<void>()
    },
    release: () => held.resolve(),
    async goDown() {
      isGone = true
      for (const response of atWork)
        await new Promise((resolve) => {
          if (response.closed) resolve(undefined)
          else response.once('close', resolve)
        })
      await provider.goDown()
    },
    async comeUp() {
      isGone = false
      await provider.comeUp()
    },
  }
}

const hasGone = (request: IncomingMessage): boolean => request.destroyed || request.socket.destroyed

/** Reads the answer when it is sent. */
function note(
  response: ServerResponse,
  log: { readonly given: Set<string>; readonly refusedAsUnknown: string[] },
): void {
  const end = response.end.bind(response) as (...words: unknown[]) => ServerResponse
  response.end = ((...words: unknown[]) => {
    const [body] = words
    const text = typeof body === 'string' || Buffer.isBuffer(body) ? body.toString() : ''
    const token = /"refresh_token":"([^"]+)"/.exec(text)?.[1]
    if (token !== undefined) log.given.add(token)
    if (text.includes('was not found')) log.refusedAsUnknown.push(new Date().toISOString())
    return end(...words)
  }) as ServerResponse['end']
}
