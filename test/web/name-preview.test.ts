/** The form says which name the certificate will have, and does not assign it. */
import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { useTestService } from '../support/service.ts'
import { Browser, fieldsOf, withLogin } from './support.ts'

const everybody = { allow: [{ provider: 'iam', claims: { sub: { any: true } } }] }
const service = useTestService(
  withLogin({
    services: {
      proxy: { authz: everybody },
      x509: { authz: everybody },
      claims: { plugin: 'info', authz: everybody },
    },
  }),
)
const base = '/C=EU/O=INDIGO/OU=TTS/CN='

async function shownName(browser: Browser, id: string): Promise<string | undefined> {
  const { text } = await browser.ask(`/services/${id}`)
  return /Your DN (is|will be)\s+<span class="mono"><bdi>[^<]+/
    .exec(text)?.[0]
    .replace(/\s+<span class="mono"><bdi>/, ' ')
}

test('a free name is announced, not assigned; then it is the name in the certificate', async () => {
  const { store } = service().running.service
  const { sub } = service().provider.user('alice')
  const issuer = service().provider.issuer.replace(/\/$/, '')
  const name = `${base}${sub}@indigo-iam-test`
  const browser = new Browser(service())
  await browser.logIn('alice')
  for (const id of ['proxy', 'x509', 'proxy'])
    expect(await shownName(browser, id)).toBe(`Your DN will be ${name}`)
  expect(await store.findIdentity({ issuer, sub })).toBeUndefined()
  expect(await shownName(browser, 'claims')).toBeUndefined()

  const form = fieldsOf((await browser.ask('/services/x509')).text, '/services/x509')
  const { text } = await browser.ask('/services/x509', { form })
  const [pem = ''] = /-----BEGIN CERTIFICATE-----[^<]*/.exec(text) ?? []
  expect(`/${new X509Certificate(pem).subject.replaceAll('\n', '/')}`).toBe(name)
  expect(await shownName(browser, 'proxy')).toBe(`Your DN is ${name}`)
})

test('a name that differs only in case from that of another identity is not announced', async () => {
  const { store } = service().running.service
  const { sub } = service().provider.user('bob')
  const subject = `${base}${sub.toUpperCase()}@indigo-iam-test`
  const other = { issuer: 'https://other.example', sub: 'x' }
  const taken = [{ subject, comparable: subject.toLowerCase() }]
  await store.ensureIdentity(other, taken, new Date())
  const browser = new Browser(service())
  await browser.logIn('bob')
  const announced = await shownName(browser, 'proxy')
  expect(announced).toMatch(/^Your DN will be .*\/CN=h-[a-z2-7]{40}@indigo-iam-test$/)
  const form = fieldsOf((await browser.ask('/services/proxy')).text, '/services/proxy')
  await browser.ask('/services/proxy', { form })
  expect(await shownName(browser, 'proxy')).toBe(announced?.replace('will be', 'is'))
})
