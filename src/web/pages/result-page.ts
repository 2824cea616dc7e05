/**
 * The page with a new credential, shown only once. The service does not store the credential, so the download form
 * contains it.
 */
import type { CredentialEntry } from '../../../plugins/plugin.ts'
import { x509Certificate } from '../../../plugins/x509-certificate/index.ts'
import type { IssuedCredential } from '../../domain/issuing/issue.ts'
import { TtsError } from '../../base/errors.ts'
import { html, type Html, textArea } from '../html/html.ts'
import { sendPage, tokenField } from '../html/layout.ts'
import { ownPath } from '../site.ts'
import type { PersonalVisit, PostedVisit } from '../view.ts'
import { isSecret, nextStepsOf, type NextSteps } from './next-steps.ts'
import { downloadPkcs12, keyPairOf, pkcs12Form } from './pkcs12-download.ts'
import { serviceName } from './service-names.ts'
import { instant, timeLeftInWords } from './words.ts'

export function showResult(visit: PostedVisit, credential: IssuedCredential): void {
  sendPage(visit, {
    title: `Issued: ${serviceName(visit.web, credential.serviceId)}`,
    place: '/services',
    content: html`${resultContent(visit, credential)}
      <p><a href="${ownPath(visit.web, '/credentials')}">Your credentials</a></p>`,
  })
}

/** Renders a new credential. @param downloadPath path that accepts the download forms of this session */
export function resultContent(
  visit: PersonalVisit,
  credential: IssuedCredential,
  downloadPath = '/download',
): Html {
  const { id, entries, notAfter, warnings, identity } = credential
  const now = visit.web.now()
  const action = ownPath(visit.web, downloadPath)
  const pluginId = visit.web.issuing.services.get(credential.serviceId)?.plugin.id
  const steps = nextStepsOf(pluginId, entries, ({ saveAs, name }) => fileNameOf(saveAs ?? name))
  const pair = pluginId === x509Certificate.id ? keyPairOf(entries) : undefined
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
      <dt>Valid until</dt>
      <dd>
        ${notAfter === undefined ? 'it is revoked; this service knows of no other end' : html`${instant(notAfter)} (${timeLeftInWords(notAfter, now)})`}
      </dd>
      <dt>Name</dt>
      <dd class="mono"><bdi>${identity.subject}</bdi></dd>
      <dt>Id</dt>
      <dd class="mono">${id}</dd>
    </dl>
    ${pair && pkcs12Form(visit, pair, { action: downloadPath })}
    ${entries.map((entry, index) => entryCard(entry, `entry-${index}`, { action, token: tokenField(visit.session) }))}
    ${steps && stepsCard(steps)}`
}

function entryCard(
  entry: CredentialEntry,
  id: string,
  { action, token }: { readonly action: string; readonly token: Html },
): Html {
  const { name, type, value } = entry
  const rendered =
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
    ${
      isSecret(entry)
        ? html`<details>
            <summary>
              Show <span class="unseen"><bdi>${name}</bdi></span>
            </summary>
            <p class="hint">Secret: anyone who has this can act as you.</p>
            ${rendered}
          </details>`
        : rendered
    }
  </article>`
}

function stepsCard({ text, commands }: NextSteps): Html {
  return html`<section class="card" aria-labelledby="steps">
    <h2 id="steps">Next steps</h2>
    <p>${text}</p>
    <pre id="steps-commands"><code>${commands.join('\n')}</code></pre>
    <button type="button" class="quiet" data-copy="steps-commands" hidden>Copy the commands</button>
  </section>`
}

function rowsOf({ rows, value }: CredentialEntry): number {
  return Math.max(2, Math.min(rows ?? value.split('\n').length, 14))
}

/** The form uses POST, so that neither the value nor a link to it gets into an address, a history or a cache. */
function downloadForm(action: string, token: Html, entry: CredentialEntry): Html {
  const file = fileNameOf(entry.saveAs ?? entry.name)
  // Base64, because browsers change the line ends of form values.
  return html`<form method="post" action="${action}">
    ${token}
    <input type="hidden" name="file" value="${file}" />
    <input type="hidden" name="content" value="${Buffer.from(entry.value).toString('base64')}" />
    <button>Download <bdi>${file}</bdi></button>
  </form>`
}

const MAX_FILE_NAME = 80

/** Returns a file name that is safe on every system and has no directory part. */
export function fileNameOf(name: string): string {
  const plain = name
    .normalize('NFKD')
    .replaceAll(/[^A-Za-z0-9._-]+/g, '_')
    .replaceAll(/^[._-]+/g, '')
    .slice(0, MAX_FILE_NAME)
  return plain === '' ? 'credential' : plain
}

/** Returns the content of the submitted form as a file. */
export async function download(visit: PostedVisit): Promise<void> {
  const { form, response } = visit
  if (form['kind'] === 'pkcs12') {
    await downloadPkcs12(visit)
    return
  }
  const { content = '', file = '' } = form
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(content))
    throw new TtsError('invalid_request', 'content: must be Base64')
  response.setHeader('Content-Disposition', `attachment; filename="${fileNameOf(file)}"`)
  response.type('application/octet-stream').send(Buffer.from(content, 'base64'))
}
