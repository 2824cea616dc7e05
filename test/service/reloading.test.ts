/** Instances follow one another: each is closed in the end, and one cause starts one new instance. */
import { afterEach, expect, test, vi } from 'vitest'
import { createLog } from '../../src/base/log.ts'
import type { LoadedConfiguration } from '../../src/config/load.ts'
import type { AssembledService } from '../../src/service/compose.ts'
import { type Instance, watchRollOver } from '../../src/service/instance.ts'
import { holdInstance } from '../../src/service/reloading.ts'

afterEach(() => {
  vi.useRealTimers()
})

const log = createLog({ level: 'silent', name: 'tts' })

interface FakeInstance extends Instance {
  readonly name: string
}

/** An instance that writes what happens to it. */
function fakeInstance(name: string, events: string[], watch = (): void => undefined): FakeInstance {
  const configuration = { limits: { shutdown_seconds: 1 }, log: { level: 'silent' } }
  return {
    name,
    service: { loaded: { configuration, path: name } } as unknown as AssembledService,
    app: () => undefined,
    publicApp: () => undefined,
    vomsApp: () => () => undefined,
    myproxyApp: async () => undefined,
    watch,
    retire: async () => void events.push(`retire ${name}`),
  }
}

const configurationNamed = (name: string): LoadedConfiguration =>
  fakeInstance(name, []).service.loaded

/** Holds the instance `first`, and starts others that are named after their configuration. */
function hold(
  more: { readonly start?: (name: string, events: string[]) => Promise<Instance> } = {},
) {
  const events: string[] = []
  const first = fakeInstance('first', events)
  const start = more.start ?? (async (name) => fakeInstance(name, events))
  const holder = holdInstance(first, {
    start: async ({ path = '' }) => {
      events.push(`start ${path}`)
      return start(path, events)
    },
    use: (instance) => void events.push(`use ${(instance as FakeInstance).name}`),
    log,
  })
  return { holder, first, events }
}

test('an instance that cannot begin its work is closed, and the old one goes on', async () => {
  const broken = (): never => {
    throw new Error('no timer')
  }
  const { holder, first, events } = hold({
    start: async (name, written) => fakeInstance(name, written, broken),
  })
  await expect(holder.replace(configurationNamed('next'))).rejects.toThrow('no timer')
  expect(holder.current).toBe(first)
  expect(events).toEqual(['start next', 'use next', 'retire next', 'use first'])
  await holder.close()
  expect(events.slice(4)).toEqual(['retire first'])
})

test('one outdated instance is renewed once', async () => {
  const { holder, first, events } = hold()
  await Promise.all([holder.renew(first), holder.renew(first), holder.renew(first)])
  expect(events).toEqual(['start first', 'use first', 'retire first'])
  await holder.renew(holder.current)
  expect(events.filter((event) => event.startsWith('start'))).toHaveLength(2)
  await holder.close()
})

test('a renewal while the configuration is reloaded does not bring the old one back', async () => {
  const { holder, first, events } = hold()
  await Promise.all([holder.replace(configurationNamed('reloaded')), holder.renew(first)])
  expect(events).toEqual(['start reloaded', 'use reloaded', 'retire first'])
  await holder.close()
})

test('a roll-over is reported once while the next instance starts', async () => {
  vi.useFakeTimers()
  const service = {
    others: [{ role: 'next', shortId: '0123abcd' }],
    store: { installation: { authority: async () => ({ keyId: '0123abcd00' }) } },
  } as unknown as AssembledService
  const started = Promise.withResolvers<undefined>()
  const onRollOver = vi.fn<() => Promise<void>>(async () => started.promise)
  const end = watchRollOver(service, { log, onRollOver })
  await vi.advanceTimersByTimeAsync(45_000)
  expect(onRollOver.mock.calls).toEqual([[{ service }]])
  // When it could not start, it is tried again.
  started.resolve(undefined)
  await vi.advanceTimersByTimeAsync(10_000)
  expect(onRollOver).toHaveBeenCalledTimes(2)
  end()
  await vi.advanceTimersByTimeAsync(60_000)
  expect(onRollOver).toHaveBeenCalledTimes(2)
})
