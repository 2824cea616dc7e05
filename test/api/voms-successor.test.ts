/** Renewal by possession and VOMS attributes: a successor has those of its predecessor, or fewer, never more. */
import { createHash, type KeyObject, sign } from 'node:crypto'
import { beforeAll, beforeEach, expect, test } from 'vitest'
import { readCertificate } from '../../ca/certificate.ts'
import { createCsr } from '../../ca/csr.ts'
import { createSigner, generatePrivateKey } from '../../ca/key.ts'
import { readPem } from '../../ca/pem.ts'
import { attributeCertificatesOf } from '../../ca/voms/read-attributes.ts'
import { useTestService } from '../support/service.ts'

let now = Date.now()
const cms = {
  provider: 'iam',
  port: 15_000,
  fqans: [
    { group: 'cms', fqan: '/cms' },
    { group: 'cms/production', fqan: '/cms/Role=production' },
  ],
}
const atlas = { provider: 'iam', port: 15_001 }
const service = useTestService({
  now: () => new Date(now),
  configuration: {
    voms: { host: 'tts.example.org', vos: { cms, atlas } },
    delegations: { renewal_by_possession: { enabled: true } },
  },
})
let key: KeyObject
let csr: string
beforeAll(async () => {
  key = await generatePrivateKey('ec-p256')
  csr = await createCsr([], createSigner(key))
})
beforeEach(() => {
  now = Date.now()
})

const FAR = Math.floor(Date.now() / 1000) + 10 * 86_400

async function first(query: string, groups = ['cms', 'cms/production']): Promise<string> {
  const iat = Math.floor(now / 1000)
  const response = await fetch(`${service().url}/v1/proxies?${query}`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${service().token('alice', { groups, iat, exp: FAR })}` },
    body: csr,
  })
  const text = await response.text()
  expect(response.status, text).toBe(200)
  return text
}

async function successorOf(
  proxy: string,
  parameters: Record<string, unknown> = {},
): Promise<{ readonly status: number; readonly text: string }> {
  now += 1000
  const at = new Date(now).toISOString()
  const der = readPem(csr, 'CSR', 10_000)[0]?.der ?? Buffer.alloc(0)
  const digest = createHash('sha256').update(der).digest('hex')
  const signature = sign('sha256', Buffer.from(`tts successor v1\n${at}\n${digest}`), key)
  const response = await fetch(`${service().url}/v1/proxies/successor`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({
      proxy,
      csr,
      at,
      signature: signature.toString('base64'),
      ...parameters,
    }),
  })
  return { status: response.status, text: await response.text() }
}

function fqansIn(pem: string): readonly string[] {
  const der = readPem(pem, 'proxy', 100_000)[0]?.der ?? Buffer.alloc(0)
  return attributeCertificatesOf(readCertificate(der)).flatMap(({ fqans }) =>
    fqans.map((fqan) => fqan.replace(/(\/Role=NULL)?\/Capability=NULL/, '')),
  )
}

test('a successor inherits the attributes, in their order', async () => {
  const proxy = await first('voms=cms:/cms/Role=production')
  const { status, text } = await successorOf(proxy)
  expect(status, text).toBe(200)
  expect(fqansIn(text)).toEqual(['/cms/Role=production', '/cms'])
})

test('fewer can be asked for, and no more', async () => {
  const proxy = await first('voms=cms')
  expect(fqansIn(proxy)).toEqual(['/cms'])
  expect(fqansIn((await successorOf(proxy)).text)).toEqual(['/cms'])
  const more = await successorOf(proxy, { voms: 'cms:/cms/Role=production' })
  expect(more.status).toBe(403)
  expect(more.text).toContain(
    'your proxy has attributes of the VO cms already, and not the requested',
  )
  const both = await first('voms=cms:/cms/Role=production')
  expect(fqansIn((await successorOf(both, { voms: 'cms:/cms' })).text)).toEqual(['/cms'])
})

test('a proxy without attributes can get some: they are those of the newest token', async () => {
  const proxy = await first('')
  expect(fqansIn((await successorOf(proxy)).text)).toEqual([])
  expect(fqansIn((await successorOf(proxy, { voms: 'cms:all' })).text)).toEqual([
    '/cms',
    '/cms/Role=production',
  ])
  now += 60_000
  await first('', ['cms'])
  expect(fqansIn((await successorOf(proxy, { voms: 'cms:all' })).text)).toEqual(['/cms'])
})

test('groups that the newest token does not have, or of long ago, are not renewed', async () => {
  const proxy = await first('voms=cms:/cms/Role=production')
  now += 60_000
  await first('', ['cms'])
  const { status, text } = await successorOf(proxy)
  expect(status).toBe(403)
  expect(text).toContain('you do not have /cms/Role=production; you have /cms')
  const lasting = await first('voms=cms')
  now += 25 * 3_600_000
  const late = await successorOf(lasting)
  expect(late.status).toBe(403)
  expect(late.text).toContain('were last seen too long ago: come again with a new access token')
})

test('attributes cannot be lost on the way: the next proxy could have more', async () => {
  const proxy = await first('voms=cms+atlas', ['cms', 'atlas', 'atlas/higgs'])
  for (const wanted of [[], '', null])
    expect((await successorOf(proxy, { voms: wanted })).status).toBe(400)
  const { status, text } = await successorOf(proxy, { voms: 'cms' })
  expect(status).toBe(403)
  expect(text).toContain('your proxy has attributes of the VO atlas, and so must its successor')
})

test('attributes that have ended still limit', async () => {
  const proxy = await first('voms=cms:/cms')
  now += 25 * 3_600_000
  await first('')
  const more = await successorOf(proxy, { voms: 'cms:/cms/Role=production' })
  expect(more.text).toContain('your proxy has attributes of the VO cms already')
  expect(fqansIn((await successorOf(proxy)).text)).toEqual(['/cms'])
})
