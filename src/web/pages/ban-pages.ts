/** The operator's pages to ban the user of an audit record, and to lift bans. */
import { contextOf } from '../../api/request.ts'
import { TtsError } from '../../base/errors.ts'
import {
  type BanDependencies,
  type BanResult,
  banUsers,
  isReason,
  liftBan,
  MAX_REASON,
} from '../../domain/bans/ban.ts'
import type { Ban } from '../../domain/bans/records.ts'
import { revokeDelegation } from '../../domain/delegations/access.ts'
import { revokeCredential } from '../../domain/revocation/credentials.ts'
import { html, type Html } from '../html/html.ts'
import { goTo, sendPage, tokenField } from '../html/layout.ts'
import { ownPath } from '../site.ts'
import { isOperator, originOf, type PersonalVisit, type PostedVisit, type Web } from '../view.ts'
import { instant } from './words.ts'

const PLACE = '/audit'
const MAX_NAME = 1024

/**
 * Other users must not learn that these pages exist. A banned operator must not ban others, or lift the own ban.
 *
 * @throws {TtsError} `not_found`; `access_denied`, check `banned`; `store_unavailable`
 */
export async function requireOperator({ web, session }: PersonalVisit): Promise<void> {
  if (!isOperator(web, session))
    throw new TtsError('not_found', 'this page does not exist', { check: 'operator' })
  const { issuer, sub, claims } = session.token
  await web.issuing.bans.requireNotBanned({ issuer, sub, claims })
}

/** Asks for the reason. */
export async function confirmBan(visit: PersonalVisit): Promise<void> {
  await requireOperator(visit)
  const { issuer, sub } = visit.request.query
  if (!isName(issuer) || !isName(sub)) throw noUser()
  showForm(visit, { issuer, sub, reason: '', problem: undefined })
}

interface BanForm {
  readonly issuer: string
  readonly sub: string
  readonly reason: string
  readonly problem: string | undefined
}

function showForm(visit: PersonalVisit, { issuer, sub, reason, problem }: BanForm): void {
  const { web, session } = visit
  sendPage(visit, {
    title: 'Ban this user?',
    place: PLACE,
    status: problem === undefined ? 200 : 400,
    content: html`<div class="box note">
        <p>
          From now on nothing is issued to <bdi>${sub}</bdi> of <bdi>${issuer}</bdi>. All valid
          credentials of this user are revoked, and all delegations end. That cannot be undone, also
          if you lift the ban later.
        </p>
      </div>
      <form method="post" action="${ownPath(web, '/audit/ban')}">
        ${tokenField(session)}
        <input type="hidden" name="issuer" value="${issuer}" />
        <input type="hidden" name="sub" value="${sub}" />
        <label for="reason">Reason, for the audit trail</label>
        ${problem !== undefined && html`<p class="error" id="reason-problem">${problem}</p>`}
        <input
          type="text"
          id="reason"
          name="reason"
          value="${reason}"
          required
          maxlength="${MAX_REASON}"
          ${problem !== undefined && html` aria-invalid="true" aria-describedby="reason-problem"`}
        />
        <p class="row">
          <button class="danger">Ban</button
          ><a class="button quiet" href="${ownPath(web, PLACE)}">Cancel</a>
        </p>
      </form>`,
  })
}

/** Bans the user, and shows what was ended. */
export async function submitBan(visit: PostedVisit): Promise<void> {
  await requireOperator(visit)
  const { session, form } = visit
  const { issuer, sub, reason = '' } = form
  if (!isName(issuer) || !isName(sub)) throw noUser()
  if (!isReason(reason)) {
    const problem = `Enter a reason of at most ${MAX_REASON} characters.`
    showForm(visit, { issuer, sub, reason, problem })
    return
  }
  const { token } = session
  const result = await banUsers(banDependencies(visit), {
    target: { kind: 'identity', issuer, sub },
    reason: reason.trim(),
    createdBy: `${token.sub} of ${token.issuer}`,
    origin: originOf(visit),
  })
  showResult(visit, result)
}

function banDependencies(visit: PostedVisit): BanDependencies {
  const { web } = visit
  const { log } = contextOf(visit.response)
  const origin = originOf(visit)
  // Not the signal of the request: a ban that has begun is carried out, also if the operator closes the page.
  const { signal } = new AbortController()
  const { credentials, delegations } = web
  return {
    store: web.issuing.store,
    now: web.now,
    revokeCredential: async ({ id }, reason) => {
      const request = { id, identity: undefined, reason, origin, signal, log }
      const { revocationRate: _rate, ...rest } = credentials
      await revokeCredential({ ...rest, crls: { current: async () => undefined } }, request)
    },
    endDelegation: async (delegation, reason) => {
      const dependencies = { ...delegations, store: web.issuing.store, log }
      await revokeDelegation(dependencies, delegation, { origin, reason })
    },
    publish: async () => {
      await credentials.crls.current()
    },
  }
}

function showResult(visit: PostedVisit, result: BanResult): void {
  const { identities, credentials, delegations, failures } = result
  sendPage(visit, {
    title: 'Banned',
    place: PLACE,
    content: html`<div class="box ${failures.length === 0 ? 'good' : 'bad'}" role="status">
        <p>
          Nothing is issued to this user any more. ${credentials} credential(s) revoked,
          ${delegations} delegation(s) ended.
        </p>
        ${identities === 0 && html`<p>This user has never asked for anything here. Compare the name if that is a surprise.</p>`}
        ${failures.length > 0 && html`<p>These failed: ${failures.join('; ')}</p>`}
      </div>
      <p><a href="${ownPath(visit.web, PLACE)}">Latest requests</a></p>`,
  })
}

/** The bans in force, for the audit page. */
export function bansInForce(visit: PersonalVisit, bans: readonly Ban[]): Html | false {
  const { web, session } = visit
  if (bans.length === 0) return false
  return html`<details>
    <summary>Bans in force (${bans.length})</summary>
    <ul class="log">
      ${bans.map(
        ({ id, target, reason, createdAt, createdBy }) =>
          html`<li class="card">
            <p>
              <bdi
                >${target.kind === 'identity' ? `${target.sub} of ${target.issuer}` : `The group ${target.group} of ${target.issuer ?? 'every provider'}`}</bdi
              >, since ${instant(createdAt)}, by <bdi>${createdBy}</bdi>: <bdi>${reason}</bdi>
            </p>
            <form method="post" action="${ownPath(web, '/audit/lift')}">
              ${tokenField(session)}<input type="hidden" name="id" value="${id}" />
              <button class="quiet">Lift this ban</button>
            </form>
          </li>`,
      )}
    </ul>
  </details>`
}

/** Link to ban the user of a record. */
export function banLink(
  web: Web,
  { issuer, sub }: { readonly issuer: string; readonly sub: string },
): Html {
  const query = new URLSearchParams({ issuer, sub }).toString()
  return html`<a class="button quiet" href="${ownPath(web, `/audit/ban?${query}`)}"
    >Ban this user</a
  >`
}

export async function submitLift(visit: PostedVisit): Promise<void> {
  await requireOperator(visit)
  const { web, form } = visit
  const { store } = web.issuing
  const ban = await store.bans.find(form['id'] ?? '')
  if (ban === undefined) throw new TtsError('not_found', 'no ban has this id', { check: 'ban' })
  await liftBan({ store, now: web.now }, ban, originOf(visit))
  goTo(visit, PLACE)
}

/** Whether a value can be an issuer or a `sub`. */
function isName(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_NAME && !/\p{C}/u.test(value)
}

function noUser(): TtsError {
  return new TtsError('invalid_request', 'the form names no user')
}
