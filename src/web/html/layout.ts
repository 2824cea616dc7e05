/** The layout of every page: head, navigation, content and footer. */
import { assets } from './assets.ts'
import { type Content, html, type Html } from './html.ts'
import { formToken } from '../sessions/security.ts'
import { ownPath } from '../site.ts'
import type { WebSession } from '../sessions/sessions.ts'
import { canDelegate, isOperator, type Visit, type Web } from '../view.ts'
import { contactLink, instant } from '../pages/words.ts'

export interface Page {
  readonly title: string
  readonly content: Content
  readonly status?: number
  /** Path of the navigation entry that the page belongs to. */
  readonly place?: string
}

/** Sends a page. */
export function sendPage(visit: Omit<Visit, 'request'>, page: Page): void {
  const { response } = visit
  response
    .status(page.status ?? 200)
    .type('text/html; charset=utf-8')
    .send(document(visit, page).text)
}

function document({ web, session }: Omit<Visit, 'request'>, page: Page): Html {
  const { title } = web.settings
  const heading = page.title === title ? title : `${page.title} · ${title}`
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${heading}</title>
        <link rel="icon" href="${ownPath(web, assets.icon.path)}" type="image/svg+xml" />
        <link rel="stylesheet" href="${ownPath(web, assets.style.path)}" />
        <script src="${ownPath(web, assets.script.path)}" defer></script>
      </head>
      <body>
        <a class="skip" href="#main">Skip to content</a>
        <header>
          <a class="brand" href="${ownPath(web, '/')}">${title}</a>
          ${session && navigation(web, session, page.place)}
        </header>
        <main id="main" tabindex="-1">
          <h1>${page.title}</h1>
          ${page.content}
        </main>
        ${footer(web, session)}
      </body>
    </html> `
}

function navigation(web: Web, session: WebSession, place: string | undefined): Html {
  const places = [
    ['/services', 'Services'],
    ['/credentials', 'Issued to you'],
    ...(canDelegate(web, session) ? [['/delegations', 'Delegations']] : []),
    ...(isOperator(web, session) ? [['/audit', 'Audit']] : []),
  ] as const
  return html`<nav aria-label="Pages">
      <ul>
        ${places.map(
          ([path = '', name = '']) =>
            html`<li>
              <a href="${ownPath(web, path)}" ${path === place && html` aria-current="page"`}
                >${name}</a
              >
            </li>`,
        )}
      </ul>
    </nav>
    <form class="logout" method="post" action="${ownPath(web, '/logout')}">
      ${tokenField(session)}
      <span class="who"><bdi>${session.stored.content.displayName}</bdi></span>
      <button class="quiet">Log out</button>
    </form>`
}

function footer(web: Web, session: WebSession | undefined): Html {
  const { contact } = web.settings
  return html`<footer>
    ${session && html`<p>Your session ends at ${instant(session.stored.endsAt)}, or after ${Math.round(web.settings.session_idle_seconds / 60)} minutes without use.</p>`}
    ${contact !== undefined && html`<p>Questions: ${contactLink(contact)}</p>`}
    <p>
      <a href="${ownPath(web, '/ca/trust-anchors.tar.gz')}">Trust anchors for sites</a> ·
      <a href="${ownPath(web, '/openapi.json')}">API description</a>
    </p>
  </footer>`
}

/** Returns the hidden field with the form token, which proves that a form comes from this session. */
export function tokenField(session: WebSession): Html {
  return html`<input type="hidden" name="form_token" value="${formToken(session.id)}" />`
}

/** Redirects the browser to a page of this service. */
export function goTo({ web, response }: Pick<Visit, 'web' | 'response'>, path: string): void {
  response.redirect(303, ownPath(web, path))
}
