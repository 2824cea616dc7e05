/** Asks the certcache that holds the lock to renew a proxy: leaves a request in the state and waits for the result. */
import type { Clock, HeldProxy } from '../proxy-engine.ts'
import type { ManagedProxy } from './managed-proxy.ts'
import type { createOutcomes } from './outcomes.ts'
import { lockHeldElsewhere, renewalFailedElsewhere } from './refusals.ts'
import type { createRenewalRequests } from './renewal-requests.ts'

export interface AskRenewerOptions {
  readonly clock: Clock
  readonly requests: Pick<ReturnType<typeof createRenewalRequests>, 'submit'>
  readonly outcomes: Pick<ReturnType<typeof createOutcomes>, 'read'>
  /** Reads changes from the state. Returns true when this process holds the lock. */
  readonly poll: () => Promise<boolean>
}

const POLL_MS = 500

/**
 * Asks for a proxy and returns it, or undefined once this process holds the lock and can renew by itself.
 *
 * @param validForSeconds how long the proxy must stay valid; undefined: the renewal policy of the lock holder decides
 * @throws {TtsError} the error of the other certcache; `overloaded` with check `lock_elsewhere` when the signal is
 * aborted before a result
 */
export async function askRenewer(
  { clock, requests, outcomes, poll }: AskRenewerOptions,
  {
    proxy,
    validForSeconds,
  }: { readonly proxy: ManagedProxy; readonly validForSeconds: number | undefined },
  signal: AbortSignal,
): Promise<HeldProxy | undefined> {
  const { name } = proxy
  const before = proxy.current()
  const at = clock.now()
  const until = validForSeconds && new Date(at.getTime() + validForSeconds * 1000)
  const id = await requests.submit({ at, name, ...(until ? { valid_until: until } : {}) })
  for (;;) {
    if (signal.aborted) throw lockHeldElsewhere(name)
    await clock.sleep(POLL_MS, signal)
    // Read before the poll: the other certcache writes the proxy first and the outcome second.
    const result = await outcomes.read()
    if (await poll()) return undefined
    const held = proxy.current()
    if (held !== undefined && before?.pem.equals(held.pem) !== true) return held
    if (result?.answered === id) throw renewalFailedElsewhere(name, result.proxies[name])
  }
}
