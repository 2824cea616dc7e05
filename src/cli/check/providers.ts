/** The checks of the identity providers, all at the same time. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Provider } from '../../tokens/providers.ts'
import type { TokenVerifier } from '../../tokens/verify-token.ts'
import type { Check } from './check.ts'
import { clockChecks } from './clock.ts'
import { type ClientContext, clientChecks } from './clients.ts'

/** @param context.signal ends the wait for providers; those that have not answered by then have failed */
export async function providerChecks(
  { providers }: TokenVerifier,
  context: ClientContext,
): Promise<Check[]> {
  if (providers.length === 0) {
    return [
      {
        check: 'providers',
        state: 'warning',
        detail: 'no provider is configured, so every token is refused',
        remedy: 'Add a provider under `providers`.',
      },
    ]
  }
  const checks = providers.map(async (provider) => [
    ...(await reachableChecks(provider, context)),
    ...evidenceChecks(provider),
  ])
  return (await Promise.all(checks)).flat()
}

const POLL_MS = 50

async function reachableChecks(provider: Provider, context: ClientContext): Promise<Check[]> {
  const isSettled = (): boolean => {
    const { ready, lastError } = provider.status()
    return ready || lastError !== undefined
  }
  while (!isSettled() && !context.signal.aborted) await delay(POLL_MS)
  const { id, issuer, ready, lastError } = provider.status()
  const check = `provider ${id}`
  if (!ready) {
    return [
      {
        check,
        state: 'failed',
        detail: `${issuer}: ${lastError ?? 'no answer in time'}`,
        remedy: `Open ${issuer.replace(/\/$/, '')}/.well-known/openid-configuration on this host.`,
      },
    ]
  }
  const detail = `discovery and keys of ${issuer} are available`
  const [clock, clients] = await Promise.all([
    providerClockChecks({ id, issuer }, context),
    clientChecks(provider, context),
  ])
  return [{ check, state: 'ok', detail }, ...clock, ...clients]
}

/** Compares clocks by the Date header of the discovery document (RFC 9110 section 6.6.1). */
async function providerClockChecks(
  { id, issuer }: { readonly id: string; readonly issuer: string },
  { signal, now }: ClientContext,
): Promise<Check[]> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  try {
    const response = await fetch(url, { signal })
    const theirs = new Date(response.headers.get('date') ?? '')
    const ours = now()
    await response.body?.cancel()
    return Number.isNaN(theirs.getTime()) ? [] : clockChecks(`provider ${id}`, { theirs, ours })
  } catch {
    // The other checks report a provider that does not answer.
    return []
  }
}

/** Warns where only the audience distinguishes access tokens from ID tokens. */
function evidenceChecks({ id, settings }: Provider): Check[] {
  if (settings.access_token_evidence !== 'none') return []
  return [
    {
      check: `provider ${id} tokens`,
      state: 'warning',
      detail: `access_token_evidence is none, so ID tokens for ${settings.audiences.join(', ') || 'any audience'} are accepted too`,
      remedy: `Remove from providers.${id}.audiences every client that shows its ID tokens to others, or list claims that only its access tokens have.`,
    },
  ]
}
