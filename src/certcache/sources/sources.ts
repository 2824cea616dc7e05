/** Chooses the source to renew with, and falls back to the bare token when that source cannot start. */
import { TtsError } from '../../base/errors.ts'
import { createDelegationSource } from './delegation-source.ts'
import type { SourceStatus } from '../proxy-engine.ts'
import { createRefreshSource, type RefreshSourceParts } from './refresh-source.ts'
import type { ServiceProxyRequest, ServiceProxy } from './service-client.ts'
import type { ProxySource } from './source.ts'
import type { SourceSettings } from '../settings/settings.ts'
import { type StateContent, digestOf } from '../state/state-records.ts'
import { type StartTokens, unverifiedExpiry } from './start-token.ts'
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
  /** When renewal ends unless a renewal extends it; undefined when that is not known, or the token is replaced. */
  renewableUntil(): Date | undefined
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

/** Why no renewal is possible with a token, and that token. */
type Fallback = { readonly reason: string; readonly start: StartFacts | undefined } | undefined

export function createSources(parts: RefreshSourceParts): Sources {
  const { settings, startTokens, log, now } = parts
  let fallback: Fallback
  let reportedDigest: string | undefined
  const refresh = createRefreshSource(parts)
  const delegation = createDelegationSource(parts, parts)
  const token = createTokenSource(parts, () => fallback?.reason)

  const pick = (): ProxySource =>
    pickSource(settings, { refresh, delegation, token }, fallback !== undefined)

  async function obtain(request: ServiceProxyRequest, signal: AbortSignal): Promise<ServiceProxy> {
    // With another token the better source may work.
    if (fallback !== undefined && fallback.start?.digest !== (await factsOf(startTokens))?.digest)
      fallback = undefined
    const source = pick()
    try {
      return await source.obtain(request, signal)
    } catch (error) {
      const mayFallBack = settings.kind === 'auto' && source !== token && !source.isAlive()
      if (!mayFallBack || !(error instanceof TtsError) || !cannotStart(error)) throw error
      const start = await factsOf(startTokens)
      fallback = { reason: error.message, start }
      const facts = { err: error, remedy: error.remedy, expires_at: start?.expiresAt }
      const message =
        'cannot obtain a renewal credential with this token; renewal ends when the token expires'
      log.warn({ event: 'source.fallback', ...facts }, message)
      return token.obtain(request, signal)
    }
  }

  function status(): SourceStatus {
    const source = pick()
    const present = source.status(now())
    return source === token && fallback ? { ...present, withoutRenewal: fallback.reason } : present
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
      const digest = (await factsOf(startTokens))?.digest
      const isNew = digest !== reportedDigest
      reportedDigest = digest
      return isNew
    },
    status,
    renewableUntil: () => {
      const { kind, renewsUntil } = status()
      return kind === 'token' ? undefined : renewsUntil
    },
  }
}

/** Chooses the source by the settings and the stored credentials. */
function pickSource(
  { kind, client_id: clientId }: SourceSettings,
  sources: Readonly<Record<'refresh' | 'delegation' | 'token', ProxySource>>,
  hasFallback: boolean,
): ProxySource {
  const { refresh, delegation, token } = sources
  if (kind !== 'auto') return sources[kind]
  if (clientId !== undefined && refresh.isAlive()) return refresh
  if (delegation.isAlive()) return delegation
  if (hasFallback) return token
  return clientId === undefined ? delegation : refresh
}

/** Digest and expiry of the start token. */
interface StartFacts {
  readonly digest: string
  readonly expiresAt: Date | undefined
}

async function factsOf(startTokens: StartTokens): Promise<StartFacts | undefined> {
  return startTokens.read().then(
    ({ token }) => ({ digest: digestOf(token), expiresAt: unverifiedExpiry(token) }),
    () => undefined,
  )
}

const cannotStart = (error: TtsError): boolean =>
  (error.code === 'not_found' && error.check === 'delegations') ||
  (error.code === 'grant_refused' && noRenewalChecks.has(error.check ?? ''))
