/**
 * Run by kill.test.ts in a process of its own: certcache's engine, which renews without a pause, with a refresh each
 * time, until it is killed. A line for each renewal; the last word of one that fails is its code.
 */
import { writeSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { openEngine } from '../../src/certcache/compose.ts'
import { loadSettings } from '../../src/certcache/settings/load-settings.ts'
import { TtsError } from '../../src/base/errors.ts'
import { createLog } from '../../src/base/log.ts'

const [, , path, refreshIn] = process.argv
const uid = process.getuid?.() ?? 0
const { settings } = await loadSettings(path, { environment: {}, uid })
const engine = await openEngine(settings, {
  log: createLog({
    level: 'error',
    name: 'certcache',
    destination: { write: (line) => writeSync(2, line) },
  }),
  clock: {
    now: () => new Date(),
    sleep: async (milliseconds, signal) => {
      await delay(milliseconds, undefined, { signal }).catch(() => undefined)
    },
  },
  random: Math.random,
  environment: {},
  uid,
  background: false,
  refreshIn: refreshIn === 'here' ? 'here' : 'process',
})
for (;;) {
  try {
    const always = { name: undefined, validForSeconds: 400 * 86_400 }
    await engine.renewIfDue(always, AbortSignal.timeout(60_000))
    writeSync(1, 'renewed\n')
  } catch (error) {
    writeSync(
      1,
      `failed ${error instanceof TtsError ? `${error.code} ${error.check}` : 'otherwise'}\n`,
    )
  }
}
