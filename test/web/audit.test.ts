/** The operator's page: who sees it, what it shows of lines that others wrote, and how much. */
import type { Browser as Chromium } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AuditRecord } from '../../src/domain/records.ts'
import { chromiumPackages, seriousFindings, startChromium } from '../support/chromium.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { type TestService, useTestService } from '../support/service.ts'
import { type Answer, Browser, fieldsOf, withLogin } from './support.ts'

const cms = { provider: 'iam', claims: { groups: { contains: 'cms' } } }
const anybody = { provider: 'iam', claims: { sub: { any: true } } }

/** Writes a line of the trail, as the service does for what others sent it. */
async function write(service: TestService, line: Partial<AuditRecord>): Promise<void> {
  await service.running.service.store.recordAudit({
    at: new Date(),
    event: 'credential.refused',
    outcome: 'refused',
    origin: { interface: 'native', address: '192.0.2.7', requestId: 'a-request' },
    issuer: 'https://iam.example.org/',
    sub: 'somebody',
    serviceId: 'proxy',
    credentialId: undefined,
    code: 'access_denied',
    check: 'rules',
    detail: undefined,
    ...line,
  })
}

async function loggedIn(service: TestService, username: string): Promise<Browser> {
  const browser = new Browser(service)
  await browser.logIn(username)
  return browser
}

const linesOf = ({ text }: Answer): string[] => text.match(/<li class="card">[^]*?<\/li>/g) ?? []

describe('who sees it', () => {
  const service = useTestService(
    withLogin({ web: { operators: { allow: [cms, anybody], forbid: [] } } }),
  )
  const nobodySet = useTestService(withLogin())
  const forbidden = useTestService(
    withLogin({
      web: {
        operators: {
          allow: [anybody],
          forbid: [{ provider: 'iam', claims: { groups: { contains: 'cms' } } }],
        },
      },
    }),
  )
  const onlyAlice = useTestService(withLogin({ web: { operators: { allow: [cms] } } }))
  const services = { service, nobodySet, forbidden, onlyAlice } as const

  const rows = [
    { operators: 'service', rules: 'an allow rule is true', username: 'alice', status: 200 },
    { operators: 'service', rules: 'another allow rule is true', username: 'bob', status: 200 },
    { operators: 'onlyAlice', rules: 'in the group', username: 'alice', status: 200 },
    { operators: 'onlyAlice', rules: 'not in the group', username: 'bob', status: 404 },
    { operators: 'nobodySet', rules: 'no rules', username: 'alice', status: 404 },
    { operators: 'forbidden', rules: 'a forbid rule is true', username: 'alice', status: 404 },
    { operators: 'forbidden', rules: 'the forbid rule is not', username: 'bob', status: 200 },
  ] as const
  test.for(rows)('$rules, $username: $status', async ({ operators, username, status }) => {
    const browser = await loggedIn(services[operators](), username)
    const page = await browser.ask('/audit')
    expect(page.status).toBe(status)
    // Whoever may not does not even learn that there is one.
    const isNamed = (await browser.ask('/services')).text.includes('href="/audit"')
    expect(isNamed).toBe(status === 200)
    if (status === 404) {
      const strip = ({ text }: Answer): string =>
        text.replaceAll(/<code>[0-9a-f-]{36}<\/code>/g, '')
      expect(linesOf(page)).toEqual([])
      expect(strip(page)).not.toContain('Latest requests')
      expect(page.headers.get('cache-control')).toBe('no-store')
    }
  })

  test('who is not logged in is sent to log in, whether there is one or not', async () => {
    for (const one of [service, nobodySet]) {
      const { status, headers, text } = await new Browser(one()).ask('/audit')
      expect([status, headers.get('location')]).toEqual([303, '/login?return=%2Faudit'])
      expect(text).not.toContain('card')
    }
  })

  test.for(['POST', 'PUT', 'DELETE'])('%s: 405', async (method) => {
    const browser = await loggedIn(service(), 'alice')
    const { status, headers } = await browser.ask('/audit', { method })
    expect([status, headers.get('allow')]).toEqual([405, 'GET, HEAD'])
  })

  test('by a bearer token there is none: tokens of programs open no pages', async () => {
    const headers = { authorization: `Bearer ${onlyAlice().token('alice')}`, accept: 'text/html' }
    const answer = await fetch(`${onlyAlice().url}/audit`, { headers, redirect: 'manual' })
    expect([answer.status, answer.headers.get('location')]).toEqual([303, '/login?return=%2Faudit'])
  })

  test('who logged out sees it no more', async () => {
    const browser = await loggedIn(onlyAlice(), 'alice')
    const { text } = await browser.ask('/audit')
    const cookie = browser.cookie('tts_session') ?? ''
    await browser.ask('/logout', { form: fieldsOf(text, '/logout') })
    browser.setCookie('tts_session', cookie)
    expect((await browser.ask('/audit')).status).toBe(303)
  })
})

describe('what it shows', () => {
  const service = useTestService(withLogin({ web: { operators: { allow: [cms] } } }))
  let alice: Browser
  beforeAll(async () => {
    alice = await loggedIn(service(), 'alice')
  })

  test('nothing, when there is nothing', async () => {
    const page = await alice.ask('/audit')
    expect(linesOf(page)).toEqual([])
    expect(page.text).toContain('There are no records.')
  })

  const breaking = `</dd></li><script>alert(1)</script><img src=x onerror=alert(1)>"'\`\u202egnp.exe`
  const fields = ['event', 'issuer', 'sub', 'serviceId', 'credentialId', 'code', 'check', 'detail']
  const addressed = { interface: 'native', address: breaking, requestId: 'r' } as const
  const numbered = { interface: 'native', address: '::1', requestId: breaking } as const
  const lines: readonly (readonly [string, Partial<AuditRecord>])[] = [
    ...fields.map((field) => [field, { [field]: breaking }] as const),
    ['address', { origin: addressed }],
    ['requestId', { origin: numbered }],
  ]
  test.for(lines)('a hostile %s is text', async ([, line]) => {
    await write(service(), line)
    const [newest = ''] = linesOf(await alice.ask('/audit'))
    expect(newest).toContain(
      '&#60;/dd&#62;&#60;/li&#62;&#60;script&#62;alert(1)&#60;/script&#62;&#60;img src=x onerror=alert(1)&#62;&#34;&#39;&#96;\ufffdgnp.exe',
    )
    expect(newest).not.toMatch(/<script|<img|\u202e/)
  })

  test.for([
    ['', ['refused', 'allowed']],
    ['?outcome=allowed', ['allowed']],
    ['?outcome=refused', ['refused']],
    // What nobody offers is as if nothing were asked.
    ['?outcome=other', ['refused', 'allowed']],
    ['?outcome=allowed&outcome=refused', ['refused', 'allowed']],
    ['?outcome[x]=allowed', ['refused', 'allowed']],
    ['?outcome=__proto__', ['refused', 'allowed']],
    [`?outcome=${encodeURIComponent("allowed' OR 1=1 --")}`, ['refused', 'allowed']],
  ] as const)('%s', async ([query, outcomes]) => {
    const at = Date.now()
    await write(service(), { at: new Date(at), event: 'credential.issued', outcome: 'allowed' })
    await write(service(), { at: new Date(at + 1) })
    const page = await alice.ask(`/audit${query}`)
    expect(page.status).toBe(200)
    const badges = linesOf(page).map((line) => /class="badge \w+"\s*>(\w+)</.exec(line)?.[1])
    expect(badges.slice(0, outcomes.length)).toEqual(outcomes)
    expect(new Set(badges)).toEqual(new Set(outcomes))
    const current = page.text.match(/<a [^>]*aria-current="true"[^>]*>(\w+)</)?.[1]
    const wanted = outcomes.length === 2 ? 'All' : outcomes[0] === 'allowed' ? 'Allowed' : 'Refused'
    expect(current).toBe(wanted)
  })

  test('a refusal is there with its reason, the door and the request to ask by', async () => {
    const answer = await fetch(`${service().url}/v1/proxies`, {
      method: 'POST',
      headers: { authorization: `Bearer ${service().token('bob')}` },
    })
    expect(answer.status).toBe(403)
    const { sub } = service().provider.user('bob')
    const [newest = ''] = linesOf(await alice.ask('/audit?outcome=refused'))
    const text = newest.replaceAll(/<[^>]+>/g, ' ').replaceAll(/\s+/g, ' ')
    expect(text).toContain('credential.refused refused')
    expect(text).toContain(`Who ${sub} of `)
    expect(text).toContain('From 127.0.0.1 (native)')
    expect(text).toContain('Reason no rule of this service allows this user')
    expect(text).toContain(`Request ${answer.headers.get('x-request-id') ?? 'none'}`)
    // Nothing of the token itself.
    expect(text).not.toMatch(/eyJ/)
  })

  test('the newest hundred, the newest first', async () => {
    const at = Date.now() + 60_000
    for (let index = 0; index < 130; index += 1)
      await write(service(), { at: new Date(at + index), detail: `line ${index}.` })
    for (const query of ['', '?outcome=refused', '?limit=1000', '?outcome=refused&limit=0']) {
      const page = await alice.ask(`/audit${query}`)
      const numbers = linesOf(page).map((line) => /line (\d+)\./.exec(line)?.[1])
      expect(numbers).toEqual(Array.from({ length: 100 }, (_, index) => String(129 - index)))
      expect(page.text).toContain('<code>tts audit</code>')
    }
  })
})

describeWithTools('in Chromium', chromiumPackages, () => {
  const service = useTestService(withLogin({ web: { operators: { allow: [cms] } } }))
  let browser: Chromium
  beforeAll(async () => {
    browser = await startChromium()
    await write(service(), { detail: 'a reason' })
    await write(service(), { outcome: 'allowed', event: 'credential.issued', sub: 'x'.repeat(300) })
  })
  afterAll(async () => browser?.close())

  test.for(['light', 'dark'] as const)(
    'axe finds nothing serious in %s colours',
    async (colorScheme) => {
      const viewport = { width: colorScheme === 'dark' ? 360 : 1000, height: 700 }
      const context = await browser.newContext({ colorScheme, viewport })
      context.setDefaultTimeout(10_000)
      const page = await context.newPage()
      await page.goto(service().url)
      await page.getByRole('link', { name: 'Log in with Demo IAM' }).click()
      await page.getByRole('button', { name: 'Alice Example' }).click()
      await page.getByRole('link', { name: 'Audit' }).click()
      await page.getByRole('heading', { name: 'Latest requests' }).waitFor()
      expect(await page.getByRole('listitem').filter({ hasText: 'a reason' }).count()).toBe(1)
      expect(await seriousFindings(page)).toEqual([])
      const overhang = 'document.documentElement.scrollWidth - document.documentElement.clientWidth'
      expect(await page.evaluate(overhang)).toBe(0)
      await page.getByRole('link', { name: 'Allowed' }).click()
      await page.waitForURL(`${service().url}/audit?outcome=allowed`)
      expect(await page.getByText('a reason').count()).toBe(0)
      expect(await seriousFindings(page)).toEqual([])
      await context.close()
    },
  )
})
