/** Delegations: seen, made and taken back. */
import { requestSignal, withinSignal } from '../../api/deadline.ts'
import { contextOf } from '../../api/request.ts'
import { revokeDelegation } from '../../domain/delegations/access.ts'
import { adviceFor } from '../../domain/delegations/forecast.ts'
import { makeDelegation, type MadeDelegation } from '../../domain/delegations/making.ts'
import type { Delegation } from '../../domain/delegations/records.ts'
import { TtsError } from '../../base/errors.ts'
import { idOf, sessionIdentity } from './credentials-pages.ts'
import { html, type Html, textArea } from '../html/html.ts'
import { goTo, sendPage, tokenField } from '../html/layout.ts'
import { absoluteUrl, ownPath } from '../site.ts'
import { originOf, type PersonalVisit, type PostedVisit, type Web } from '../view.ts'
import { instant, timeLeftInWords } from './words.ts'

const PLACE = '/delegations'
const SHOWN = 100
const MAX_LABEL = 100

export async function showDelegations(visit: PersonalVisit): Promise<void> {
  await showAll(visit, { label: '', problem: undefined })
}

interface Filled {
  readonly label: string
  readonly problem: TtsError | undefined
}

async function showAll(visit: PersonalVisit, filled: Filled): Promise<void> {
  const { web, request } = visit
  const identity = await sessionIdentity(visit)
  const found =
    identity === undefined
      ? []
      : await web.issuing.store.delegations.list({ identityId: identity.id, limit: SHOWN })
  const active = found.filter(({ state }) => state === 'active')
  const over = found.filter(({ state }) => state !== 'active')
  sendPage(visit, {
    title: 'Delegations',
    place: PLACE,
    status: filled.problem === undefined ? 200 : 400,
    content: html`<p>
        A delegation lets a program of yours, such as certcache, renew proxies for you while you are
        away.
      </p>
      ${request.query['done'] === 'revoked' && html`<div class="box good" role="status"><p>Revoked. Nothing is renewed with it any more.</p></div>`}
      ${active.length === 0 && html`<p>You have no active delegation.</p>`}
      ${active.map((delegation) => delegationCard(web, delegation))}
      ${
        over.length > 0 &&
        html`<details>
          <summary>Ended or revoked (${over.length})</summary>
          ${over.map((one) => delegationCard(web, one))}
        </details>`
      }
      ${makingForm(visit, filled)}`,
  })
}

function delegationCard(web: Web, delegation: Delegation): Html {
  const { id, state, label } = delegation
  const now = web.now()
  return html`<article class="card" aria-labelledby="d-${id}">
    <h2 id="d-${id}">
      <bdi>${label ?? 'Without a name'}</bdi>
      <span class="badge ${state === 'active' ? 'good' : 'note'}"
        >${state === 'active' ? timeLeftInWords(delegation.renewsUntil, now) : state}</span
      >
    </h2>
    ${facts(delegation)}
    ${
      state === 'active' &&
      html`<p class="hint">${adviceFor(delegation, web.delegations.bounds, now)}</p>
        <p>
          <a
            class="button quiet"
            href="${ownPath(web, `/delegations/${id}/revoke`)}"
            aria-label="Revoke ${label ?? id}"
            >Revoke</a
          >
        </p>`
    }
  </article>`
}

function facts(delegation: Delegation): Html {
  const { state, endedAt, endReason, lastUsedAt, origin } = delegation
  return html`<dl class="facts">
    <dt>Made</dt>
    <dd>${instant(delegation.createdAt)} from <bdi>${origin.address}</bdi></dd>
    <dt>Used last</dt>
    <dd>${lastUsedAt === undefined ? 'never' : instant(lastUsedAt)}</dd>
    ${
      state === 'active' &&
      html`<dt>Renews until</dt>
        <dd>${instant(delegation.renewsUntil)}</dd>`
    }
    ${
      endedAt !== undefined &&
      html`<dt>Over since</dt>
        <dd>${instant(endedAt)}</dd>`
    }
    ${
      endReason !== undefined &&
      html`<dt>Why</dt>
        <dd><bdi>${endReason}</bdi></dd>`
    }
    <dt>Number</dt>
    <dd class="mono">${delegation.id}</dd>
  </dl>`
}

function makingForm({ web, session }: PersonalVisit, { label, problem }: Filled): Html {
  if (!web.delegations.providers.has(session.token.providerId)) {
    return html`<div class="box note">
      <p>
        No delegation can be made here for users of <bdi>${session.token.providerId}</bdi>: its
        operator has not set that up.
      </p>
    </div>`
  }
  return html`<h2>Make a delegation</h2>
    <form class="card" method="post" action="${ownPath(web, '/delegations')}">
      ${tokenField(session)}
      <div class="field">
        <label for="label">Name <span class="hint">(optional)</span></label>
        <p class="hint" id="label-hint">
          By which you know it again, for example the machine that it is for.
        </p>
        ${problem !== undefined && html`<p class="error" id="label-error" role="alert"><bdi>${problem.message}</bdi></p>`}
        <input
          type="text"
          id="label"
          name="label"
          maxlength="${MAX_LABEL}"
          autocomplete="off"
          value="${label}"
          aria-describedby="label-hint${problem !== undefined && ' label-error'}"
          ${problem !== undefined && html` aria-invalid="true"`}
        />
      </div>
      <p><button>Make a delegation</button></p>
    </form>`
}

/** Makes one with the session's token; its secret is shown this once. */
export async function makeOwn(visit: PostedVisit): Promise<void> {
  const { web, session, form, response } = visit
  const label = (form['label'] ?? '').trim()
  try {
    const asked = {
      token: session.stored.content.login.accessToken,
      readLabel: () => readLabel(label),
      origin: originOf(visit),
      log: contextOf(response).log,
    }
    const signal = patientSignal(visit)
    const work = makeDelegation(web.delegations, { ...asked, signal })
    showMade(visit, await withinSignal(work, signal))
  } catch (error) {
    if (!(error instanceof TtsError) || error.code === 'internal') throw error
    await showAll(visit, { label, problem: error })
  }
}

/** @throws {TtsError} `invalid_request` */
function readLabel(label: string): string | undefined {
  if (label === '') return undefined
  if (label.length <= MAX_LABEL && !/\p{C}/u.test(label)) return label
  throw new TtsError('invalid_request', `must be a string of at most ${MAX_LABEL} characters`)
}

/** A token exchange may take longer than other requests, and should not be given up half-way. */
function patientSignal({ web, session, response }: PostedVisit): AbortSignal {
  const timeoutMs = web.delegations.providers.get(session.token.providerId)?.timeoutMs ?? 0
  return requestSignal(response, timeoutMs + PATIENCE_MS)
}

const PATIENCE_MS = 10_000

function showMade(visit: PostedVisit, { delegation, renewalSecret }: MadeDelegation): void {
  const { id } = delegation
  const renew = `(umask 077; curl -sSf -X POST -H "Authorization: Bearer $RENEWAL_SECRET" \\
  ${absoluteUrl(visit.web, `/v1/delegations/${id}/proxies`)} -o gwms_proxy)`
  sendPage(visit, {
    title: 'Delegation made',
    place: PLACE,
    status: 201,
    content: html`<div class="box good" role="status">
        <p>
          It renews proxies until ${instant(delegation.renewsUntil)}. The renewal secret is shown
          only once.
        </p>
      </div>
      <article class="card">
        <h2>Renewal secret</h2>
        <p class="hint">
          Who has it can get proxies in your name until the delegation is revoked. Keep it in a file
          that only its program can read.
        </p>
        ${textArea(html`id="secret" readonly rows="2" spellcheck="false" aria-label="Renewal secret"`, renewalSecret)}
        <p><button type="button" class="quiet" data-copy="secret" hidden>Copy</button></p>
        <h3>A proxy with it</h3>
        <pre><code>${renew}</code></pre>
      </article>
      <p><a href="${ownPath(visit.web, '/delegations')}">Your delegations</a></p>`,
  })
}

export async function confirmEnd(visit: PersonalVisit): Promise<void> {
  const { web } = visit
  const delegation = await ownDelegation(visit)
  sendPage(visit, {
    title: 'Revoke this delegation?',
    place: PLACE,
    content: html`<article class="card">
        <h2><bdi>${delegation.label ?? 'Without a name'}</bdi></h2>
        ${facts(delegation)}
      </article>
      <div class="box note">
        <p>
          Programs that renew with it get no proxies any more. Proxies that were issued live on
          until they end; revoke them under “Issued to you”.
        </p>
      </div>
      <form
        method="post"
        action="${ownPath(web, `/delegations/${delegation.id}/revoke`)}"
        class="row"
      >
        ${tokenField(visit.session)} <button class="danger">Revoke</button
        ><a class="button quiet" href="${ownPath(web, '/delegations')}">Keep it</a>
      </form>`,
  })
}

export async function endOwn(visit: PostedVisit): Promise<void> {
  const { web } = visit
  const delegation = await ownDelegation(visit)
  await revokeDelegation({ ...web.delegations, store: web.issuing.store }, delegation, {
    origin: originOf(visit),
    reason: 'taken back by its owner',
  })
  goTo(visit, '/delegations?done=revoked')
}

/** @throws {TtsError} `not_found`, also when it is somebody else's */
async function ownDelegation(visit: PersonalVisit): Promise<Delegation> {
  const id = idOf(visit)
  const identity = await sessionIdentity(visit)
  const found =
    id === undefined || identity === undefined
      ? undefined
      : await visit.web.issuing.store.delegations.find(id, identity.id)
  if (found !== undefined) return found
  throw new TtsError('not_found', 'there is no delegation of this id', { check: 'delegation' })
}
