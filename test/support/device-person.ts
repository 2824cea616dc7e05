/** What a person does on the pages of the device flow. */
export interface DevicePerson {
  /** The page where codes are entered. */
  readonly verificationUri: string
  readonly userCode: string
  readonly username: string
  /** Default true; false: the person declines. */
  readonly agrees?: boolean
}

/** Enters the code at the provider, agrees or declines, and logs in. Answers the text of the last page. */
export async function answerDevice(person: DevicePerson): Promise<string> {
  const go = browser()
  const { verificationUri, userCode: user_code, agrees = true } = person
  const asked = await go(verificationUri)
  const entered = await go(verificationUri, { xsrf: xsrfOf(asked.text), user_code })
  const choice = agrees ? { confirm: 'yes' } : { abort: 'yes' }
  const answered = await go(verificationUri, { xsrf: xsrfOf(entered.text), user_code, ...choice })
  if (!agrees) return answered.text
  return (await go(answered.url, { username: person.username })).text
}

const xsrfOf = (text: string): string => /name="xsrf" value="([^"]*)"/.exec(text)?.[1] ?? ''

/** A browser that follows redirects and keeps cookies. Answers the last page. */
export function browser() {
  const cookies = new Map<string, string>()
  return async (start: string, fields?: Record<string, string>) => {
    let [url, form] = [start, fields]
    for (let step = 0; step < 10; step += 1) {
      const response = await fetch(url, {
        redirect: 'manual',
        headers: {
          // Keycloak answers a form with JSON unless a page is accepted.
          accept: 'text/html',
          cookie: [...cookies].map((pair) => pair.join('=')).join('; '),
        },
        ...(form !== undefined && { method: 'POST', body: new URLSearchParams(form) }),
      })
      for (const line of response.headers.getSetCookie()) {
        const [name = '', value = ''] = (line.split(';')[0] ?? '').split('=')
        cookies.set(name, value)
      }
      form = undefined
      const location = response.headers.get('location')
      if (location === null) return { url, text: await response.text() }
      url = new URL(location, url).href
    }
    throw new Error('redirects without end')
  }
}
