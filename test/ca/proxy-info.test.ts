import { describe, expect, test } from 'vitest'
import { proxyCertInfo } from '../../ca/extensions.ts'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import { describeProxy, formatProxyInfo, formatTimeLeft } from '../../ca/proxy-info.ts'
import { makeCredential } from '../support/authority.ts'
import { buildChain, NOW } from '../support/certificate-builder.ts'

const where = { now: NOW, path: '/tmp/x509up_u0' }

describe('describeProxy', () => {
  test('prints what grid-proxy-info prints', async () => {
    const facts = describeProxy(parseProxyFile((await buildChain()).text), where)
    const user = '/C=EU/O=INDIGO/OU=TTS/CN=9E499E0E-CE25-485B-9353-D19726FD287A@indigo-iam-test'
    expect(formatProxyInfo(facts)).toBe(
      [
        `subject  : ${user}/CN=70851700422777`,
        `issuer   : ${user}`,
        `identity : ${user}`,
        'type     : RFC 3820 compliant impersonation proxy',
        'strength : 2048 bits',
        'path     : /tmp/x509up_u0',
        'timeleft : 96:00:00  (4.0 days)',
        '',
      ].join('\n'),
    )
    expect(facts.certificates.map(({ kind }) => kind)).toEqual(['proxy', 'end entity'])
  })

  test('the time left is that of the certificate that ends first', async () => {
    const facts = describeProxy(await buildChain({ endEntity: { ends: 7200 } }), where)
    expect(facts.timeLeftSeconds).toBe(7200)
    expect(facts.certificates.map(({ timeLeftSeconds }) => timeLeftSeconds)).toEqual([
      345_600, 7200,
    ])
  })

  test('VOMS attributes have a line, with their time left', async () => {
    const voms = { fqans: ['/cms/Role=production', '/cms'], lifetimeSeconds: 3600 }
    const { text } = await makeCredential({ voms })
    const facts = describeProxy(parseProxyFile(text), where)
    expect(facts.attributes).toEqual([
      {
        vo: 'cms',
        fqans: ['/cms/Role=production', '/cms'],
        issuer: '/C=EU/O=INDIGO/OU=TTS/CN=voms.example.org',
        server: 'voms.example.org:15000',
        notAfter: new Date(NOW.getTime() + 3_600_000),
        timeLeftSeconds: 3600,
      },
    ])
    expect(formatProxyInfo(facts)).toContain(
      'voms     : /cms/Role=production /cms  (timeleft 1:00:00)\n',
    )
    const later = new Date(NOW.getTime() + 2 * 3_600_000)
    expect(
      formatProxyInfo(describeProxy(parseProxyFile(text), { ...where, now: later })),
    ).toContain('voms     : /cms/Role=production /cms  (ended)\n')
  })

  test('what is past has no time left', async () => {
    const facts = describeProxy(await buildChain({ proxies: [{ ends: -60 }] }), where)
    expect(facts.timeLeftSeconds).toBe(0)
  })

  test('the path length is what is left of it', async () => {
    const three = { extensions: { proxyCertInfo: proxyCertInfo('impersonation', 3) } }
    const facts = describeProxy(await buildChain({ proxies: [three, {}] }), where)
    expect(facts.pathLength).toBe(2)
    expect(describeProxy(await buildChain(), where).pathLength).toBeUndefined()
  })

  test('a limited proxy anywhere makes it limited', async () => {
    const limited = { extensions: { proxyCertInfo: proxyCertInfo('limited', undefined) } }
    expect(describeProxy(await buildChain({ proxies: [limited, {}] }), where).limited).toBe(true)
    expect(describeProxy(await buildChain(), where).limited).toBe(false)
  })

  test('an EC key has the bits of its curve, where Globus prints the size of a signature', async () => {
    const facts = describeProxy(await buildChain({ proxies: [{ key: 'ec-p256' }] }), where)
    expect(facts).toMatchObject({ keyFamily: 'EC', strengthBits: 256 })
  })
})

test.for([
  [0, '0:00:00'],
  [61, '0:01:01'],
  [3600, '1:00:00'],
  [86_400, '24:00:00'],
  [86_401, '24:00:01  (1.0 days)'],
  [328_455, '91:14:15  (3.8 days)'],
] as const)('%i seconds are %s', ([seconds, text]) => {
  expect(formatTimeLeft(seconds)).toBe(text)
})
