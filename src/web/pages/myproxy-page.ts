/** A one-time code for MyProxy clients, which a user types in place of the access token. */
import { TtsError } from '../../base/errors.ts'
import { myproxyPlugins } from '../../config/myproxy-schema.ts'
import type { OneTimeCode } from '../../domain/one-time-codes.ts'
import { html, type Html } from '../html/html.ts'
import { sendPage, tokenField } from '../html/layout.ts'
import { type MyProxyOptions, ownPath } from '../site.ts'
import { originOf, type PersonalVisit, type PostedVisit, type Web } from '../view.ts'
import { durationInWords, instant } from './words.ts'

const PATH = '/myproxy-code'
const DEFAULT_PORT = 7512

/** Renders the button; nothing unless there is a MyProxy server. */
export function codeButton({ web, session }: PersonalVisit): Html | false {
  return (
    web.myproxy !== undefined &&
    html`<form method="post" action="${ownPath(web, PATH)}">
      ${tokenField(session)} <button class="quiet">Get a one-time code for myproxy-logon</button>
    </form>`
  )
}

/**
 * Handles `POST /myproxy-code`: makes a code, whose audit line is durable before it is shown.
 *
 * @throws {TtsError} `not_found` (there is no MyProxy server), `limit_reached`, `access_denied` (banned)
 */
export async function showCode(visit: PostedVisit): Promise<void> {
  const { web, session } = visit
  const { myproxy, issuing } = web
  if (myproxy === undefined)
    throw new TtsError('not_found', 'this page does not exist', { check: 'path' })
  const { token, stored } = session
  await issuing.bans.requireNotBanned(token)
  issuing.limiter.check(token)
  const text = stored.content.login.accessToken
  const code = await myproxy.codes.make({ text, expiresAt: token.expiresAt })
  await issuing.store.recordAudit({
    at: web.now(),
    event: 'one-time-code.made',
    outcome: 'allowed',
    origin: originOf(visit),
    issuer: token.issuer,
    sub: token.sub,
    serviceId: undefined,
    credentialId: undefined,
    code: undefined,
    check: undefined,
    detail: `valid until ${code.endsAt.toISOString()}`,
  })
  sendPage(visit, {
    title: 'Your one-time code',
    place: '/services',
    content: page(web, myproxy, code),
  })
}

function page(
  web: Web,
  { host, port, service }: MyProxyOptions,
  { code, endsAt }: OneTimeCode,
): Html {
  const seconds = Math.round((endsAt.getTime() - web.now().getTime()) / 1000)
  const others = [...web.issuing.services.values()]
    .filter(({ id, plugin }) => id !== service && myproxyPlugins.includes(plugin.id))
    .map(({ id }) => html` <code>-k ${id}</code>`)
  const command = `myproxy-logon -s ${host}${port === DEFAULT_PORT ? '' : ` -p ${port}`} -l me`
  return html`<div class="box note">
      <p>
        With this code, anybody can get one credential in your name. It works once, for
        ${durationInWords(seconds)} (until ${instant(endsAt)}), and is not shown again.
      </p>
    </div>
    <p>Code: <strong class="mono" id="code">${code}</strong></p>
    <p><button type="button" class="quiet" data-copy="code" hidden>Copy the code</button></p>
    <h2>How to use it</h2>
    <p>Run this where you need the credential, and type the code as the MyProxy pass phrase:</p>
    <pre id="command"><code>${command}</code></pre>
    <p>
      <button type="button" class="quiet" data-copy="command" hidden>Copy the command</button>
    </p>
    <p>
      This gets a credential of the service <code>${service}</code>.
      ${others.length > 0 && html`For another service, add: ${others}.`} With <code>-T</code>, you
      get the trust anchors too.
    </p>
    <p>
      An access token works in place of the code, if it has at most 1024 characters:
      <code>myproxy-logon</code> cuts longer ones.
    </p>
    <p><a href="${ownPath(web, '/services')}">All services</a></p>`
}
