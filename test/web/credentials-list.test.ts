/** "Issued to you" with 0, 1 and 200 credentials: one revocation for each EEC, filters, pages, local times. */
import type { Browser as Chromium } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { countInWords, groupCredentials } from '../../src/web/pages/credential-groups.ts'
import { chromiumPackages, seriousFindings, startChromium } from '../support/chromium.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { useTestService } from '../support/service.ts'
import { MANY, recordManyCredentials } from './many-credentials.ts'
import { Browser, fieldsOf, withLogin } from './support.ts'

const everybody = { allow: [{ provider: 'iam', claims: { sub: { any: true } } }] }
const service = useTestService(
  withLogin({ services: { proxy: { authz: everybody }, x509: { authz: everybody } } }),
)
const rows = (page: string): number => page.split('<th scope="row">').length - 1
const revocations = (page: string): number => page.split('/revoke"').length - 1

beforeAll(async () => recordManyCredentials(service(), service().provider.user('alice').sub))

test('0 and 1 credentials', async () => {
  const bob = new Browser(service())
  await bob.logIn('bob')
  const none = await bob.ask('/credentials')
  expect(none.text).toContain('You have no valid credential.')
  expect(none.text).not.toContain('<table')
  const form = await bob.ask('/services/proxy')
  await bob.ask('/services/proxy', { form: fieldsOf(form.text, '/services/proxy') })
  const one = await bob.ask('/credentials')
  expect([rows(one.text), revocations(one.text)]).toEqual([1, 1])
  expect(one.text).toMatch(/aria-label="Revoke 1 proxy of certificate [0-9a-f]+"/)
  expect(one.text).toMatch(/<meter[^>]*value="100"[^>]*aria-label="100 % of the lifetime is left"/s)
})

test('200 credentials: a row and a revocation for each EEC, 25 on a page', async () => {
  const alice = new Browser(service())
  await alice.logIn('alice')
  const first = await alice.ask('/credentials')
  // 25 EECs, the first with all proxies, and the SSH certificates in a table of their own.
  expect([rows(first.text), revocations(first.text)]).toEqual([25 + 10, 25 + 10])
  expect(first.text).toContain(`>Revoke ${MANY.proxies} proxies</a`)
  expect(first.text).toContain('Page 1 of 3')
  const last = await alice.ask('/credentials?page=3')
  expect(rows(last.text)).toBe(1 + MANY.certificates - 50)
  const ssh = await alice.ask('/credentials?service=ssh')
  expect([rows(ssh.text), ssh.text.includes('Page 1')]).toEqual([10, false])
  const proxies = await alice.ask('/credentials?service=proxy')
  expect(rows(proxies.text)).toBe(1)
  for (const address of ['?page=99', '?page=0', '?page=x', '?show=x', '?service=none&show=all'])
    expect([address, (await alice.ask(`/credentials${address}`)).status]).toEqual([address, 200])
})

describeWithTools('in Chromium', chromiumPackages, () => {
  let chromium: Chromium
  beforeAll(async () => {
    chromium = await startChromium()
  })
  afterAll(async () => chromium?.close())

  const screens = [
    { width: 390, height: 780, colorScheme: 'dark', most: 9000 },
    { width: 960, height: 720, colorScheme: 'light', most: 5000 },
  ] as const
  test.for(screens)(
    'the height is bounded at $width pixels',
    { timeout: 60_000 },
    async ({ width, height, colorScheme, most }) => {
      const context = await chromium.newContext({ viewport: { width, height }, colorScheme })
      const page = await context.newPage()
      await page.goto(service().url)
      await page.getByRole('link', { name: 'Log in with Demo IAM' }).click()
      await page.getByRole('button', { name: 'Alice Example' }).click()
      await page.goto(`${service().url}/credentials`)
      const size = await page.evaluate<[number, number]>(
        '[document.documentElement.scrollHeight, document.documentElement.scrollWidth]',
      )
      expect(size[0]).toBeLessThan(most)
      expect(size[1]).toBe(width)
      expect(await page.getByRole('row').count()).toBe(2 + 35)
      expect(await page.getByRole('link', { name: /^Revoke / }).count()).toBe(35)
      expect(await seriousFindings(page)).toEqual([])
      await context.close()
    },
  )

  test.for([true, false])('times are local; with script: %s', async (javaScriptEnabled) => {
    const context = await chromium.newContext({ timezoneId: 'Asia/Tokyo', javaScriptEnabled })
    const page = await context.newPage()
    await page.goto(service().url)
    await page.getByRole('link', { name: 'Log in with Demo IAM' }).click()
    await page.getByRole('button', { name: 'Alice Example' }).click()
    await page.goto(`${service().url}/credentials`)
    const time = page.locator('td time').first()
    const utc = new Date((await time.getAttribute('datetime')) ?? '')
    const shown = new Date(utc.getTime() + (javaScriptEnabled ? 9 * 3_600_000 : 0)).toISOString()
    const zone = javaScriptEnabled ? 'GMT+9' : 'UTC'
    expect(await time.textContent()).toBe(`${shown.slice(0, 10)} ${shown.slice(11, 16)} ${zone}`)
    await context.close()
  })
})

test('one revocation ends the proxies of the EEC, and nothing else', async () => {
  const alice = new Browser(service())
  await alice.logIn('alice')
  const list = await alice.ask('/credentials?service=proxy')
  const [, path = ''] = /href="(\/credentials\/[0-9a-f-]{36}\/revoke)"/.exec(list.text) ?? []
  const question = await alice.ask(path)
  expect(question.text).toContain(`Revoke ${MANY.proxies} proxies?`)
  expect(question.text).toMatch(/This revokes 120 proxies of\s+<bdi\s*>\/C=EU\/O=INDIGO/)
  await alice.ask(path, { form: fieldsOf(question.text, path) })
  const after = await alice.ask('/credentials')
  expect(after.text).toContain('Page 1 of 3')
  expect((await alice.ask('/credentials?service=proxy')).text).toContain(
    'You have no valid credential from this service.',
  )
  const all = await alice.ask('/credentials?service=proxy&show=all')
  expect([rows(all.text), revocations(all.text)]).toEqual([1, 0])
  expect(all.text).toContain('revoked')
})

test('credentials that were removed from the list count for a revocation, but are not shown', async () => {
  const { store } = service().running.service
  const [view] = await store.listCredentials({ serviceId: 'x509', limit: 1 })
  if (view === undefined) throw new Error('no credential is recorded')
  const forgotten = { ...view, id: 'other', forgottenAt: new Date() }
  const [group] = groupCredentials([view, forgotten], new Date())
  expect(group?.members.map(({ id }) => id)).toEqual([view.id])
  expect(countInWords(group?.active ?? [])).toBe('2 certificates')
  expect(groupCredentials([forgotten], new Date())).toEqual([])
})
