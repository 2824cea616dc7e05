/** The operator's page: the latest audit records. */
import type { AuditRecord } from '../../domain/records.ts'
import { html, type Html } from '../html/html.ts'
import { sendPage } from '../html/layout.ts'
import { ownPath } from '../site.ts'
import type { PersonalVisit, Web } from '../view.ts'
import { banLink, bansInForce, requireOperator } from './ban-pages.ts'
import { instant } from './words.ts'

const SHOWN = 100
const outcomes = ['allowed', 'refused'] as const
type Outcome = (typeof outcomes)[number]

export async function showAudit(visit: PersonalVisit): Promise<void> {
  await requireOperator(visit)
  const { web, request } = visit
  const outcome = readOutcome(request.query['outcome'])
  const filter = { limit: SHOWN, ...(outcome === undefined ? {} : { outcome }) }
  const { store } = web.issuing
  const [lines, { bans }] = await Promise.all([store.listAudit(filter), store.bans.inForce()])
  const link = (to: string, name: string, isCurrent: boolean): Html =>
    html`<li>
      <a href="${ownPath(web, `/audit${to}`)}" ${isCurrent && html` aria-current="true"`}
        >${name}</a
      >
    </li>`
  sendPage(visit, {
    title: 'Latest requests',
    place: '/audit',
    content: html`<nav aria-label="Filter">
        <ul>
          ${link('', 'All', outcome === undefined)}${link('?outcome=allowed', 'Allowed', outcome === 'allowed')}${link('?outcome=refused', 'Refused', outcome === 'refused')}
        </ul>
      </nav>
      ${bansInForce(visit, bans)} ${lines.length === 0 && html`<p>There are no records.</p>`}
      <ol class="log">
        ${lines.map((line) => html`<li class="card">${lineOf(line, web)}</li>`)}
      </ol>
      <p class="hint">
        This page shows the newest ${SHOWN} records. On the host of the service,
        <code>tts audit</code> shows older ones.
      </p>`,
  })
}

function readOutcome(text: unknown): Outcome | undefined {
  return outcomes.find((one) => one === text)
}

function lineOf(line: AuditRecord, web: Web): Html {
  const { outcome, event, at, issuer, sub, serviceId, origin, code, check, detail } = line
  const facts = [
    ['Who', sub === undefined ? undefined : `${sub} of ${issuer ?? 'an unknown issuer'}`],
    ['Service', serviceId],
    ['From', `${origin.address} (${origin.interface})`],
    [outcome === 'refused' ? 'Reason' : 'Detail', detail],
    ['Code', code === undefined ? undefined : [code, check].filter(Boolean).join(', check ')],
    ['Credential', line.credentialId],
    ['Request', origin.requestId],
  ] as const
  return html`<h2>
      <bdi>${event}</bdi>
      <span class="badge ${outcome === 'allowed' ? 'good' : 'bad'}">${outcome}</span>
      ${instant(at)}
    </h2>
    <dl class="facts">
      ${facts.map(
        ([name, value]) =>
          value !== undefined &&
          html`<dt>${name}</dt>
            <dd><bdi>${value}</bdi></dd>`,
      )}
    </dl>
    ${issuer !== undefined && sub !== undefined && html`<p>${banLink(web, { issuer, sub })}</p>`}`
}
