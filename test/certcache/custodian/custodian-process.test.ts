/** The custodian as a process of its own, compiled: cut orders, signals, and what can be seen of it from outside. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { custodianProgram } from '../../../src/certcache/custodian/custodian-main.ts'
import type {
  CustodianAnswer,
  CustodianOrder,
} from '../../../src/certcache/custodian/custodian-work.ts'
import { openState } from '../../../src/certcache/state/open-state.ts'
import { readState } from '../../../src/certcache/state/state-records.ts'
import { delegating, logIn } from '../../api/delegation-support.ts'
import { programPath } from '../../support/programs.ts'
import { AUDIENCE, useTestService } from '../../support/service.ts'
import { eventually, temporaryDirectory, uid } from '../engine-support.ts'

const service = useTestService(delegating())
const custodian = 'src/certcache/custodian/custodian-main.ts'
beforeAll(() => {}, 60_000)

async function makeOrder(): Promise<CustodianOrder> {
  const directory = join(await temporaryDirectory(), 'state')
  const state = { directory, key_file: join(directory, 'state.key'), cluster: 'c' }
  await (await openState(state, uid)).close()
  const { certcache } = service().provider.clients
  const token = await logIn(service())
  service().provider.faults.clear()
  service().provider.faults.resetCounts()
  return {
    state,
    uid,
    client_secret: certcache.clientSecret,
    timeout_ms: 10_000,
    metadata: undefined,
    task: {
      issuer: service().provider.issuer,
      client_id: certcache.clientId,
      audience: AUDIENCE,
      scopes: ['openid', 'profile', 'offline_access'],
      start: { kind: 'exchange', token },
      fresh_for_seconds: 90,
      refused: undefined,
      lock_wait_ms: 5000,
      stubborn_ms: 5000,
    },
  }
}

function start() {
  const child = spawn(process.execPath, [programPath(custodian), custodianProgram.word], {
    env: {},
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  const ended = once(child, 'close').then(() => JSON.parse(output) as CustodianAnswer)
  return { child, ended }
}

test('answers an access token, and the provider it found', async () => {
  const order = await makeOrder()
  const { child, ended } = start()
  child.stdin.end(JSON.stringify(order))
  const answer = await ended
  expect(answer).toMatchObject({
    access: { token: expect.stringMatching(/^eyJ/) },
    metadata: { token_endpoint: expect.any(String) },
  })
})

test('an order that was cut short does nothing', async () => {
  const order = await makeOrder()
  const { child, ended } = start()
  child.stdin.end(JSON.stringify(order).slice(0, -1))
  expect(await ended).toEqual({
    error: { code: 'internal', message: 'the custodian failed', cause: 'SyntaxError' },
  })
  expect(service().provider.faults.count('/token')).toBe(0)
})

test('a state that was removed meanwhile is not made anew, and nobody is asked', async () => {
  const order = await makeOrder()
  await rm(order.state.directory, { recursive: true })
  const { child, ended } = start()
  child.stdin.end(JSON.stringify(order))
  expect(await ended).toMatchObject({ error: { code: 'configuration' } })
  expect(existsSync(order.state.directory)).toBe(false)
  expect(service().provider.faults.count('/token')).toBe(0)
})

test('a refusal keeps its code, its check and its remedy', async () => {
  const order = await makeOrder()
  const { child, ended } = start()
  child.stdin.end(JSON.stringify({ ...order, client_secret: 'wrong' }))
  expect(await ended).toMatchObject({
    error: { code: 'grant_refused', check: expect.any(String), remedy: expect.any(String) },
  })
})

test('signals do not end it, its parent need not be there, and nothing secret is to be seen', async () => {
  const order = await makeOrder()
  service().provider.faults.set('/token', { kind: 'slow', delayMs: 300 })
  const { child, ended } = start()
  child.stdin.end(JSON.stringify(order))
  await eventually(() => service().provider.faults.count('/token') === 1)
  const seen = [
    await readFile(`/proc/${child.pid}/cmdline`, 'utf8'),
    await readFile(`/proc/${child.pid}/environ`, 'utf8'),
  ].join()
  expect(seen).not.toContain(order.client_secret)
  expect(seen).not.toContain('eyJ')
  // Nobody listens any more.
  child.stdout.destroy()
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) child.kill(signal)
  await once(child, 'exit')
  await ended.catch(() => undefined)
  const store = await openState(order.state, uid)
  expect((await readState(store, 'custody'))?.held.current).toEqual(expect.any(String))
  await store.close()
})
