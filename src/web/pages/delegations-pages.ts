/** The pages for a user's delegations: list, creation and revocation. */
import { answerTo } from '../../api/problem.ts'
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
import { canDelegate, originOf, type PersonalVisit, type PostedVisit, type Web } from '../view.ts'
import { instant, sentence, timeLeftInWords } from './words.ts'

const PLACE = '/delegations'
const SHOWN = 100
const MAX_LABEL = 100

export async function showDelegations(visit: PersonalVisit): Promise<void> {
  await showAll(visit, { label: '', problem: undefined })
}

interface FilledForm {
  readonly label: string
  readonly problem: TtsError | undefined
}

async function showAll(visit: PersonalVisit, filled: FilledForm): Promise<void> {
  const { web, request } = visit
  const { problem } = filled
  const identity = await sessionIdentity(visit)
  const delegations =
    identity === undefined
      ? []
      : await web.issuing.store.delegations.list({ identityId: identity.id, limit: SHOWN })
  const active = delegations.filter(({ state }) => state === 'active')
  const ended = delegations.filter(({ state }) => state !== 'active')
  sendPage(visit, {
    title: 'Delegations',
    place: PLACE,
    status: problem === undefined ? 200 : statusOf(problem),
    content: html`<p>
        A delegation lets a program, such as certcache, renew proxies in your name while you are
        away.
      </p>
      ${request.query['done'] === 'revoked' && html`<div class="box good" role="status"><p>Revoked. This delegation can no longer renew proxies.</p></div>`}
      ${
        problem !== undefined &&
        !isOfLabel(problem) &&
        html`<div class="box bad" role="alert">
          <p>No delegation was created: <bdi>${problem.message}</bdi>.</p>
        </div>`
      }
      ${active.length === 0 && html`<p>You have no active delegation.</p>`}
      ${active.map((delegation) => delegationCard(web, delegation))}
      ${
        ended.length > 0 &&
        html`<details>
          <summary>Ended or revoked (${ended.length})</summary>
          ${ended.map((one) => delegationCard(web, one))}
        </details>`
      }
      ${creationForm(visit, filled)}`,
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
    <dt>Created</dt>
    <dd>${instant(delegation.createdAt)} from <bdi>${origin.address}</bdi></dd>
    <dt>Last used</dt>
    <dd>${lastUsedAt === undefined ? 'never' : instant(lastUsedAt)}</dd>
    ${
      state === 'active' &&
      html`<dt>Renews until</dt>
        <dd>${instant(delegation.renewsUntil)}</dd>`
    }
    ${
      endedAt !== undefined &&
      html`<dt>Ended</dt>
        <dd>${instant(endedAt)}</dd>`
    }
    ${
      endReason !== undefined &&
      html`<dt>Reason</dt>
        <dd><bdi>${endReason}</bdi></dd>`
    }
    <dt>Id</dt>
    <dd class="mono">${delegation.id}</dd>
  </dl>`
}

function statusOf(problem: TtsError): number {
  const { status } = answerTo(problem)
  // 401 is for clients that can send another token.
  return status === 401 ? 403 : status
}

/** Other refusals, for example of the provider, are not the fault of the field. */
function isOfLabel({ check }: TtsError): boolean {
  return check === 'label'
}

function creationForm({ web, session }: PersonalVisit, filled: FilledForm): Html {
  const { label } = filled
  const problem = filled.problem && isOfLabel(filled.problem) ? filled.problem : undefined
  if (!canDelegate(web, session)) {
    return html`<div class="box note">
      <p>
        Users of <bdi>${session.token.providerId}</bdi> cannot create delegations, because the
        operator of this service has not configured that.
      </p>
    </div>`
  }
  return html`<h2>Create a delegation</h2>
    <form class="card" method="post" action="${ownPath(web, '/delegations')}">
      ${tokenField(session)}
      <div class="field">
        <label for="label">Name <span class="hint">(optional)</span></label>
        <p class="hint" id="label-hint">
          To help you recognise the delegation, for example the name of the host that will use it.
        </p>
        ${problem !== undefined && html`<p class="error" id="label-error" role="alert">${sentence(problem.message)}</p>`}
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
      <p><button>Create a delegation</button></p>
    </form>`
}

/** Creates a delegation with the token of the session. The page shows its renewal secret only once. */
export async function createOwn(visit: PostedVisit): Promise<void> {
  const { web, session, form, response } = visit
  const label = (form['label'] ?? '').trim()
  try {
    const creation = {
      token: session.stored.content.login.accessToken,
      readLabel: () => readLabel(label),
      origin: originOf(visit),
      log: contextOf(response).log,
    }
    const signal = providerSignal(visit)
    const work = makeDelegation(web.delegations, { ...creation, signal })
    showCreated(visit, await withinSignal(work, signal))
  } catch (error) {
    if (!(error instanceof TtsError) || error.code === 'internal') throw error
    await showAll(visit, { label, problem: error })
  }
}

/** @throws {TtsError} `invalid_request` */
function readLabel(label: string): string | undefined {
  if (label === '') return undefined
  if (label.length <= MAX_LABEL && !/\p{C}/u.test(label)) return label
  throw new TtsError(
    'invalid_request',
    `the name must have at most ${MAX_LABEL} characters, without line ends and invisible ones`,
    { check: 'label' },
  )
}

/** A token exchange may take longer than other requests, and should not be abandoned halfway. */
function providerSignal({ web, session, response }: PostedVisit): AbortSignal {
  const timeoutMs = web.delegations.providers.get(session.token.providerId)?.timeoutMs ?? 0
  return requestSignal(response, timeoutMs + MARGIN_MS)
}

const MARGIN_MS = 10_000

function showCreated(visit: PostedVisit, { delegation, renewalSecret }: MadeDelegation): void {
  const { id } = delegation
  const renew = `(umask 077; curl -sSf -X POST -H "Authorization: Bearer $RENEWAL_SECRET" \\
  ${absoluteUrl(visit.web, `/v1/delegations/${id}/proxies`)} -o gwms_proxy)`
  sendPage(visit, {
    title: 'Delegation created',
    place: PLACE,
    status: 201,
    content: html`<div class="box good" role="status">
        <p>
          This delegation can renew proxies until ${instant(delegation.renewsUntil)}. This page
          shows the renewal secret only once.
        </p>
      </div>
      <article class="card">
        <h2>Renewal secret</h2>
        <p class="hint">
          Anyone who has the secret can get proxies in your name until the delegation is revoked.
          Keep it in a file that only the program can read.
        </p>
        ${textArea(html`id="secret" readonly rows="2" spellcheck="false" aria-label="Renewal secret"`, renewalSecret)}
        <p><button type="button" class="quiet" data-copy="secret" hidden>Copy</button></p>
        <h3>Get a proxy with the secret</h3>
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
          Programs that use this delegation will get no more proxies. Proxies that it already issued
          stay valid until they expire; revoke them under “Issued to you”.
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
    reason: 'revoked by its owner',
  })
  goTo(visit, '/delegations?done=revoked')
}

/** @throws {TtsError} `not_found` (also for another user's delegation) */
async function ownDelegation(visit: PersonalVisit): Promise<Delegation> {
  const id = idOf(visit)
  const identity = await sessionIdentity(visit)
  const delegation =
    id === undefined || identity === undefined
      ? undefined
      : await visit.web.issuing.store.delegations.find(id, identity.id)
  if (delegation !== undefined) return delegation
  throw new TtsError('not_found', 'no delegation has this id', { check: 'delegation' })
}
