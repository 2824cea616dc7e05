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

test('a banned operator can neither ban others nor lift the own ban', async () => {
  const alice = await loggedIn('alice')
  const { sub } = service().provider.user('alice')
  const query = new URLSearchParams({ issuer: service().provider.issuer, sub }).toString()
  const fields = fieldsOf((await alice.ask(`/audit/ban?${query}`)).text, '/audit/ban')
  const banned = await alice.ask('/audit/ban', { form: { ...fields, reason: 'stolen account' } })
  expect(banned.status).toBe(200)
  const { store } = service().running.service
  const [ban] = (await store.bans.inForce()).bans
  const form = { ...fields, reason: 'revenge', id: ban?.id ?? '' }
  for (const page of ['/audit', `/audit/ban?${query}`]) {
    const answer = await alice.ask(page)
    expect([answer.status, answer.text]).toEqual([403, expect.stringContaining('has banned you')])
  }
  for (const path of ['/audit/ban', '/audit/lift'])
    expect((await alice.ask(path, { form })).status).toBe(403)
  expect((await store.bans.inForce()).bans).toHaveLength(1)
  const [audit] = await store.listAudit({ event: 'ban.added', limit: 1 })
  if (ban === undefined || audit === undefined) throw new Error('there is no ban')
  await store.bans.lift(ban.id, new Date(), audit)
  await expect.poll(async () => (await alice.ask('/audit')).status, { timeout: 3000 }).toBe(200)
})

test('a user who was never seen, and names that nobody has', async () => {
  const alice = await loggedIn('alice')
  const { issuer } = service().provider
  const pageOf = async (sub: string) =>
    alice.ask(`/audit/ban?${new URLSearchParams({ issuer, sub }).toString()}`)
  const fields = fieldsOf((await pageOf('new')).text, '/audit/ban')
  const banned = await alice.ask('/audit/ban', { form: { ...fields, reason: 'announced' } })
  expect(banned.text).toContain('This user has never asked for anything here.')
  const lift = fieldsOf((await alice.ask('/audit')).text, '/audit/lift')
  expect((await alice.ask('/audit/lift', { form: lift })).status).toBe(303)
  for (const sub of ['x'.repeat(1025), 'x\u202ey', 'x\ny']) {
    expect((await pageOf(sub)).status).toBe(400)
    const form = { ...fields, sub, reason: 'why' }
    expect((await alice.ask('/audit/ban', { form })).status).toBe(400)
  }
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
