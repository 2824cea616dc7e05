import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Provider } from 'oidc-provider'
import type { ProviderState } from './state.ts'
import type { DemoUser } from './users.ts'

/** More than one form field needs. */
const MAX_FORM_BYTES = 4096

/**
 * The login page at `/interaction/<uid>`: GET shows the users of the demo, POST logs one in without a password.
 * Consent is given automatically.
 */
export async function loginPage(
  provider: Provider,
  state: ProviderState,
  exchange: { readonly request: IncomingMessage; readonly response: ServerResponse },
): Promise<void> {
  const { request, response } = exchange
  try {
    const { prompt } = await provider.interactionDetails(request, response)
    if (prompt.name === 'consent') {
      await provider.interactionFinished(request, response, { consent: {} })
    } else if (request.method === 'POST') {
      const username = new URLSearchParams(await readForm(request)).get('username') ?? ''
      const user = state.users.byUsername(username)
      if (user.deleted === true) throw new Error('this user does not exist')
      await provider.interactionFinished(request, response, { login: { accountId: user.sub } })
    } else {
      page(response, 200, form(state.users.list()))
    }
  } catch (error) {
    page(response, 400, `<p>${escape(error instanceof Error ? error.message : 'bad request')}</p>`)
  }
}

function form(users: readonly DemoUser[]): string {
  const rows = users.map(
    (user) =>
      `<p><button name="username" value="${escape(user.username)}">${escape(user.name)}</button>
       groups: ${escape(user.groups.join(', ') || 'none')}</p>`,
  )
  return `<h1>Demo identity provider</h1><p>For development only: there are no passwords.</p>
<form method="post">${rows.join('\n')}</form>`
}

function page(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'none'; form-action 'self' http://127.0.0.1:* https:",
  })
  response.end(`<!doctype html><html lang="en"><title>Log in</title><body>${body}</body></html>`)
}

async function readForm(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request) {
    text += String(chunk)
    if (text.length > MAX_FORM_BYTES) throw new Error('the form is too large')
  }
  return text
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
