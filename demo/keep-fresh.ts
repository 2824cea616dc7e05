/** The part of the demo with certcache: it uses a token once, and then renews a proxy without the token. */
import { X509Certificate } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { stringify } from 'yaml'
import { formatTimeLeft } from '../ca/proxy-info.ts'
import { openEngine, type RunningEngine } from '../src/certcache/compose.ts'
import { loadSettings } from '../src/certcache/settings/load-settings.ts'
import type { HeldProxy } from '../src/certcache/proxy-engine.ts'
import { createLog } from '../src/base/log.ts'
import type { IdentityProvider } from './identity-provider/server.ts'

/** The shortest possible lifetime. With `RENEW_BELOW`, a proxy is renewed when it is 3 seconds old. */
const LIFETIME_SECONDS = 60
const RENEW_BELOW = 0.95
/** Time limit for a proxy and for its renewal. */
const TIMEOUT_MS = 30_000
const POLL_INTERVAL_MS = 100

/** Parameters of `keepFresh`. */
export interface KeepFreshParts {
  /** Directory of the demo. It contains `token`, and will contain `fresh_proxy`. */
  readonly directory: string
  readonly serviceUrl: string
  readonly provider: IdentityProvider
  /** Prints a line. */
  readonly say: (text: string) => void
}

/**
 * Starts a certcache that creates a delegation with the token, and stops it. Then starts a second one without the
 * token, and prints its first renewal.
 *
 * @throws {Error} if there is no renewal within 30 seconds
 */
export async function keepFresh(parts: KeepFreshParts): Promise<void> {
  const { directory, serviceUrl, provider, say } = parts
  const settingsPath = join(directory, 'certcache.yaml')
  await writeFile(settingsPath, stringify(settings(directory, serviceUrl)))
  const first = await withCertcache(
    settingsPath,
    { CERTCACHE_SOURCE__TOKEN_FILE: join(directory, 'token') },
    async (engine) => engine.obtain(undefined, AbortSignal.timeout(TIMEOUT_MS)),
  )
  say(`   with the token    : ${describeProxy(first)}`)
  provider.faults.resetCounts()
  await withCertcache(settingsPath, {}, async (engine) => {
    const second = await waitForRenewal(first, engine)
    const requests = provider.faults.count('/token')
    say(`   without the token : ${describeProxy(second)}`)
    say(
      `   requests          : certcache to the service, with its renewal secret; the service to the provider, with a refresh token (${requests} request)`,
    )
  })
  say(`   path              : ${join(directory, 'fresh_proxy')}`)
}

function settings(directory: string, serviceUrl: string): object {
  const outputs = [{ path: join(directory, 'fresh_proxy') }]
  return {
    service: { url: serviceUrl },
    source: { kind: 'delegation' },
    state: { directory: join(directory, 'certcache') },
    proxies: { fresh_proxy: { lifetime_seconds: LIFETIME_SECONDS, outputs } },
    renewal: { renew_below: RENEW_BELOW, jitter: 0, warn_below_seconds: 0 },
  }
}

/** Runs certcache like its program, but without HTTP. Its files are complete when the promise settles. */
async function withCertcache<Result>(
  path: string,
  environment: Readonly<Record<string, string>>,
  use: (engine: RunningEngine) => Promise<Result>,
): Promise<Result> {
  const uid = process.getuid?.() ?? 0
  const loaded = await loadSettings(path, { environment, uid })
  const sleep = async (ms: number, signal: AbortSignal): Promise<void> =>
    delay(ms, undefined, { signal }).catch(() => undefined)
  const engine = await openEngine(loaded.settings, {
    log: createLog({ level: 'warn', name: 'certcache' }),
    clock: { now: () => new Date(), sleep },
    random: () => Math.random(),
    environment,
    uid,
    background: true,
  })
  try {
    return await use(engine)
  } finally {
    await engine.close()
  }
}

/** Waits for the successor of a proxy. */
async function waitForRenewal(before: HeldProxy, engine: RunningEngine): Promise<HeldProxy> {
  for (let waitedMs = 0; waitedMs < TIMEOUT_MS; waitedMs += POLL_INTERVAL_MS) {
    const proxy = engine.current()
    if (proxy !== undefined && !proxy.pem.equals(before.pem)) return proxy
    await delay(POLL_INTERVAL_MS)
  }
  throw new Error(`the proxy was not renewed within ${TIMEOUT_MS / 1000} seconds`)
}

/** Describes a proxy: serial number, time left and end. */
function describeProxy({ pem, notAfter }: HeldProxy): string {
  const seconds = Math.floor((notAfter.getTime() - Date.now()) / 1000)
  const { serialNumber } = new X509Certificate(pem)
  return `serial ${serialNumber}, timeleft ${formatTimeLeft(seconds)}, ends ${notAfter.toISOString().replace('.000', '')}`
}
