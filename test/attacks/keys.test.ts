/**
 * One user asks for keys that take long, and goes away: 17 of RSA-2048 and 80 of RSA-4096 stopped keys for everybody.
 */
import { request } from 'node:http'
import { expect, test } from 'vitest'
import { hold, pause, report, type Target, useTarget, watch } from './support.ts'

const target = useTarget({ limits: { key_pool_size: 0, burst_per_identity: 1000 } })

function post(path: string, token: string): string {
  const lines = ['Host: tts.test', `Authorization: Bearer ${token}`, 'Content-Length: 0']
  return [`POST ${path} HTTP/1.1`, ...lines, '', ''].join('\r\n')
}

async function ask({ url }: Target, path: string, token: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}` }
    const options = { method: 'POST', headers, localAddress: '127.0.0.2', agent: false as const }
    const asked = request(`${url}${path}`, options, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    asked.once('error', reject)
    asked.end()
  })
}

test('others get their keys while one user waits for ninety, and after that user has left', async () => {
  const attacker = target().token('alice', { sub: 'attacker' })
  const others = ['b', 'c', 'd'].map((sub) => target().token('alice', { sub }))
  const quiet = await watch(target(), async () => pause(1500))
  const seen = await watch(target(), async () => {
    const held = await hold(target(), 97, (index) =>
      post(`/v1/proxies?key_type=rsa-${index < 17 ? 2048 : 4096}`, attacker),
    )
    await pause(300)
    const during = await Promise.all(others.map((token) => ask(target(), '/v1/proxies', token)))
    expect(during).toEqual([200, 200, 200])
    // Beyond the share of its identity it was refused at once.
    expect(held.text().match(/HTTP\/1\.1 429 /g)?.length).toBeGreaterThan(60)
    held.end()
    await pause(100)
    const after = await Promise.all(others.map((token) => ask(target(), '/v1/proxies', token)))
    expect(after).toEqual([200, 200, 200])
  })
  report('keys', quiet, seen)
  expect(Object.keys(seen.statuses)).toEqual(['200'])
  // What nobody waits for any more is not made: only what was being made is finished.
  await expect
    .poll(
      async () =>
        /tts_key_pool_waiting (\d+)/.exec(
          await (await fetch(`${target().url}/metrics`)).text(),
        )?.[1],
      { timeout: 20_000 },
    )
    .toBe('0')
})
