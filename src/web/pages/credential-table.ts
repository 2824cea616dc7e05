/** Renders a user's credentials as a table with one row, and one revocation, for each group. */
import type { CredentialView } from '../../domain/records.ts'
import { html, type Html } from '../html/html.ts'
import { ownPath } from '../site.ts'
import type { Web } from '../view.ts'
import { countInWords, type CredentialGroup, latestEnd } from './credential-groups.ts'
import { serviceName } from './service-names.ts'
import { instant, timeLeftInWords } from './words.ts'

/** Bounds the height of a row whose details are open. */
const MEMBERS_SHOWN = 50

/** @param caption title of the table, for screen readers too */
export function credentialTable(
  web: Web,
  caption: string,
  groups: readonly CredentialGroup[],
): Html {
  return html`<table class="issued">
    <caption>
      ${caption}
    </caption>
    <thead>
      <tr>
        <th scope="col">Credential</th>
        <th scope="col">Last issued</th>
        <th scope="col">Valid until</th>
        <th scope="col">Revoke</th>
      </tr>
    </thead>
    <tbody>
      ${groups.map((group) => groupRow(web, group))}
    </tbody>
  </table>`
}

function groupRow(web: Web, group: CredentialGroup): Html {
  const { members, active, endEntitySerial } = group
  const names = [...new Set(members.map(({ serviceId }) => serviceName(web, serviceId)))]
  const [newest] = members
  const isOne = members.length === 1 && active.length <= 1
  return html`<tr>
    <th scope="row">
      <bdi>${names.join(', ')}</bdi> ${badge(group)}
      ${endEntitySerial !== undefined && html`<p class="hint">Certificate <span class="mono">${endEntitySerial}</span></p>`}
      <details>
        <summary>${isOne ? 'Details' : `Show ${countInWords(members)}`}</summary>
        <ul class="members">
          ${members.slice(0, MEMBERS_SHOWN).map(memberItem)}
        </ul>
        ${members.length > MEMBERS_SHOWN && html`<p class="hint">${members.length - MEMBERS_SHOWN} older ones are not shown here.</p>`}
      </details>
    </th>
    <td data-label="Last issued">${newest && instant(newest.issuedAt)}</td>
    <td data-label="Valid until">${validity(web, group)}</td>
    <td data-label="Revoke">${revokeButton(web, group)}</td>
  </tr>`
}

function badge({ members, active }: CredentialGroup): Html {
  if (active.length === 0) {
    const isRevoked = members.some(({ revokedAt }) => revokedAt !== undefined)
    return html`<span class="badge note">${isRevoked ? 'revoked' : 'expired'}</span>`
  }
  const text = members.length === 1 ? 'valid' : `${active.length} valid`
  return html`<span class="badge good">${text}</span>`
}

function validity(web: Web, { members, active }: CredentialGroup): Html | string {
  const last = latestEnd(active.length > 0 ? active : members)
  if (last?.notAfter === undefined) return 'no end known'
  if (active.length === 0) return instant(last.notAfter)
  return html`${instant(last.notAfter)}${lifeBar(last.issuedAt, last.notAfter, web.now())}`
}

/** Renders the part of the lifetime that is left as a bar, with the time in words below it. */
function lifeBar(start: Date, end: Date, now: Date): Html {
  const whole = Math.max(1, end.getTime() - start.getTime())
  const left = Math.min(
    100,
    Math.max(0, Math.round(((end.getTime() - now.getTime()) / whole) * 100)),
  )
  return html`<meter
      min="0"
      max="100"
      low="25"
      optimum="100"
      value="${left}"
      aria-label="${left} % of the lifetime is left"
    ></meter
    ><span class="hint">${timeLeftInWords(end, now)}</span>`
}

function revokeButton(web: Web, { active, endEntitySerial }: CredentialGroup): Html | undefined {
  const [first] = active
  if (first === undefined) return undefined
  const what = countInWords(active)
  const which = endEntitySerial === undefined ? first.id : `certificate ${endEntitySerial}`
  return html`<a
    class="button quiet"
    href="${ownPath(web, `/credentials/${first.id}/revoke`)}"
    aria-label="Revoke ${what} of ${which}"
    >${active.length > 1 ? `Revoke ${what}` : 'Revoke'}</a
  >`
}

function memberItem({ id, issuedAt, notAfter, revokedAt, origin }: CredentialView): Html {
  return html`<li>
    Issued ${instant(issuedAt)}, from <bdi>${origin.address}</bdi>
    (${origin.interface})${notAfter !== undefined && html`, valid until ${instant(notAfter)}`}${revokedAt !== undefined && html`, revoked ${instant(revokedAt)}`}.
    <span class="mono">${id}</span>
  </li>`
}
