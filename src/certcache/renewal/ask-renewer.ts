/** Has another certcache, which holds the lock, renew a proxy: leaves a request in the state, and waits for what comes of it. */
import type { Clock, HeldProxy } from '../proxy-engine.ts'
import type { ManagedProxy } from './managed-proxy.ts'
import type { createOutcomes } from './outcomes.ts'
import { elsewhere, failedElsewhere } from './refusals.ts'
import type { createRenewalRequests } from './renewal-requests.ts'

export interface AskRenewerOptions {
  readonly clock: Clock
  readonly requests: Pick<ReturnType<typeof createRenewalRequests>, 'make'>
  readonly outcomes: Pick<ReturnType<typeof createOutcomes>, 'read'>
  /** Takes what is new in the state; answers whether the lock is ours now. */
  readonly look: () => Promise<boolean>
}

const POLL_MS = 500

/**
 * Asks for a proxy that is good for so long; undefined once the lock is ours, so that we renew ourselves.
 *
 * @param validForSeconds undefined: for as long as the policy of the one who renews says
 * @throws {TtsError} what the other one failed with; `overloaded` with check `lock_elsewhere` when nothing came in time
 */
export async function askRenewer(
  { clock, requests, outcomes, look }: AskRenewerOptions,
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
  const id = await requests.make({ at, name, ...(until ? { valid_until: until } : {}) })
  for (;;) {
    if (signal.aborted) throw elsewhere(name)
    await clock.sleep(POLL_MS, signal)
    // Its answer is looked at first: the proxy was written before.
    const told = await outcomes.read()
    if (await look()) return undefined
    const held = proxy.current()
    if (held !== undefined && before?.pem.equals(held.pem) !== true) return held
    if (told?.answered === id) throw failedElsewhere(name, told.proxies[name])
  }
}
