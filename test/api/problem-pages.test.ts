import { describe, expect, test } from 'vitest'
import { errorCodes } from '../../src/api/error-codes.ts'
import { rawRequest, problemOf, ask, quick } from './support.ts'
import { useTestService } from '../support/service.ts'

const service = useTestService(quick)
const browser = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'

async function page(path: string, accept = '*/*') {
  return rawRequest(`${service().url}${path}`, { method: 'GET', headers: { accept } })
}

describe.for(Object.entries(errorCodes))('/problems/%s', ([code, { status, title, action }]) => {
  test('is Markdown for programs', async () => {
    const { status: found, headers, text } = await page(`/problems/${code}`)
    expect([found, headers['content-type']]).toEqual([200, 'text/markdown; charset=utf-8'])
    expect(text).toMatch(new RegExp(`^# ${title} \\(${code}\\)\n\nHTTP status ${status},`))
    expect(text).toContain(action)
  })

  test('is HTML for browsers', async () => {
    const { status: found, headers, text } = await page(`/problems/${code}`, browser)
    expect([found, headers['content-type']]).toEqual([200, 'text/html; charset=utf-8'])
    expect(text).toContain(`<h1>${title} (${code})</h1>`)
    expect(text).not.toContain('`')
  })
})

test('the texts have no character that HTML must escape', () => {
  expect(JSON.stringify(Object.values(errorCodes))).not.toMatch(/[&<>]/)
})

test('/problems links to each of them', async () => {
  const { text, headers } = await page('/problems', browser)
  const links = [...text.matchAll(/href="([^"]*)"/g)].map(([, link]) => link)
  expect(links).toEqual(Object.keys(errorCodes).map((code) => `/problems/${code}`))
  expect(headers).toMatchObject({
    'cache-control': 'public, max-age=3600',
    vary: 'Accept',
    'x-content-type-options': 'nosniff',
    'content-security-policy': expect.stringContaining("default-src 'self'") as string,
  })
})

test.for(['nothing', 'constructor', '__proto__', 'NOT_FOUND', 'not_found%00', '..%2fnot_found'])(
  '/problems/%s does not exist',
  async (code) => {
    const answer = await ask(service(), `/problems/${code}`, { method: 'GET', token: undefined })
    expect(await problemOf(answer)).toMatchObject({ status: 404, code: 'not_found' })
  },
)

describe('the type of an error resolves to a page of the same service', () => {
  test.for([
    ['/nowhere', 'not_found'],
    ['/v1/credentials', 'missing_token'],
  ] as const)('%s', async ([path, code]) => {
    const answer = await ask(service(), path, { method: 'GET', token: undefined })
    const { type } = await problemOf(answer)
    const { status, text } = await page(new URL(type, service().url).pathname)
    expect([status, text]).toEqual([200, expect.stringContaining(`(${code})`)])
  })

  test('also where the message was not HTTP', async () => {
    const { text } = await rawRequest(`${service().url}/`, {
      method: 'GET',
      headers: { x: 'x'.repeat(40_000) },
    })
    expect(JSON.parse(text)).toMatchObject({ status: 431, type: '/problems/invalid_request' })
  })
})
