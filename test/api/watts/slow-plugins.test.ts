/** Programs that are slow to start: they delay nobody, are asked again, and everybody is told the true cause. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import type { IdentityProvider } from '../../../demo/identity-provider/server.ts'
import { createLog } from '../../../src/base/log.ts'
import { loadConfiguration } from '../../../src/config/load.ts'
import { configurationSchema } from '../../../src/config/schema.ts'
import { createServices } from '../../../src/domain/issuing/service.ts'
import { startTestService, testConfiguration, useTestService } from '../../support/service.ts'
import { runTts } from '../../support/terminal.ts'
import { Browser, withLogin } from '../../web/support.ts'
import {
  errorText,
  executable,
  misbehaving,
  obtain,
  post,
  serviceLine,
  wattsService,
} from './support.ts'

const directory = mkdtempSync(join(tmpdir(), 'tts-test-slow-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))
const gate = (name: string): string => join(directory, name)
const open = (name: string): void => writeFileSync(gate(name), '')

const slow = (name: string, seconds: number): object =>
  executable(misbehaving('slow-start.py'), {
    command: [misbehaving('slow-start.py'), gate(name)],
    start_timeout_seconds: seconds,
  })
const pause = async (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 250))
const services = {
  starting: slow('starting', 600),
  late: slow('late', 0.5),
  account: executable(misbehaving('names-of-streams.sh')),
}
const { identityProvider = {}, configuration } = withLogin()
const service = useTestService({
  identityProvider,
  configuration: (provider: IdentityProvider) => ({
    ...(typeof configuration === 'function' ? configuration(provider) : configuration),
    services: { ...testConfiguration(provider)['services'], ...services },
  }),
})
const cause = 'its program did not declare its parameters within 0.5 seconds; it is asked again'

test('a service that is stopped before its plugins start does not wait for them', async () => {
  const { services: settings } = configurationSchema.parse({
    ...testConfiguration(service().provider),
    services: { never: slow('never', 600) },
  })
  const log = createLog({ level: 'silent', name: 'test' })
  const host = { endEntityLifetimeSeconds: 950_400, vos: [], log, patience: AbortSignal.abort() }
  const opened = await createServices(settings, host)
  opened.get('never')?.plugin.close?.()
  expect(opened.get('never')?.enabled).toBe(false)
})

test('the service runs, and the other services with it', async () => {
  expect((await obtain(service(), { service: 'account' })).entries).toHaveLength(1)
})

test('starting: 503, which says so, and then it works', async () => {
  const answer = await post(service(), { service: 'starting' })
  expect(errorText(answer, 503)).toBe('the plugin of this service is starting, try again later')
  expect(answer.header('retry-after')).toBe('5')
  expect(await serviceLine(service(), 'starting')).toMatchObject({
    enabled: false,
    authz_tooltip: 'the plugin of this service cannot be used: its program is starting',
  })
  expect(service().logged.filter((line) => line.includes('"plugin.starting"'))).toHaveLength(1)
  open('starting')
  await expect
    .poll(async () => (await serviceLine(service(), 'starting'))?.['enabled'], { timeout: 20_000 })
    .toBe(true)
  const { entries } = await obtain(service(), { service: 'starting' })
  expect(entries[0]?.value).toBe('late')
})

test('too slow: lists, pages, log and `check` name the cause; it is asked again', async () => {
  expect(await serviceLine(service(), 'late')).toMatchObject({
    enabled: false,
    authz_tooltip: `the plugin of this service cannot be used: ${cause}`,
  })
  expect(service().logged.join('')).toContain(cause)
  const browser = new Browser(service())
  await browser.logIn('alice')
  expect((await browser.ask('/services/late')).text).toContain(`the service is disabled: ${cause}`)
  const { out } = await runTts(['--config', join(service().directory, 'tts.yaml'), 'check'])
  expect(out).toContain(
    `FAILED   service late: ${cause}\n         -> Find out why the program is slow to start, or raise start_timeout_seconds.\n`,
  )
  open('late')
  await expect
    .poll(async () => (await serviceLine(service(), 'late'))?.['enabled'], { timeout: 30_000 })
    .toBe(true)
  expect((await obtain(service(), { service: 'late' })).entries[0]?.value).toBe('late')
  const disabled = service().logged.filter((line) => line.includes('"plugin.disabled"'))
  expect(disabled.filter((line) => line.includes('"late"'))).toHaveLength(1)
})

test('a reload waits for a slow program, because the old instance has it ready', async () => {
  open('reloaded')
  const own = await startTestService(wattsService({ reloaded: slow('reloaded', 600) }))
  const isEnabled = async (): Promise<unknown> => (await serviceLine(own, 'reloaded'))?.['enabled']
  try {
    await expect.poll(isEnabled, { timeout: 20_000 }).toBe(true)
    rmSync(gate('reloaded'))
    const loaded = await loadConfiguration(join(own.directory, 'tts.yaml'), {})
    let isReloaded = false
    const reload = own.running.reload(loaded).finally(() => {
      isReloaded = true
    })
    // Longer than the first start waits.
    for (const until = performance.now() + 6000; performance.now() < until; await pause())
      expect(await isEnabled()).toBe(true)
    expect(isReloaded).toBe(false)
    open('reloaded')
    await reload
    expect(await isEnabled()).toBe(true)

    // The end of the service does not wait that long.
    rmSync(gate('reloaded'))
    const last = own.running.reload(loaded)
    await pause()
    const begin = performance.now()
    await Promise.all([own.running.stop(), last])
    expect(performance.now() - begin).toBeLessThan(15_000)
  } finally {
    await own.stop()
  }
})
