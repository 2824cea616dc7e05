/** The person of the browser tutorial: does in Chromium what its numbered steps say. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { expect } from 'vitest'
import { startChromium } from '../support/chromium.ts'
import type { PersonAct } from './run-tutorial.ts'
import type { ShellSession } from './shell-session.ts'

interface Moment {
  readonly page: Page
  /** Matches what the tutorial prints in bold, from its beginning. */
  readonly name: RegExp
  readonly downloads: string
}
type Act = (moment: Moment) => Promise<void>

/** One text that the tutorial prints in bold, `…` being any text, and what the person does about it. */
type Step = readonly [act: Act, text: string]

const see: Act = ({ page, name }) =>
  page.getByText(name).filter({ visible: true }).first().waitFor()
const seeBadge: Act = ({ page, name }) =>
  page
    .getByText(new RegExp(`${name.source}\\s*$`))
    .first()
    .waitFor()
const seeHeading: Act = ({ page, name }) => page.getByRole('heading', { name }).first().waitFor()
const follow: Act = ({ page, name }) => page.getByRole('link', { name }).first().click()
const press: Act = ({ page, name }) => page.getByRole('button', { name }).first().click()
const unfold: Act = ({ page, name }) => page.locator('summary').getByText(name).click()
const select: Act = async ({ page, name }) => {
  const label = await page.locator('option').getByText(name).innerText()
  await page.getByRole('combobox').first().selectOption({ label })
}
const download: Act = async (moment) => {
  const downloading = moment.page.waitForEvent('download')
  await press(moment)
  const file = await downloading
  await file.saveAs(join(moment.downloads, file.suggestedFilename()))
}
const requestProxy: Act = ({ page }) => page.getByRole('link', { name: 'Request: Proxy' }).click()
/** For a text that only tells where another one is. */
const nothing: Act = async () => undefined

const STEPS: Readonly<Record<string, readonly Step[]>> = {
  '3. Log in': [
    [seeHeading, 'From your login to a grid credential'],
    [follow, 'Log in with Demo IAM'],
    [press, 'Alice Example'],
    [seeHeading, 'Services'],
    [seeHeading, 'Proxy'],
    [seeBadge, 'available'],
  ],
  '4. Get a proxy': [
    [requestProxy, 'Request'],
    [nothing, 'Proxy'],
    [see, 'Your DN is …'],
    [press, 'Request'],
    [seeHeading, 'Issued: Proxy'],
    [download, 'Download gwms_proxy'],
  ],
  '5. See what was issued to you': [
    [follow, 'Issued to you'],
    [unfold, 'Show … proxies'],
    [see, '(web)'],
  ],
  '6. Revoke it': [
    [follow, 'Revoke … proxies'],
    [see, 'This cannot be undone.'],
    [press, 'Revoke all …'],
    [see, 'Revoked. Relying parties learn of it with the next revocation list that they fetch.'],
    [select, 'all, also expired and revoked'],
    [press, 'Show'],
    [see, 'revoked'],
  ],
  '7. Log in as somebody who may not': [
    [press, 'Log out'],
    [follow, 'Log in with Demo IAM'],
    [press, 'Bob Example'],
    [seeHeading, 'Proxy'],
    [seeBadge, 'not available'],
    [see, 'groups must contain cms (yours: guests)'],
  ],
}

/** The texts in bold of a section, without those that only structure it. */
export function boldTexts(markdown: string, heading: string): readonly string[] {
  const [, after = ''] = markdown.split(`## ${heading}\n`)
  const [section = ''] = after.split('\n## ')
  return [...section.matchAll(/\*\*([^*]+)\*\*/g)]
    .map(([, text = '']) => text.replaceAll(/\s+/g, ' '))
    .filter((text) => text !== 'What just happened.')
}

export interface Person {
  /** What the person does before the first block under a heading. */
  readonly acts: Readonly<Record<string, PersonAct>>
  close(): Promise<void>
}

/** Starts a browser. @param path the tutorial, whose bold texts must be those of the steps above */
export async function createPerson(path: string): Promise<Person> {
  const markdown = readFileSync(path, 'utf8')
  for (const [heading, steps] of Object.entries(STEPS))
    expect(boldTexts(markdown, heading), heading).toEqual(steps.map(([, text]) => text))
  const browser = await startChromium()
  let page: Page | undefined
  return {
    acts: {
      '4. Get a proxy': async (session) => {
        page = await newWindow(browser, session)
        await take(page, session, [...stepsOf('3. Log in'), ...stepsOf('4. Get a proxy')])
      },
      '8. Stop everything': async (session) => {
        if (page === undefined) throw new Error('nobody has logged in')
        const [logOut, ...asBob] = stepsOf('7. Log in as somebody who may not')
        const before = [...stepsOf('5. See what was issued to you'), ...stepsOf('6. Revoke it')]
        await take(page, session, [...before, ...(logOut ? [logOut] : [])])
        await take(await newWindow(browser, session), session, asBob)
      },
    },
    close: () => browser.close(),
  }
}

const stepsOf = (heading: string): readonly Step[] => STEPS[heading] ?? []

/** A private window: it shares no cookies with another one. */
async function newWindow(browser: Browser, session: ShellSession): Promise<Page> {
  const { output: url } = await session.run(['printf %s "$TTS_URL"'])
  const context = await browser.newContext()
  context.setDefaultTimeout(15_000)
  const page = await context.newPage()
  await page.goto(url)
  return page
}

async function take(page: Page, { home }: ShellSession, steps: readonly Step[]): Promise<void> {
  for (const [act, text] of steps) {
    const parts = text.split('…').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    const name = new RegExp(`${act === see ? '' : '^\\s*'}${parts.join('[^]*')}`)
    await act({ page, name, downloads: join(home, 'Downloads') })
  }
}
