/** The pages for a user's credentials: list and revocation. */
import { contextOf } from '../../api/request.ts'
import { credentialNotFound, revokeCredential } from '../../domain/revocation/credentials.ts'
import type { CredentialView, Identity } from '../../domain/records.ts'
import { html, type Html } from '../html/html.ts'
import { goTo, sendPage, tokenField } from '../html/layout.ts'
import { ownPath } from '../site.ts'
import { originOf, type PersonalVisit, type PostedVisit, type Web } from '../view.ts'
import { instant, timeLeftInWords } from './words.ts'

const PLACE = '/credentials'
const SHOWN = 100

/** Notices after an action. The address selects one of them; its own text is never shown. */
const notices: Readonly<Record<string, string>> = {
  revoked: 'Revoked. Relying parties learn of it with the next revocation list that they fetch.',
  gone: 'The credential was already revoked.',
}

export async function showCredentials(visit: PersonalVisit): Promise<void> {
  const { web, request } = visit
  const identity = await sessionIdentity(visit)
  const views =
    identity === undefined
      ? []
      : await web.issuing.store.listCredentials({
          identityId: identity.id,
          listed: true,
          limit: SHOWN,
        })
  const { done } = request.query
  const notice =
    typeof done === 'string' && Object.hasOwn(notices, done) ? notices[done] : undefined
  const now = web.now()
  const active = views.filter((view) => isActive(view, now))
  const ended = views.filter((view) => !isActive(view, now))
  sendPage(visit, {
    title: 'Issued to you',
    place: PLACE,
    content: html`${notice !== undefined && html`<div class="box good" role="status"><p>${notice}</p></div>`}
    ${active.length === 0 && html`<p>You have no valid credential. <a href="${ownPath(web, '/services')}">Request a credential</a></p>`}
    ${active.map((view) => credentialCard(web, view))}
    ${
      ended.length > 0 &&
      html`<details>
        <summary>Expired or revoked (${ended.length})</summary>
        ${ended.map((view) => credentialCard(web, view))}
      </details>`
    }
    ${views.length === SHOWN && html`<p class="hint">This page shows the newest ${SHOWN} credentials; the API lists all.</p>`}`,
  })
}

function isActive({ revokedAt, notAfter }: CredentialView, now: Date): boolean {
  return revokedAt === undefined && (notAfter === undefined || notAfter > now)
}

function credentialCard(web: Web, view: CredentialView): Html {
  const { id, serviceId } = view
  const now = web.now()
  const active = isActive(view, now)
  return html`<article class="card" aria-labelledby="c-${id}">
    <h2 id="c-${id}">
      ${serviceId} <span class="badge ${active ? 'good' : 'note'}">${stateOf(view, now)}</span>
    </h2>
    ${facts(view)}
    ${active && html`<p><a class="button quiet" href="${ownPath(web, `/credentials/${id}/revoke`)}" aria-label="Revoke ${serviceId} ${id}">Revoke</a></p>`}
  </article>`
}

function stateOf({ revokedAt, notAfter }: CredentialView, now: Date): string {
  if (revokedAt !== undefined) return 'revoked'
  return notAfter === undefined ? 'valid' : timeLeftInWords(notAfter, now)
}

function facts(view: CredentialView): Html {
  const { id, issuedAt, notAfter, revokedAt, origin, endEntitySerial } = view
  return html`<dl class="facts">
    <dt>Issued</dt>
    <dd>${instant(issuedAt)}</dd>
    ${
      notAfter !== undefined &&
      html`<dt>Valid until</dt>
        <dd>${instant(notAfter)}</dd>`
    }
    ${
      revokedAt !== undefined &&
      html`<dt>Revoked</dt>
        <dd>${instant(revokedAt)}</dd>`
    }
    <dt>Requested from</dt>
    <dd><bdi>${origin.address}</bdi> (${origin.interface})</dd>
    <dt>Name</dt>
    <dd class="mono"><bdi>${view.identity.subject}</bdi></dd>
    ${
      endEntitySerial !== undefined &&
      html`<dt>Certificate serial</dt>
        <dd class="mono">${endEntitySerial}</dd>`
    }
    <dt>Id</dt>
    <dd class="mono">${id}</dd>
  </dl>`
}

export async function confirmRevocation(visit: PersonalVisit): Promise<void> {
  const { web, session } = visit
  const view = await ownCredential(visit)
  const others =
    view.endEntitySerial === undefined
      ? []
      : await web.issuing.store
          .listCredentials({ identityId: view.identity.id, activeAt: web.now(), limit: 1000 })
          .then((all) =>
            all.filter((one) => one.id !== view.id && one.endEntitySerial === view.endEntitySerial),
          )
  sendPage(visit, {
    title: 'Revoke this credential?',
    place: PLACE,
    content: html`<article class="card">${facts(view)}</article>
      <div class="box note">
        <p>
          This cannot be undone. Relying parties refuse the credential as soon as they fetch the
          next revocation list.
        </p>
        ${others.length > 0 && html`<p>${others.length} other valid ${others.length === 1 ? 'credential of yours depends' : 'credentials of yours depend'} on the same certificate and will be revoked too.</p>`}
      </div>
      <form method="post" action="${ownPath(web, `/credentials/${view.id}/revoke`)}" class="row">
        ${tokenField(session)} <button class="danger">Revoke</button
        ><a class="button quiet" href="${ownPath(web, '/credentials')}">Keep it</a>
      </form>`,
  })
}

export async function revokeOwn(visit: PostedVisit): Promise<void> {
  const { web, session } = visit
  const view = await ownCredential(visit)
  const { log, signal } = contextOf(visit.response)
  const { token } = session
  const revocation = await revokeCredential(web.credentials, {
    id: view.id,
    identity: view.identity,
    caller: {
      issuer: token.issuer,
      publishedIssuer: token.publishedIssuer,
      sub: token.sub,
      claims: token.claims,
      accessToken: undefined,
      additionalLogins: [],
    },
    reason: 'unspecified',
    origin: originOf(visit),
    signal,
    log,
  })
  goTo(visit, `/credentials?done=${revocation.newlyRevoked ? 'revoked' : 'gone'}`)
}

/** Returns the identity of the logged-in user; undefined if the user has never requested a credential. */
export async function sessionIdentity({
  web,
  session,
}: PersonalVisit): Promise<Identity | undefined> {
  const { issuer, sub } = session.token
  return web.issuing.store.findIdentity({ issuer, sub })
}

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Returns the id in the address; undefined if it is malformed. */
export function idOf({ request }: PersonalVisit): string | undefined {
  const { id } = request.params
  return typeof id === 'string' && ID.test(id) ? id : undefined
}

/** @throws {TtsError} `not_found` (also for another user's credential) */
async function ownCredential(visit: PersonalVisit): Promise<CredentialView> {
  const id = idOf(visit)
  const identity = await sessionIdentity(visit)
  const view =
    id === undefined || identity === undefined
      ? undefined
      : await visit.web.issuing.store.findCredential(id, identity.id)
  if (view === undefined) throw credentialNotFound()
  return view
}
