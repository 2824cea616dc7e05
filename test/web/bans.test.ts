/** The operator bans a user on the page, and lifts the ban. */
import { expect, test } from 'vitest'
import { useTestService } from '../support/service.ts'
import { Browser, fieldsOf, withLogin } from './support.ts'

const cms = { provider: 'iam', claims: { groups: { contains: 'cms' } } }
const anybody = { provider: 'iam', claims: { sub: { any: true } } }
const service = useTestService(
  withLogin({
    web: { operators: { allow: [cms] } },
    services: { proxy: { authz: { allow: [anybody] } } },
  }),
)

async function loggedIn(username: string): Promise<Browser> {
  const browser = new Browser(service())
  await browser.logIn(username)
  return browser
}

async function askForProxy(): Promise<{ status: number; text: string }> {
  const { groups } = service().provider.user('bob')
  const response = await fetch(`${service().url}/v1/proxies?key_type=ec-p256`, {
    method: 'POST',
    headers: { authorization: `Bearer ${service().token('bob', { groups })}` },
  })
  return { status: response.status, text: await response.text() }
}

test('ban from the audit page, with a reason, and lift it', async () => {
  expect((await askForProxy()).status).toBe(200)
  const alice = await loggedIn('alice')
  const { sub } = service().provider.user('bob')
  const audit = await alice.ask('/audit')
  const link = new RegExp(`href="(/audit/ban\\?[^"]*sub=${sub}[^"]*)"`).exec(audit.text)?.[1] ?? ''
  const form = await alice.ask(link.replaceAll('&#38;', '&'))
  expect(form.status).toBe(200)
  expect(form.text).toContain(`nothing is issued to <bdi>${sub}</bdi>`)
  const fields = fieldsOf(form.text, '/audit/ban')

  const missing = await alice.ask('/audit/ban', { form: { ...fields, reason: ' ' } })
  expect(missing.status).toBe(400)
  expect(missing.text).toContain('Enter a reason of at most 200 characters.')
  expect(missing.text).toMatch(/aria-invalid="true" aria-describedby="reason-problem"/)

  const long = await alice.ask('/audit/ban', { form: { ...fields, reason: 'x'.repeat(201) } })
  expect(long.text).toContain(`value="${'x'.repeat(201)}"`)

  const done = await alice.ask('/audit/ban', { form: { ...fields, reason: 'stolen laptop' } })
  expect(done.status).toBe(200)
  expect(done.text).toMatch(/1 credential\(s\) revoked,\s+0 delegation\(s\) ended\./)
  const refused = await askForProxy()
  expect(refused).toMatchObject({ status: 403 })
  expect(refused.text).toContain('the operator of this service has banned you, or your group')

  const after = await alice.ask('/audit')
  expect(after.text).toContain('Bans in force (1)')
  expect(after.text).toContain('<bdi>stolen laptop</bdi>')
  const lift = fieldsOf(after.text, '/audit/lift')
  expect((await alice.ask('/audit/lift', { form: lift })).headers.get('location')).toBe('/audit')
  expect((await alice.ask('/audit')).text).not.toContain('Bans in force')
  await expect.poll(async () => (await askForProxy()).status, { timeout: 3000 }).toBe(200)
})

test('nobody else learns that there are such pages', async () => {
  const bob = await loggedIn('bob')
  const query = new URLSearchParams({ issuer: service().provider.issuer, sub: 'x' }).toString()
  expect((await bob.ask(`/audit/ban?${query}`)).status).toBe(404)
  const { text } = await bob.ask('/services')
  const { form_token: token = '' } = fieldsOf(text, '/logout')
  for (const path of ['/audit/ban', '/audit/lift']) {
    const form = { form_token: token, issuer: 'x', sub: 'y', reason: 'z', id: 'w' }
    expect((await bob.ask(path, { form })).status).toBe(404)
    // Without the token of the form, not even an operator.
    const alice = await loggedIn('alice')
    expect((await alice.ask(path, { form: { ...form, form_token: 'wrong' } })).status).toBe(403)
  }
  expect(await service().running.service.store.bans.inForce()).toMatchObject({ bans: [] })
})
