/** certcache with the setting `voms`: attributes in each proxy, renewed by their end. */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseProxyFile } from '../../../ca/proxy-file.ts'
import { describeProxy } from '../../../ca/proxy-info.ts'
import { delegating, logIn } from '../../api/delegation-support.ts'
import { useTestService } from '../../support/service.ts'
import { settingsIn, startEngine, temporaryDirectory } from '../engine-support.ts'

const cms = { provider: 'iam', port: 15_000, maximum_lifetime_seconds: 3600 }
const service = useTestService(
  delegating({ more: { voms: { host: 'tts.example.org', vos: { cms } } } }),
)
const soon = (): AbortSignal => AbortSignal.timeout(10_000)

async function settingsFor(directory: string, proxy: Record<string, unknown>) {
  return settingsIn(directory, {
    service: { url: service().url },
    source: { kind: 'delegation', token: await logIn(service()) },
    proxies: { gwms_proxy: { key_type: 'ec-p256', ...proxy } },
  })
}

test('proxies have the attributes, end with them, and are renewed by their end', async () => {
  const directory = await temporaryDirectory()
  const settings = await settingsFor(directory, { voms: 'cms' })
  let now = Date.now()
  const clock = {
    now: () => new Date(now),
    sleep: async (_ms: number, signal: AbortSignal) =>
      new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve())),
  }
  const { engine } = await startEngine(settings, { background: false, clock })
  const held = await engine.obtain(undefined, soon())
  const file = parseProxyFile(held.pem.toString())
  const facts = describeProxy(file, { now: new Date(), path: '' })
  expect(facts.attributes.map(({ vo }) => vo)).toEqual(['cms'])
  expect(facts.timeLeftSeconds).toBeGreaterThan(10_000)
  expect(held.notAfter).toEqual(facts.attributes[0]?.notAfter)
  // The proxy would last for days; its attributes do not.
  now += 3_590_000
  const again = await engine.renewIfDue({ name: undefined, validForSeconds: 60 }, soon())
  expect(again.renewed).toBe(true)
  expect(again.proxy.pem.equals(held.pem)).toBe(false)
})

test('a file without attributes is not taken back, whether the state is newer or lost', async () => {
  const directory = await temporaryDirectory()
  const outputs = [{ path: 'gwms_proxy' }]
  const without = await settingsFor(directory, { outputs })
  const due = { name: undefined, validForSeconds: 60 }
  const first = await startEngine(without, { background: false })
  await first.engine.renewIfDue(due, soon())
  await first.engine.close()
  const old = await readFile(join(directory, 'gwms_proxy'))

  const settings = await settingsFor(directory, { voms: 'cms', outputs })
  const second = await startEngine(settings, { background: false })
  const { proxy } = await second.engine.renewIfDue(due, soon())
  await second.engine.close()
  // As if it could not be written: it is valid for longer than the attributes in the state.
  await writeFile(join(directory, 'gwms_proxy'), old)
  const third = await startEngine(settings, { background: false })
  expect(third.engine.current()?.pem).toEqual(proxy.pem)
  await third.engine.close()

  await writeFile(join(directory, 'gwms_proxy'), old)
  await rm(settings.state.directory, { recursive: true })
  const fourth = await startEngine(settings, { background: false })
  expect(fourth.engine.current()).toBeUndefined()
})

test('a VO that the user is not in is an error that says so, and the setting is checked', async () => {
  const directory = await temporaryDirectory()
  const settings = await settingsFor(directory, { voms: 'atlas' })
  const { engine } = await startEngine(settings, { background: false })
  await expect(engine.obtain(undefined, soon())).rejects.toThrow(/it does for cms/)
  await expect(settingsFor(directory, { voms: '../cms' })).rejects.toThrow(
    /proxies\.gwms_proxy\.voms: .*must be VO or VO:FQAN/,
  )
})
