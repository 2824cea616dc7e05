import { expect, onTestFinished, test } from 'vitest'
import { listenForRedirect } from '../../src/certcache/cli/loopback-redirect.ts'
import { ask } from './server-support.ts'

const state = 'state-of-this-login'
async function listening() {
  const redirect = await listenForRedirect(0)
  onTestFinished(async () => redirect.close())
  const { origin } = new URL(redirect.redirectUri)
  return { redirect, origin }
}

test('takes the return of this login, and nothing else', async () => {
  const { redirect, origin } = await listening()
  expect(redirect.redirectUri).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/callback$/)
  // Before anybody waits.
  expect((await ask(origin, `/callback?state=${state}&code=early`)).status).toBe(404)
  const returned = redirect.wait(state, AbortSignal.timeout(10_000))
  const wrong = [
    ['/callback?code=x', {}],
    ['/callback?state=other&code=x', {}],
    [`/other?state=${state}&code=x`, {}],
    [`/callback?state=${state}&code=x`, { method: 'POST' }],
    [`/callback?state=${state}&code=x`, { headers: { Host: 'evil.example.org' } }],
    [`/callback?state=${state}&code=${'x'.repeat(9000)}`, {}],
    [`//evil.example.org/callback?state=${state}&code=x`, {}],
  ] as const
  for (const [path, options] of wrong) {
    const { status, text } = await ask(origin, path, options)
    expect([path.slice(0, 60), status, text]).toEqual([path.slice(0, 60), 404, 'Not found.\n'])
  }
  const answer = await ask(origin, `/callback?state=${state}&code=right`)
  expect(answer.status).toBe(200)
  expect(answer.headers['cache-control']).toBe('no-store')
  expect(answer.text).not.toContain('right')
  expect((await returned).href).toBe(`${redirect.redirectUri}?state=${state}&code=right`)
})

test('can be given up', async () => {
  const { redirect } = await listening()
  await expect(redirect.wait(state, AbortSignal.timeout(10))).rejects.toThrow()
  await expect(redirect.wait(state, AbortSignal.abort())).rejects.toThrow()
})

test('a port that is taken is told, with what to do', async () => {
  const { origin } = await listening()
  await expect(listenForRedirect(Number(new URL(origin).port))).rejects.toMatchObject({
    code: 'configuration',
    message: expect.stringMatching(/another program listens there/),
    remedy: expect.stringMatching(/--redirect-port/),
  })
})
