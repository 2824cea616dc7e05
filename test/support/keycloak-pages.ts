/** What a person does on the pages of a Keycloak. */
import { browser } from './device-person.ts'

/** A page, as `browser` answers it. */
interface Page {
  readonly url: string
  readonly text: string
}

/** Where the form of a page is sent. */
function actionOf({ url, text }: Page): string {
  const action = /<form[^>]*action="([^"]+)"/.exec(text)?.[1]
  if (action === undefined) throw new Error(`no form at ${url}: ${wordsOf(text)}`)
  return new URL(action.replaceAll('&amp;', '&'), url).href
}

/** The words of a page, for messages. */
const wordsOf = (html: string): string =>
  html
    .replaceAll(/<(script|style)[^]*?<\/\1>|<[^>]+>/g, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim()

/** Enters a user code, logs in (the password is the name) and agrees. Returns the words of the last page. */
export async function approveDevice(person: {
  readonly verificationUri: string
  readonly userCode: string
  readonly username: string
}): Promise<string> {
  const go = browser()
  const entry = await go(person.verificationUri)
  const login = await go(actionOf(entry), { device_user_code: person.userCode })
  return wordsOf((await logIn(go, login, person.username)).text)
}

/** Logs in at a URL, agrees if asked, and follows the redirects. Returns the last page; `words` are without markup. */
export async function approveLogin(
  url: string,
  username: string,
): Promise<Page & { readonly words: string }> {
  const go = browser()
  const page = await logIn(go, await go(url), username)
  return { ...page, words: wordsOf(page.text) }
}

async function logIn(go: ReturnType<typeof browser>, login: Page, username: string): Promise<Page> {
  const page = await go(actionOf(login), { username, password: username, credentialId: '' })
  const code = /name="code" value="([^"]*)"/.exec(page.text)?.[1]
  return code === undefined ? page : go(actionOf(page), { code, accept: 'Yes' })
}
