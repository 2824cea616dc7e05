/** Chains of all kinds of keys, judged by openssl. */
import { describe, expect, test } from 'vitest'
import { readCertificate } from '../../ca/certificate.ts'
import type { ProxyType } from '../../ca/extensions.ts'
import { issueProxy } from '../../ca/proxy.ts'
import { makeAuthority, makeEndEntity, makeProxy, now, proxyRequest } from '../support/issuing.ts'
import { opensslRefusal } from '../support/openssl.ts'

const authorities = ['rsa-4096', 'rsa-3072', 'ec-p256', 'ec-p384'] as const
const users = ['rsa-2048', 'ec-p256'] as const
const kinds = authorities.flatMap((ca) =>
  users.flatMap((user) => users.map((proxy) => [ca, user, proxy] as const)),
)

describe('openssl verify -x509_strict', () => {
  test.for(kinds)('accepts CA %s, EEC %s, proxy %s as a proxy only', async ([ca, user, kind]) => {
    const issuing = await makeAuthority(ca)
    const under = await makeEndEntity(issuing, user)
    const leaf = await makeProxy(under, kind)
    const chain = { leaf, untrusted: [under.certificate], anchors: [issuing.certificate], now }
    expect(await opensslRefusal(chain)).toBeUndefined()
    expect(await opensslRefusal({ ...chain, allowProxies: false })).toMatch(/error 40 /)
    expect(await opensslRefusal({ ...chain, now: new Date(now.getTime() + 43_201_000) })).toMatch(
      /expired/,
    )
    expect(await opensslRefusal({ ...chain, now: new Date(now.getTime() - 301_000) })).toMatch(
      /not yet valid/,
    )
  })

  test.for<ProxyType>(['impersonation', 'limited', 'independent'])(
    'accepts a proxy of kind %s',
    async (type) => {
      const authority = await makeAuthority()
      const endEntity = await makeEndEntity(authority)
      const request = { ...(await proxyRequest(endEntity)), type, pathLength: 0 }
      const leaf = readCertificate(await issueProxy(endEntity, request))
      const chain = {
        leaf,
        untrusted: [endEntity.certificate],
        anchors: [authority.certificate],
        now,
      }
      expect(await opensslRefusal(chain)).toBeUndefined()
    },
  )
})
