/** One-time codes for MyProxy clients, from the page to the client's request. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { cliOrigin, operatorRecord } from '../../src/domain/operator-audit.ts'
import { everythingSaid } from '../api/support.ts'
import { freePort } from '../support/free-port.ts'
import { connectMyProxy, myproxyRequest, OK } from '../support/myproxy.ts'
import { startTestService, type TestService } from '../support/service.ts'
import { Browser, fieldsOf, withLogin } from './support.ts'

const PATH = '/myproxy-code'
let port: number
let service: TestService
beforeAll(async () => {
  port = await freePort()
  service = await startTestService(
    withLogin({ voms: { host: 'localhost' }, myproxy: { listen: '127.0.0.1', port } }),
  )
})
afterAll(async () => service.stop())

async function codeFor(browser: Browser): Promise<string> {
  const { text } = await browser.ask('/services')
  const page = await browser.ask(PATH, { form: fieldsOf(text, PATH) })
  expect(page.status).toBe(200)
  expect(page.headers.get('cache-control')).toBe('no-store')
  expect(page.text).toContain(`myproxy-logon -s localhost -p ${port} -l me</code>`)
  expect(page.text.replace(/\s+/g, ' ')).toContain('It works once, for 5 minutes (until <time')
  expect(page.text).toContain('This gets a credential of the service <code>x509</code>.')
  expect(page.text).toMatch(/For another service, add:\s+<code>-k proxy<\/code>\./)
  const [, code = ''] = /id="code">([^<]+)</.exec(page.text) ?? []
  return code
}

test('a logged-in user gets a code that works once', async () => {
  const browser = new Browser(service)
  await browser.logIn()
  const code = await codeFor(browser)
  expect(await codeFor(browser)).not.toBe(code)
  for (const isGood of [true, false]) {
    const client = await connectMyProxy(port)
    client.send(myproxyRequest(code))
    const answer = await client.received((bytes) => bytes.includes(0))
    expect(answer.toString() === OK).toBe(isGood)
    client.socket.destroy()
  }
  const [line] = await service.running.service.store.listAudit({ event: 'one-time-code.made' })
  expect(line).toMatchObject({ outcome: 'allowed', origin: { interface: 'web' } })
  expect(line?.detail).toMatch(/^valid until \d{4}-/)
  expect(await everythingSaid(service)).not.toContain(code)
})

test('a code needs login and the form of this session', async () => {
  const stranger = new Browser(service)
  expect((await stranger.ask(PATH, { form: {} })).status).toBe(403)
  const browser = new Browser(service)
  await browser.logIn()
  expect((await browser.ask(PATH, { form: { form_token: 'x' } })).status).toBe(403)
  expect((await browser.ask(PATH)).status).toBe(405)
})

test('somebody who is banned gets none', async () => {
  const browser = new Browser(service)
  await browser.logIn('bob')
  const { text } = await browser.ask('/services')
  const { store } = service.running.service
  const at = new Date()
  const issuer = service.provider.issuer.replace(/\/$/, '')
  const ban = {
    id: randomUUID(),
    target: { kind: 'identity', issuer, sub: service.provider.user('bob').sub },
    reason: 'stolen laptop',
    createdAt: at,
    createdBy: 'cli',
    liftedAt: undefined,
  } as const
  const audit = { at, event: 'ban.added', origin: cliOrigin, detail: 'bob' }
  await store.bans.add(ban, operatorRecord(audit))
  // Read once a second.
  const ask = async () => browser.ask(PATH, { form: fieldsOf(text, PATH) })
  await expect.poll(async () => (await ask()).status).toBe(403)
  const page = await ask()
  expect(page.text).toContain('has banned you')
  expect(page.text).not.toContain('id="code"')
})

test('without a MyProxy server there is neither button nor page', async () => {
  const other = await startTestService(withLogin())
  onTestFinished(async () => other.stop())
  const browser = new Browser(other)
  const { text } = await browser.logIn()
  expect(text).not.toContain('myproxy')
  const form = fieldsOf(text, '/logout')
  expect((await browser.ask(PATH, { form })).status).toBe(404)
})
