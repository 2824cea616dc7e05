/**
 * The engine of certcache in a test: settings as they are loaded, a state directory of its own, refresh requests made
 * in this process.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { onTestFinished } from 'vitest'
import { stringify } from 'yaml'
import { type EngineOptions, openEngine, type RunningEngine } from '../../src/certcache/compose.ts'
import {
  type LoadedCertcacheSettings,
  loadSettings,
} from '../../src/certcache/settings/load-settings.ts'
import type { Clock } from '../../src/certcache/proxy-engine.ts'
import { createLog } from '../../src/base/log.ts'

type Sections = Record<string, Record<string, unknown>>

export const uid = process.getuid?.() ?? 0

/** The clock of this machine. */
export const realClock: Clock = {
  now: () => new Date(),
  sleep: async (milliseconds, signal) => {
    await delay(milliseconds, undefined, { signal }).catch(() => undefined)
  },
}

export interface TestEngine {
  readonly engine: RunningEngine
  readonly settings: LoadedCertcacheSettings
  readonly logged: string[]
}

/** A directory that goes with the test. */
export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'certcache-test-'))
  onTestFinished(async () => rm(directory, { recursive: true, force: true, maxRetries: 5 }))
  return directory
}

/** Settings as the program loads them, from a file in the directory. */
export async function settingsIn(
  directory: string,
  sections: Sections,
  environment: Record<string, string> = {},
): Promise<LoadedCertcacheSettings> {
  const path = join(directory, 'certcache.yaml')
  const state = { directory: 'state', ...sections['state'] }
  const renewal = { retry_first_seconds: 0.05, retry_longest_seconds: 0.2, ...sections['renewal'] }
  // EC keys: quick to make.
  const proxies = sections['proxies'] ?? { gwms_proxy: { key_type: 'ec-p256' } }
  await writeFile(path, stringify({ ...sections, state, renewal, proxies }), { mode: 0o600 })
  return (await loadSettings(path, { environment, uid })).settings
}

/** An engine with these settings, closed with the test. */
export async function startEngine(
  settings: LoadedCertcacheSettings,
  parts: Partial<EngineOptions> = {},
): Promise<TestEngine> {
  const logged: string[] = []
  const destination = { write: (line: string) => void logged.push(line) }
  const engine = await openEngine(settings, {
    log: createLog({ level: 'debug', name: 'certcache', destination }),
    clock: realClock,
    random: () => 0.5,
    environment: {},
    uid,
    background: true,
    refreshIn: 'here',
    pollMs: 20,
    ...parts,
  })
  onTestFinished(async () => engine.close())
  return { engine, settings, logged }
}

/** Waits, a minute at most, until the check answers something. */
export async function eventually<Value>(
  check: () => Value | undefined | false | Promise<Value | undefined | false>,
  what = 'what was waited for',
): Promise<Value> {
  const end = performance.now() + 60_000
  while (performance.now() < end) {
    const value = await check()
    if (value !== undefined && value !== false) return value
    await delay(10)
  }
  throw new Error(`${what} did not come`)
}
