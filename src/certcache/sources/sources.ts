/** Chooses among the sources, and falls back from one that cannot be begun to the bare token. */
import { TtsError } from '../../base/errors.ts'
import { createDelegationSource } from './delegation-source.ts'
import type { SourceStatus } from '../proxy-engine.ts'
import { createRefreshSource, type RefreshSourceParts } from './refresh-source.ts'
import type { ServiceProxyRequest, ServiceProxy } from './service-client.ts'
import type { ProxySource } from './source.ts'
import { type StateContent, digestOf } from '../state/state-records.ts'
import { createTokenSource } from './token-source.ts'

/** All sources behind one. */
export interface Sources {
  /** Sees what others changed in the state. */
  load(): Promise<void>
  obtain(request: ServiceProxyRequest, signal: AbortSignal): Promise<ServiceProxy>
  /** Takes what `certcache login` brought; false when it is for another client than ours. */
  takeLogin(login: StateContent<'incoming'>): Promise<boolean>
  /** True, once for each token, when renewal is over and a token that was given since can begin it anew. */
  isRevived(): Promise<boolean>
  status(): SourceStatus
}

/** Refusals by which no delegation can be made of the token, which itself is good: a first proxy can be had with it. */
const noRenewalChecks = new Set([
  'same_client',
  'scope_missing',
  'scope_not_allowed',
  'audience_not_allowed',
  'grant_not_enabled',
  'offline_access_refused',
  'client_refused',
  'request_refused',
])

export function createSources(parts: RefreshSourceParts): Sources {
  const { settings, startTokens, log, now } = parts
  /** Why nothing that renews can be made, and of which token. */
  let fallback: { readonly reason: string; readonly digest: string | undefined } | undefined
  let revivedBy: string | undefined
  const refresh = createRefreshSource(parts)
  const delegation = createDelegationSource(parts, parts.cluster)
  const token = createTokenSource(parts, () => fallback?.reason)
  const hasClient = settings.client_id !== undefined

  /** What to renew with, by the settings and what is held. */
  function pick(): ProxySource {
    if (settings.kind !== 'auto') return { refresh, delegation, token }[settings.kind]
    if (hasClient && refresh.isAlive()) return refresh
    if (delegation.isAlive()) return delegation
    if (fallback !== undefined) return token
    return hasClient ? refresh : delegation
  }

  async function startDigest(): Promise<string | undefined> {
    return startTokens.read().then(
      (found) => digestOf(found.token),
      () => undefined,
    )
  }

  async function obtain(request: ServiceProxyRequest, signal: AbortSignal): Promise<ServiceProxy> {
    // Another token is another chance.
    if (fallback !== undefined && fallback.digest !== (await startDigest())) fallback = undefined
    const source = pick()
    try {
      return await source.obtain(request, signal)
    } catch (error) {
      const mayFallBack = settings.kind === 'auto' && source !== token && !source.isAlive()
      if (!mayFallBack || !(error instanceof TtsError) || !cannotBegin(error)) throw error
      fallback = { reason: error.message, digest: await startDigest() }
      const what = 'nothing that renews by itself can be made of the token; renewal ends with it'
      log.warn({ event: 'source.fallback', err: error, remedy: error.remedy }, what)
      return token.obtain(request, signal)
    }
  }

  return {
    obtain,
    load: async () => {
      await Promise.all([refresh.load(), delegation.load()])
    },
    takeLogin: async (login) => {
      if (login.issuer !== settings.issuer || login.client_id !== settings.client_id) return false
      await refresh.takeLogin(login)
      fallback = undefined
      return true
    },
    isRevived: async () => {
      const source = pick()
      if (source.status(now()).ended === undefined || !(await source.canStart())) return false
      const digest = await startDigest()
      const isAnother = digest !== revivedBy
      revivedBy = digest
      return isAnother
    },
    status: () => pick().status(now()),
  }
}

const cannotBegin = (error: TtsError): boolean =>
  (error.code === 'not_found' && error.check === 'delegations') ||
  (error.code === 'grant_refused' && noRenewalChecks.has(error.check ?? ''))
