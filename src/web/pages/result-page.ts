/** What a request brought: shown this once. What the service made is not kept here, so a download brings it along. */
import type { CredentialEntry } from '../../../plugins/plugin.ts'
import type { IssuedCredential } from '../../domain/issuing/issue.ts'
import { TtsError } from '../../base/errors.ts'
import { html, type Html, textArea } from '../html/html.ts'
import { sendPage, tokenField } from '../html/layout.ts'
import { ownPath } from '../site.ts'
import type { PersonalVisit, PostedVisit } from '../view.ts'
import { instant, timeLeftInWords } from './words.ts'

/** Entries that are hidden until they are asked for: somebody may look over the shoulder. */
const SECRET_NAME = /private|secret|passphrase|password/i

export function showResult(visit: PostedVisit, credential: IssuedCredential): void {
  sendPage(visit, {
    title: `Your credential of ${credential.serviceId}`,
    place: '/services',
    content: html`${resultContent(visit, credential)}
      <p><a href="${ownPath(visit.web, '/credentials')}">What was issued to you</a></p>`,
  })
}

/** What the page of a result says of it. @param downloadPath takes the downloads of this session */
export function resultContent(
  visit: PersonalVisit,
  credential: IssuedCredential,
  downloadPath = '/download',
): Html {
  const { id, entries, notAfter, warnings, identity } = credential
  const now = visit.web.now()
  const action = ownPath(visit.web, downloadPath)
  return html`<div class="box good" role="status">
      <p>Issued. This page is shown only once: download what you need before you leave it.</p>
    </div>
    ${warnings.map(
      (warning) =>
        html`<div class="box note">
          <p><bdi>${warning}</bdi>.</p>
        </div>`,
    )}
    <dl class="facts">
      <dt>Ends</dt>
      <dd>
        ${notAfter === undefined ? 'when it is revoked, as far as is known here' : html`${instant(notAfter)} (${timeLeftInWords(notAfter, now)})`}
      </dd>
      <dt>Name</dt>
      <dd class="mono"><bdi>${identity.subject}</bdi></dd>
      <dt>Number</dt>
      <dd class="mono">${id}</dd>
    </dl>
    ${entries.map((entry, index) => entryCard(entry, `entry-${index}`, { action, token: tokenField(visit.session) }))}`
}

function entryCard(
  entry: CredentialEntry,
  id: string,
  { action, token }: { readonly action: string; readonly token: Html },
): Html {
  const { name, type, value } = entry
  const isSecret = SECRET_NAME.test(name) || value.includes('PRIVATE KEY-----')
  const shown =
    type === 'text'
      ? html`<pre id="${id}"><code>${value}</code></pre>`
      : textArea(
          html`id="${id}" readonly rows="${rowsOf(entry)}" spellcheck="false" aria-label="${name}"`,
          value,
        )
  return html`<article class="card" aria-labelledby="${id}-name">
    <h2 id="${id}-name"><bdi>${name}</bdi></h2>
    <div class="row">
      ${type !== 'text' && downloadForm(action, token, entry)}
      <button type="button" class="quiet" data-copy="${id}" hidden>
        Copy <span class="unseen"><bdi>${name}</bdi></span>
      </button>
    </div>
    ${type !== 'text' && isSecret && afterDownload(entry)}
    ${
      isSecret
        ? html`<details>
            <summary>
              Show <span class="unseen"><bdi>${name}</bdi></span>
            </summary>
            <p class="hint">Secret: who has this can act as you.</p>
            ${shown}
          </details>`
        : shown
    }
  </article>`
}

/** Browsers save files for all to read, and grid tools refuse keys that others can read. */
function afterDownload({ name, saveAs, value }: CredentialEntry): Html {
  const file = fileNameOf(saveAs ?? name)
  const isProxyFile = /BEGIN CERTIFICATE-[^]*PRIVATE KEY-/.test(value)
  return html`<p class="hint">After the download, where you saved it:</p>
    <pre><code>chmod 600 ${file}${isProxyFile && `\nexport X509_USER_PROXY="$PWD/${file}"`}</code></pre>`
}

function rowsOf({ rows, value }: CredentialEntry): number {
  return Math.max(2, Math.min(rows ?? value.split('\n').length, 14))
}

/** By POST: neither the value nor a way to it gets into an address, a history or a cache. */
function downloadForm(action: string, token: Html, entry: CredentialEntry): Html {
  const file = fileNameOf(entry.saveAs ?? entry.name)
  // Base64, since browsers change the line ends of what a form holds.
  return html`<form method="post" action="${action}">
    ${token}
    <input type="hidden" name="file" value="${file}" />
    <input type="hidden" name="content" value="${Buffer.from(entry.value).toString('base64')}" />
    <button>Download <bdi>${file}</bdi></button>
  </form>`
}

const MAX_FILE_NAME = 80

/** A name that is one file in one directory, everywhere. */
export function fileNameOf(name: string): string {
  const plain = name
    .normalize('NFKD')
    .replaceAll(/[^A-Za-z0-9._-]+/g, '_')
    .replaceAll(/^[._-]+/g, '')
    .slice(0, MAX_FILE_NAME)
  return plain === '' ? 'credential' : plain
}

/** Gives back as a file what its own page held. */
export function download({ form, response }: PostedVisit): void {
  const { content = '', file = '' } = form
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(content))
    throw new TtsError('invalid_request', 'this is not what the page held')
  response.setHeader('Content-Disposition', `attachment; filename="${fileNameOf(file)}"`)
  response.type('application/octet-stream').send(Buffer.from(content, 'base64'))
}
