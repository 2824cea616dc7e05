import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TtsError } from '../../src/base/errors.ts'
import { formatExceptions, readHttpProxy, usesProxy } from '../../src/network/http-proxy.ts'

const HTTPS_PROXY = 'http://proxy.example.org:3128'
const proxyOf = (environment: Record<string, string>) => {
  const { proxy } = readHttpProxy({ HTTPS_PROXY, ...environment })
  if (proxy === undefined) throw new Error('there is no proxy')
  return proxy
}

describe('the URL of the proxy', () => {
  test.for([
    ['http://proxy.example.org:3128', 'proxy.example.org:3128'],
    ['proxy.example.org:3128', 'proxy.example.org:3128'],
    ['http://proxy.example.org', 'proxy.example.org:80'],
    ['https://proxy.example.org', 'proxy.example.org:443'],
    ['HTTP://user:p%40ss@Proxy.example.org:3128/', 'proxy.example.org:3128'],
    ['http://[2001:db8::1]:3128', '[2001:db8::1]:3128'],
    ['  http://proxy.example.org:3128 ', 'proxy.example.org:3128'],
  ] as const)('%s', ([value, shown]) => {
    expect(proxyOf({ HTTPS_PROXY: value }).shown).toBe(shown)
  })

  test.for([
    'socks5://u:secret@host:1080',
    'http://',
    'http://u:secret@',
    'http://a b',
    '://',
    'ftp://h',
  ])('%s is refused, and not shown', (value) => {
    const read = () => readHttpProxy({ HTTPS_PROXY: value })
    expect(read).toThrow(TtsError)
    expect(read).toThrow(
      /^HTTPS_PROXY: must be the URL of an HTTP proxy, such as http:\/\/proxy\.example\.org:3128$/,
    )
  })

  test('lower case comes first, and empty values are unset', () => {
    const other = 'http://other.example.org:1'
    expect(proxyOf({ https_proxy: other }).shown).toBe('other.example.org:1')
    expect(proxyOf({ https_proxy: '' }).shown).toBe('proxy.example.org:3128')
    expect(readHttpProxy({ HTTPS_PROXY: '' }).proxy).toBeUndefined()
    // As for curl and Node: the proxy for plain http is another setting.
    expect(readHttpProxy({ HTTP_PROXY: other, ALL_PROXY: other }).proxy).toBeUndefined()
  })
})

describe('NO_PROXY', () => {
  const direct = (noProxy: string, url: string): boolean =>
    !usesProxy(proxyOf({ NO_PROXY: noProxy }), new URL(url))

  test.for([
    ['', 'https://idp.example.org/', false],
    ['idp.example.org', 'https://idp.example.org/', true],
    ['example.org', 'https://idp.example.org/', true],
    ['.example.org', 'https://idp.example.org/', true],
    ['*.example.org', 'https://idp.example.org/', true],
    ['.example.org', 'https://example.org/', true],
    ['example.org', 'https://badexample.org/', false],
    ['.example.org', 'https://badexample.org/', false],
    ['example.org', 'https://example.org.evil.com/', false],
    ['EXAMPLE.org', 'https://Idp.Example.ORG/', true],
    ['a.org, example.org', 'https://idp.example.org/', true],
    ['a.org example.org', 'https://idp.example.org/', true],
    ['a.org,,example.org,', 'https://idp.example.org/', true],
    ['example.org:443', 'https://idp.example.org/', true],
    ['example.org:8443', 'https://idp.example.org:8443/', true],
    ['example.org:8443', 'https://idp.example.org/', false],
    ['192.0.2.7', 'https://192.0.2.7/', true],
    ['192.0.2.7', 'https://192.0.2.77/', false],
    ['2001:db8::1', 'https://[2001:db8::1]/', true],
    ['[2001:db8::1]', 'https://[2001:db8::1]/', true],
    ['[2001:db8::1]:8443', 'https://[2001:db8::1]:8443/', true],
    ['[2001:db8::1]:8443', 'https://[2001:db8::1]/', false],
    ['192.0.2.0/24', 'https://192.0.2.7/', false],
    ['', 'https://localhost:8443/', true],
    ['', 'https://127.0.0.1/', true],
    ['', 'https://[::1]:8443/', true],
    ['', 'http://idp.example.org/', true],
  ] as const)('"%s" and %s', ([noProxy, url, expected]) => {
    expect(direct(noProxy, url)).toBe(expected)
  })

  test.for(['*', 'example.org,*', '* example.org'])('%s: no proxy at all', (noProxy) => {
    expect(readHttpProxy({ HTTPS_PROXY, NO_PROXY: noProxy }).proxy).toBeUndefined()
  })

  test('networks are ignored with a warning', () => {
    expect(readHttpProxy({ HTTPS_PROXY, no_proxy: '10.0.0.0/8,example.org' }).warnings).toEqual([
      'NO_PROXY: 10.0.0.0/8 is ignored, because networks are not supported; name hosts or domains',
    ])
  })

  test('any text gives exceptions that read the same after formatting', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const { proxy } = readHttpProxy({ HTTPS_PROXY, NO_PROXY: text })
        if (proxy === undefined) return text.split(/[\s,]+/).includes('*')
        const again = proxyOf({ NO_PROXY: formatExceptions(proxy.exceptions) })
        for (const one of proxy.exceptions.filter(({ host }) => /^[a-z0-9.:-]+$/.test(host)))
          expect(again.exceptions).toContainEqual(one)
        return true
      }),
    )
  })
})
