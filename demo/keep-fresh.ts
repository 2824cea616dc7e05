/** certcache as part of the demo: shown a token once, then renewing without it while one watches. */
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

/** The shortest life that there is: with `RENEW_BELOW` a proxy is renewed when it is 3 seconds old. */
const LIFETIME_SECONDS = 60
const RENEW_BELOW = 0.95
/** For one proxy, and for a renewal to be seen. */
const PATIENCE_MS = 30_000
const LOOK_MS = 100

/** What `keepFresh` is handed. */
export interface KeepFreshParts {
  /** The demo's; `token` lies in it, `fresh_proxy` will. */
  readonly directory: string
  readonly serviceUrl: string
  readonly provider: IdentityProvider
  /** Takes a line for people. */
  readonly say: (text: string) => void
}

/**
 * Has certcache make a delegation with the token, and ends it; the next one has no token, and its first renewal is told.
 *
 * @throws {Error} when no renewal is seen within 30 seconds
 */
export async function keepFresh(parts: KeepFreshParts): Promise<void> {
  const { directory, serviceUrl, provider, say } = parts
  const settingsPath = join(directory, 'certcache.yaml')
  await writeFile(settingsPath, stringify(settings(directory, serviceUrl)))
  const first = await withCertcache(
    settingsPath,
    { CERTCACHE_SOURCE__TOKEN_FILE: join(directory, 'token') },
    async (engine) => engine.obtain(undefined, AbortSignal.timeout(PATIENCE_MS)),
  )
  say(`   shown the token once: ${shown(first)}`)
  provider.faults.resetCounts()
  await withCertcache(settingsPath, {}, async (engine) => {
    const second = await renewalOf(first, engine)
    const asked = provider.faults.count('/token')
    say(`   renewed without it  : ${shown(second)}`)
    say(
      `   who asked whom      : certcache the service, by its renewal secret; the service the provider, by a refresh token (${asked} request)`,
    )
  })
  say(`   path                : ${join(directory, 'fresh_proxy')}`)
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

/** Runs certcache as its program does, less HTTP; what it obtained is on the disk when this settles. */
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

/** The proxy that comes after this one. */
async function renewalOf(before: HeldProxy, engine: RunningEngine): Promise<HeldProxy> {
  for (let waitedMs = 0; waitedMs < PATIENCE_MS; waitedMs += LOOK_MS) {
    const held = engine.current()
    if (held !== undefined && !held.pem.equals(before.pem)) return held
    await delay(LOOK_MS)
  }
  throw new Error(`no renewal was seen in ${PATIENCE_MS / 1000} seconds`)
}

/** What tells one proxy from the next: serial number, remaining life and end. */
function shown({ pem, notAfter }: HeldProxy): string {
  const seconds = Math.floor((notAfter.getTime() - Date.now()) / 1000)
  const { serialNumber } = new X509Certificate(pem)
  return `serial ${serialNumber}, timeleft ${formatTimeLeft(seconds)}, ends ${notAfter.toISOString().replace('.000', '')}`
}
