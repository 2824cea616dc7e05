/** Chooses the source to renew with, and falls back to the bare token when that source cannot start. */
import { TtsError } from '../../base/errors.ts'
import { createDelegationSource } from './delegation-source.ts'
import type { SourceStatus } from '../proxy-engine.ts'
import { createRefreshSource, type RefreshSourceParts } from './refresh-source.ts'
import type { ServiceProxyRequest, ServiceProxy } from './service-client.ts'
import type { ProxySource } from './source.ts'
import { type StateContent, digestOf } from '../state/state-records.ts'
import { createTokenSource } from './token-source.ts'

/** All sources behind one interface. */
export interface Sources {
  /** Reads changes that others made in the state. */
  load(): Promise<void>
  obtain(request: ServiceProxyRequest, signal: AbortSignal): Promise<ServiceProxy>
  /** Starts to renew with a login from `certcache login`; false when it is for another client. */
  acceptLogin(login: StateContent<'incoming'>): Promise<boolean>
  /** True, once for each token, when renewal has ended and a new start token can start it again. */
  hasNewStartToken(): Promise<boolean>
  status(): SourceStatus
}

/** Refusals of a delegation or exchange that leave the token itself valid: it can still be used for a proxy. */
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
  /** Why no renewal is possible with a token, and the digest of that token. */
  let fallback: { readonly reason: string; readonly digest: string | undefined } | undefined
  let reportedDigest: string | undefined
  const refresh = createRefreshSource(parts)
  const delegation = createDelegationSource(parts, parts.cluster)
  const token = createTokenSource(parts, () => fallback?.reason)
  const hasClient = settings.client_id !== undefined

  /** Chooses the source by the settings and the stored credentials. */
  function pick(): ProxySource {
    if (settings.kind !== 'auto') return { refresh, delegation, token }[settings.kind]
    if (hasClient && refresh.isAlive()) return refresh
    if (delegation.isAlive()) return delegation
    if (fallback !== undefined) return token
    return hasClient ? refresh : delegation
  }

  async function startDigest(): Promise<string | undefined> {
    return startTokens.read().then(
      ({ token: startToken }) => digestOf(startToken),
      () => undefined,
    )
  }

  async function obtain(request: ServiceProxyRequest, signal: AbortSignal): Promise<ServiceProxy> {
    // With another token the better source may work.
    if (fallback !== undefined && fallback.digest !== (await startDigest())) fallback = undefined
    const source = pick()
    try {
      return await source.obtain(request, signal)
    } catch (error) {
      const mayFallBack = settings.kind === 'auto' && source !== token && !source.isAlive()
      if (!mayFallBack || !(error instanceof TtsError) || !cannotStart(error)) throw error
      fallback = { reason: error.message, digest: await startDigest() }
      const message =
        'cannot obtain a renewal credential with this token; renewal ends when the token expires'
      log.warn({ event: 'source.fallback', err: error, remedy: error.remedy }, message)
      return token.obtain(request, signal)
    }
  }

  return {
    obtain,
    load: async () => {
      await Promise.all([refresh.load(), delegation.load()])
    },
    acceptLogin: async (login) => {
      if (login.issuer !== settings.issuer || login.client_id !== settings.client_id) return false
      await refresh.acceptLogin(login)
      fallback = undefined
      return true
    },
    hasNewStartToken: async () => {
      const source = pick()
      if (source.status(now()).ended === undefined || !(await source.canStart())) return false
      const digest = await startDigest()
      const isNew = digest !== reportedDigest
      reportedDigest = digest
      return isNew
    },
    status: () => pick().status(now()),
  }
}

const cannotStart = (error: TtsError): boolean =>
  (error.code === 'not_found' && error.check === 'delegations') ||
  (error.code === 'grant_refused' && noRenewalChecks.has(error.check ?? ''))
