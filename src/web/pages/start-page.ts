/** The start page: what this service does, how to log in, and the same from a terminal. */
import { html, type Html } from '../html/html.ts'
import { sendPage } from '../html/layout.ts'
import { mayUseCookies } from '../sessions/cookies.ts'
import { absoluteUrl, ownPath } from '../site.ts'
import type { Visit, Web } from '../view.ts'

export function showStart(visit: Visit): void {
  const { web, session } = visit
  sendPage(visit, {
    title: 'From your login to a grid credential',
    content: html` <p class="lead">
        Grid software such as HTCondor, XRootD and gfal needs X.509 proxy certificates, but you have
        a login at an identity provider. Log in here to get a proxy, a certificate or another
        credential.
      </p>
      ${session === undefined ? loginChoice(web, undefined) : html`<p><a class="button" href="${ownPath(web, '/services')}">Go to the services</a></p>`}
      ${terminal(web)}
      <h2>For sites</h2>
      <p>
        Relying parties install the
        <a href="${ownPath(web, '/ca/trust-anchors.tar.gz')}">trust anchors</a> of this service: its
        CA certificate, revocation list and signing policy.
        ${web.issuing.attributes.organisations.size > 0 && html`Those that decide by VOMS attributes also install its <a href="${ownPath(web, '/ca/voms.tar.gz')}">VOMS files</a>, for ${[...web.issuing.attributes.organisations.keys()].join(', ')}.`}
      </p>`,
  })
}

/** Renders a login link for each provider, or the reason why there is none. */
export function loginChoice(web: Web, returnPath: string | undefined): Html {
  if (!mayUseCookies(web)) {
    return html`<div class="box note">
      <p>
        Login is not possible because this page is not served over https. The operator can change
        that (<code>listen.public_url</code>).
      </p>
    </div>`
  }
  const { providers } = web.client
  if (providers.length === 0) {
    return html`<div class="box note">
      <p>
        No identity provider is configured for login with a browser. You can use this service from a
        terminal with an access token.
      </p>
    </div>`
  }
  return html`<div class="row">
    ${providers.map(({ id, description }) => {
      const back = returnPath === undefined ? '' : `&return=${encodeURIComponent(returnPath)}`
      const href = ownPath(web, `/login/start?provider=${encodeURIComponent(id)}${back}`)
      return html`<a class="button" href="${href}">Log in with <bdi>${description}</bdi></a>`
    })}
  </div>`
}

function terminal(web: Web): Html {
  const curl = `(umask 077; curl -sSf -X POST -H "Authorization: Bearer $ACCESS_TOKEN" \\
  ${absoluteUrl(web, '/v1/proxies')} -o gwms_proxy)`
  const tts = `tts proxy init --url ${absoluteUrl(web, '/')}`
  return html`<h2>The same from a terminal</h2>
    <p>With an access token from your provider, for example from <code>oidc-token</code>:</p>
    <pre id="curl"><code>${curl}</code></pre>
    <p><button class="quiet" data-copy="curl" hidden>Copy the command</button></p>
    <p>Or with a key that never leaves your computer:</p>
    <pre><code>${tts}</code></pre>`
}
