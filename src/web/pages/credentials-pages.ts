/** The pages for a user's credentials: list and revocation. */
import { contextOf } from '../../api/request.ts'
import { credentialNotFound, revokeCredential } from '../../domain/revocation/credentials.ts'
import type { CredentialView, Identity } from '../../domain/records.ts'
import { html, type Html } from '../html/html.ts'
import { goTo, sendPage, tokenField } from '../html/layout.ts'
import { ownPath } from '../site.ts'
import { originOf, type PersonalVisit, type PostedVisit, type Web } from '../view.ts'
import { countInWords, type CredentialGroup, groupCredentials } from './credential-groups.ts'
import { credentialTable } from './credential-table.ts'
import { MAX_READ, newestCredentials } from './newest-credentials.ts'
import { serviceName } from './service-names.ts'
import { instant } from './words.ts'

const PLACE = '/credentials'
const GROUPS_PER_PAGE = 25

/** Notices after an action. The address selects one of them; its own text is never shown. */
const notices: Readonly<Record<string, string>> = {
  revoked: 'Revoked. Relying parties learn of it with the next revocation list that they fetch.',
  gone: 'The credential was already revoked.',
}

/** What the user selected in the address. */
interface Selection {
  readonly showsAll: boolean
  readonly serviceId: string | undefined
  /** From 1. */
  readonly page: number
}

function selectionOf({ request }: PersonalVisit): Selection {
  const { show, service, page } = request.query
  return {
    showsAll: show === 'all',
    serviceId: typeof service === 'string' && service !== '' ? service : undefined,
    page: typeof page === 'string' && /^[1-9]\d{0,3}$/.test(page) ? Number(page) : 1,
  }
}

export async function showCredentials(visit: PersonalVisit): Promise<void> {
  const { web, request } = visit
  const selection = selectionOf(visit)
  const identity = await sessionIdentity(visit)
  const now = web.now()
  const { views, mayHaveMore } =
    identity === undefined
      ? { views: [], mayHaveMore: false }
      : await newestCredentials(web.issuing.store, {
          identityId: identity.id,
          ...(selection.showsAll ? {} : { activeAt: now }),
        })
  const groups = groupCredentials(views, now)
  const selected = groups.filter(
    ({ members }) =>
      selection.serviceId === undefined ||
      members.some(({ serviceId }) => serviceId === selection.serviceId),
  )
  const { done } = request.query
  const notice =
    typeof done === 'string' && Object.hasOwn(notices, done) ? notices[done] : undefined
  sendPage(visit, {
    title: 'Issued to you',
    place: PLACE,
    content: html`${notice !== undefined && html`<div class="box good" role="status"><p>${notice}</p></div>`}
    ${
      identity !== undefined &&
      html`<p>
        Your name in certificates: <span class="mono"><bdi>${identity.subject}</bdi></span>
      </p>`
    }
    ${identity !== undefined && filterForm(web, selection, groups)}
    ${selected.length === 0 && emptyList(web, selection)} ${tables(web, selected, selection)}
    ${pageLinks(web, selected, selection)}
    ${mayHaveMore && html`<p class="hint">This page covers the newest ${MAX_READ} credentials; the API lists all.</p>`}`,
  })
}

function emptyList(web: Web, { showsAll, serviceId }: Selection): Html {
  const which = `${showsAll ? '' : 'valid '}credential`
  const text = serviceId === undefined ? which : `${which} from this service`
  return html`<p>You have no ${text}.</p>
    <p><a class="button" href="${ownPath(web, '/services')}">Request a credential</a></p>`
}

/** A form with GET, so that it works without script and the address can be kept. */
function filterForm(
  web: Web,
  { showsAll, serviceId }: Selection,
  groups: readonly CredentialGroup[],
): Html {
  const ids = new Set(groups.flatMap(({ members }) => members.map((view) => view.serviceId)))
  if (serviceId !== undefined) ids.add(serviceId)
  const option = (value: string, name: string, isSelected: boolean): Html =>
    html`<option value="${value}" ${isSelected && html` selected`}>${name}</option>`
  return html`<form class="row filter" method="get" action="${ownPath(web, PLACE)}">
    <label for="show">Show</label>
    <select id="show" name="show">
      ${option('', 'valid ones', !showsAll)}${option('all', 'all, also expired and revoked', showsAll)}
    </select>
    <label for="service">from</label>
    <select id="service" name="service">
      ${option('', 'all services', serviceId === undefined)}${[...ids].map((id) => option(id, serviceName(web, id), id === serviceId))}
    </select>
    <button class="quiet">Show</button>
  </form>`
}

const sections = [
  ['x509', 'Certificates and their proxies'],
  ['ssh', 'SSH certificates'],
  ['other', 'Other credentials'],
] as const

function tables(
  web: Web,
  groups: readonly CredentialGroup[],
  { page }: Selection,
): readonly (Html | false)[] {
  const first = (page - 1) * GROUPS_PER_PAGE
  return sections.map(([kind, caption]) => {
    const shown = groups
      .filter((group) => group.kind === kind)
      .slice(first, first + GROUPS_PER_PAGE)
    return shown.length > 0 && credentialTable(web, caption, shown)
  })
}

function pageLinks(
  web: Web,
  groups: readonly CredentialGroup[],
  { showsAll, serviceId, page }: Selection,
): Html | false {
  const most = Math.max(
    ...sections.map(([kind]) => groups.filter((group) => group.kind === kind).length),
  )
  const pages = Math.ceil(most / GROUPS_PER_PAGE)
  const link = (to: number, name: string): Html | false => {
    const query = new URLSearchParams({
      ...(showsAll ? { show: 'all' } : {}),
      ...(serviceId === undefined ? {} : { service: serviceId }),
      page: String(to),
    })
    return (
      to >= 1 &&
      to <= pages &&
      html`<a class="button quiet" href="${ownPath(web, `${PLACE}?${query.toString()}`)}"
        >${name}</a
      >`
    )
  }
  return (
    (pages > 1 || page > 1) &&
    html`<nav class="row" aria-label="Pages of this list">
      ${link(Math.min(page - 1, pages), 'Newer')}
      <span>Page ${page} of ${Math.max(pages, 1)}</span> ${link(page + 1, 'Older')}
    </nav>`
  )
}

function facts(web: Web, view: CredentialView): Html {
  const { id, issuedAt, notAfter, revokedAt, origin, endEntitySerial } = view
  return html`<dl class="facts">
    <dt>Service</dt>
    <dd><bdi>${serviceName(web, view.serviceId)}</bdi></dd>
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
  const { endEntitySerial } = view
  const active = await web.issuing.store.listCredentials({
    identityId: view.identity.id,
    activeAt: web.now(),
    limit: MAX_READ,
  })
  const ending = active.filter(
    (one) =>
      one.id === view.id ||
      (endEntitySerial !== undefined && one.endEntitySerial === endEntitySerial),
  )
  const isMany = ending.length > 1
  const what = `${active.length === MAX_READ ? 'at least ' : ''}${countInWords(ending)}`
  sendPage(visit, {
    title: isMany ? `Revoke ${what}?` : 'Revoke this credential?',
    place: PLACE,
    content: html`<article class="card">${facts(web, view)}</article>
      <div class="box note">
        ${isMany && html`<p>This revokes ${what} of <bdi>${view.identity.subject}</bdi>: all depend on the certificate ${endEntitySerial}. The newest is shown above.</p>`}
        ${endEntitySerial !== undefined && countInWords([view]) === '1 certificate' && html`<p>Proxies that you made from this certificate end too.</p>`}
        <p>
          This cannot be undone. Relying parties refuse
          ${isMany ? 'the credentials' : 'the credential'} as soon as they fetch the next revocation
          list.
        </p>
      </div>
      <form method="post" action="${ownPath(web, `/credentials/${view.id}/revoke`)}" class="row">
        ${tokenField(session)}
        <button class="danger">${isMany ? `Revoke all ${ending.length}` : 'Revoke'}</button
        ><a class="button quiet" href="${ownPath(web, '/credentials')}"
          >${isMany ? 'Keep them' : 'Keep it'}</a
        >
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
