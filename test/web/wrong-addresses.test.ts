/** Wrong addresses answer people with a page and clients with a problem document; the icon is ours. */
import express, { type ErrorRequestHandler } from 'express'
import request from 'supertest'
import { expect, test } from 'vitest'
import { TtsError } from '../../src/base/errors.ts'
import { errorsForBrowsers } from '../../src/web/pages/error-page.ts'
import type { Web } from '../../src/web/view.ts'
import { useTestService } from '../support/service.ts'
import { Browser, withLogin } from './support.ts'

const service = useTestService(withLogin())
const BROWSER = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8'

const ask = (path: string, headers: Record<string, string>, method = 'GET'): Promise<Response> =>
  fetch(`${service().url}${path}`, { method, headers, redirect: 'manual' })

test.for([
  ['/nothing', 404, 'This page does not exist. Check the address.'],
  ['/services.html', 404, 'This page does not exist. Check the address.'],
  ['/v1/nothing', 404, 'This page does not exist. Check the address.'],
  ['/v2/proxies', 404, 'This page does not exist. Check the address.'],
  ['/ca/nothing', 404, undefined],
  ['/problems/nothing', 404, 'No problem type has this code.'],
  ['/v1/proxies', 405, 'This path supports only POST.'],
  ['/%7Ealice', 404, 'This page does not exist. Check the address.'],
] as const)('%s', async ([path, status, words]) => {
  const page = await ask(path, { accept: BROWSER })
  expect([page.status, page.headers.get('content-type')]).toEqual([
    status,
    'text/html; charset=utf-8',
  ])
  expect(page.headers.get('vary')).toMatch(/accept/i)
  expect(page.headers.get('content-security-policy')).toContain("default-src 'none'")
  const text = await page.text()
  if (words !== undefined) expect(text.replaceAll(/\s+/g, ' ')).toContain(`>${words}<`)
  expect(text).toContain('href="/">Go to the start page</a>')
  expect(text).toContain('href="/login">Log in</a>')
  const clients: Record<string, string>[] = [
    { accept: '*/*' },
    { accept: 'application/json' },
    { accept: 'application/json, text/html;q=0.5' },
    { accept: BROWSER, authorization: 'Bearer x' },
  ]
  for (const headers of clients) {
    const answer = await ask(path, headers)
    expect([headers, answer.status]).toEqual([headers, status])
    expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/)
  }
})

test('other methods, the API of WaTTS, and missing tokens are for programs', async () => {
  const answers = [
    await ask('/nothing', { accept: BROWSER }, 'POST'),
    await ask('/api/nothing', { accept: BROWSER }),
    await ask('/v1/credentials', { accept: BROWSER }),
  ]
  for (const answer of answers)
    expect(answer.headers.get('content-type')).toMatch(/^application\/(problem\+)?json/)
  expect(answers[2]?.status).toBe(401)
})

test('a user who is logged in gets back to the services', async () => {
  const alice = new Browser(service())
  await alice.logIn()
  const { status, text } = await alice.ask('/nothing', { headers: { accept: BROWSER } })
  expect(status).toBe(404)
  expect(text).toContain('href="/services">Go to the services</a>')
  expect(text).toContain('Alice Example')
})

test('a page that fails is left to the next handler', async () => {
  const app = express()
  const web = {
    metrics: {
      refused: () => {
        throw new Error('broken')
      },
    },
  }
  app.use(() => {
    throw new TtsError('not_found', 'no such path')
  })
  app.use(errorsForBrowsers(web as unknown as Web))
  // oxlint-disable-next-line max-params -- Express knows an error handler by its four parameters
  app.use(((error: Error, _request, response, _next) => {
    response.status(500).send(error.message)
  }) satisfies ErrorRequestHandler)
  const answer = await request(app).get('/').set('accept', BROWSER)
  expect([answer.status, answer.text]).toEqual([500, 'broken'])
})

test('the icon: where browsers look, and on the pages', async () => {
  const icon = await ask('/favicon.ico', { accept: 'image/*' })
  expect([icon.status, icon.headers.get('content-type')]).toEqual([
    200,
    'image/svg+xml; charset=utf-8',
  ])
  expect(icon.headers.get('content-security-policy')).toContain("img-src 'self'")
  const [, path = ''] =
    /rel="icon" href="([^"]+)"/.exec(await (await ask('/', { accept: BROWSER })).text()) ?? []
  expect(await (await ask(path, {})).text()).toBe(await icon.text())
  expect((await ask('/favicon.ico', {}, 'POST')).status).toBe(405)
})

test('without delegations at the provider nothing leads to them', async () => {
  const alice = new Browser(service())
  await alice.logIn()
  const { text } = await alice.ask('/services')
  expect(text).toContain('href="/credentials"')
  expect(text).not.toContain('/delegations')
  const page = await alice.ask('/delegations')
  expect(page.text).not.toContain('<button>Create a delegation')
})
