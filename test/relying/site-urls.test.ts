/** Which addresses lie under that of a site: properties against an independent reading of URLs. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isRefererOf, urlUnder } from '../../src/relying/site-urls.ts'

const base = 'https://portal.example.org/app/'

describe('an address lies under that of the site', () => {
  test.for([
    ['https://portal.example.org/app', true],
    ['https://portal.example.org/app/', true],
    ['https://portal.example.org/app/x?y=z#w', true],
    ['https://portal.example.org:443/app/x', true],
    ['HTTPS://PORTAL.EXAMPLE.ORG/app/x', true],
    ['https://portal.example.org/app/./x/../y', true],
    ['https://portal.example.org/App/', false],
    ['https://portal.example.org/', false],
    ['https://portal.example.org', false],
    ['https://portal.example.org/apple', false],
    ['https://portal.example.org/app/..', false],
    ['https://portal.example.org/app/%2E%2e/x', false],
    ['https://portal.example.org/app/..%2fx', false],
    ['https://portal.example.org/app/..%5Cx', false],
    ['http://portal.example.org/app/', false],
    ['https://portal.example.org:8443/app/', false],
    ['https://portal.example.org.evil.org/app/', false],
    ['https://portal.example.org@evil.org/app/', false],
    ['https://user@portal.example.org/app/', false],
    ['https://user:pw@portal.example.org/app/', false],
    ['https://evil.org/https://portal.example.org/app/', false],
    ['https:/portal.example.org/app/', false],
    ['https:portal.example.org/app/', false],
    ['https:\\\\portal.example.org\\app\\', false],
    ['https://portal.example.org\\app\\x', false],
    ['ht\ntps://portal.example.org/app/', false],
    ['https://portal.example.org/app/ x', false],
    ['https://portal.example.org/app/\u0000', false],
    ['https://portal.example.org/app/..%00', false],
    ['https://portal.example.org/app/%00', false],
    ['https://pоrtal.example.org/app/', false],
    ['https://portal.example.org。evil.org/app/', false],
    ['//portal.example.org/app/', false],
    ['/app/', false],
    ['javascript:alert(1)', false],
    ['', false],
  ] as const)('%s: %s', ([text, is]) => {
    expect(urlUnder(text, base) !== undefined).toBe(is)
  })

  test('what is let through has the origin, and is the text of its path', () => {
    const pieces =
      'https:,http:,//,/,\\,portal.example.org,evil.org,@,:,443,.,..,app,%2e,%2f,?,#, ,\t,\n,x,[,%00'
    const piece = fc.constantFrom(...pieces.split(','))
    const prefix = fc.constantFrom(
      '',
      'https://portal.example.org',
      'https://portal.example.org/app',
    )
    fc.assert(
      fc.property(prefix, fc.array(piece, { maxLength: 10 }), (start, rest) => {
        const text = start + rest.join('')
        const url = urlUnder(text, base)
        if (url === undefined) return
        expect(url.href.startsWith('https://portal.example.org/app')).toBe(true)
        expect(url.pathname).toMatch(/^\/app(\/|$)/)
        expect(decodeURIComponent(url.pathname.replaceAll('%00', ''))).not.toMatch(/\/\.\.(\/|$)/)
        // Written again it is the same: nobody reads it otherwise.
        expect(urlUnder(url.href, base)?.href).toBe(url.href)
      }),
      { numRuns: 2000 },
    )
  })

  test('without a path the origin is enough', () => {
    expect(
      urlUnder('https://portal.example.org/any%2f', 'https://portal.example.org'),
    ).toBeDefined()
    expect(urlUnder('https://portal.example.org.evil.org/', 'https://portal.example.org')).toBe(
      undefined,
    )
  })
})

test.for([
  ['https://portal.example.org/', true],
  ['https://portal.example.org', true],
  ['https://portal.example.org/app/page', true],
  ['https://portal.example.org/else', false],
  ['https://portal.example.org/?app', false],
  ['https://portal.example.org.evil.org/', false],
  ['https://user@portal.example.org/', false],
  ['http://portal.example.org/', false],
  ['', false],
] as const)('Referer %s: %s', ([referer, is]) => {
  expect(isRefererOf(referer, base)).toBe(is)
})
