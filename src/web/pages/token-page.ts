/** The access token of the session, for users who need it elsewhere. WaTTS always offered it; here a setting does. */
import { TtsError } from '../../base/errors.ts'
import { html, type Html, textArea } from '../html/html.ts'
import { sendPage, tokenField } from '../html/layout.ts'
import { ownPath } from '../site.ts'
import type { PersonalVisit, PostedVisit } from '../view.ts'
import { instant, timeLeftInWords } from './words.ts'

const PATH = '/access-token'

/** Renders the button; nothing unless the operator allows it. */
export function tokenButton({ web, session }: PersonalVisit): Html | false {
  return (
    web.settings.show_access_token &&
    html`<form method="post" action="${ownPath(web, PATH)}">
      ${tokenField(session)} <button class="quiet">Show issuer, subject and access token</button>
    </form>`
  )
}

/**
 * Handles `POST /access-token`. A POST with the form token, so that no link or page of another site can show the token.
 *
 * @throws {TtsError} `not_found` (the setting does not allow it)
 */
export function showAccessToken(visit: PostedVisit): void {
  const { web, session } = visit
  if (!web.settings.show_access_token)
    throw new TtsError('not_found', 'this page does not exist', { check: 'path' })
  const { token, stored } = session
  const { accessToken } = stored.content.login
  sendPage(visit, {
    title: 'Your access token',
    place: '/services',
    content: html`<div class="box note">
        <p>
          With this token, anybody can act as you wherever it is accepted. Give it to programs that
          you trust, and to nobody else.
        </p>
      </div>
      <dl class="facts">
        <dt>Issuer</dt>
        <dd class="mono"><bdi>${token.publishedIssuer}</bdi></dd>
        <dt>Subject</dt>
        <dd class="mono"><bdi>${token.sub}</bdi></dd>
        <dt>Provider</dt>
        <dd class="mono">${token.providerId}</dd>
        <dt>Valid until</dt>
        <dd>${instant(token.expiresAt)} (${timeLeftInWords(token.expiresAt, web.now())})</dd>
      </dl>
      <h2>Access token</h2>
      ${textArea(html`id="token" readonly rows="10" spellcheck="false" aria-label="Access token"`, accessToken)}
      <p><button type="button" class="quiet" data-copy="token" hidden>Copy the token</button></p>`,
  })
}
