/** The pages for services: list, availability, and the request form. */
import { createHash } from 'node:crypto'
import { withinSignal } from '../../api/deadline.ts'
import { contextOf } from '../../api/request.ts'
import { issue, type LoginWanted } from '../../domain/issuing/issue.ts'
import type { Service } from '../../domain/issuing/service.ts'
import { TtsError } from '../../base/errors.ts'
import { availabilityOf, renderUnavailable } from './availability.ts'
import {
  type FieldValues,
  fieldSetsOf,
  parametersOfForm,
  renderFields,
  valuesOf,
} from './form-fields.ts'
import { placeProblems, renderRefusal } from './form-problems.ts'
import { html, type Html } from '../html/html.ts'
import { sendPage, tokenField } from '../html/layout.ts'
import { codeButton } from './myproxy-page.ts'
import { namePreview } from './name-preview.ts'
import { showResult } from './result-page.ts'
import { serviceName } from './service-names.ts'
import { tokenButton } from './token-page.ts'
import { ownPath } from '../site.ts'
import { originOf, type PersonalVisit, type PostedVisit } from '../view.ts'

const PLACE = '/services'

/** Returns the services that a user may see, in the operator's order. */
export function visibleServices({ web, session }: PersonalVisit): readonly Service[] {
  return [...web.issuing.services.values()]
    .filter((service) => !service.authz.hide || availabilityOf(service, session.token).usable)
    .toSorted(
      (a, b) =>
        (a.priority ?? Number.MAX_SAFE_INTEGER) - (b.priority ?? Number.MAX_SAFE_INTEGER) ||
        a.id.localeCompare(b.id),
    )
}

export function showServices(visit: PersonalVisit): void {
  const services = visibleServices(visit)
  sendPage(visit, {
    title: 'Services',
    place: PLACE,
    content: html` <p>
        Logged in as <bdi>${visit.session.stored.content.displayName}</bdi> with
        <bdi>${providerNameOf(visit)}</bdi>.
      </p>
      ${services.length === 0 && html`<div class="box note"><p>No service is available to you.</p></div>`}
      ${services.map((service) => serviceCard(visit, service))} ${codeButton(visit)}
      ${tokenButton(visit)}`,
  })
}

/** Returns the provider's name as on the login button. */
function providerNameOf({ web, session }: PersonalVisit): string {
  const { providerId } = session.token
  return web.client.providers.find(({ id }) => id === providerId)?.description ?? providerId
}

function serviceCard({ web, session }: PersonalVisit, service: Service): Html {
  const availability = availabilityOf(service, session.token)
  const { usable } = availability
  const title = html`service-${service.id}`
  const name = serviceName(web, service.id)
  return html`<section class="card" aria-labelledby="${title}">
    <h2 id="${title}">
      <bdi>${name}</bdi>
      <span class="badge ${usable ? 'good' : 'note'}"
        >${usable ? 'available' : 'not available'}</span
      >
    </h2>
    <p><bdi>${service.description}</bdi></p>
    ${
      usable
        ? html`<p>
            <a
              class="button"
              href="${ownPath(web, `/services/${service.id}`)}"
              aria-label="Request: ${name}"
              >Request</a
            >
          </p>`
        : renderUnavailable(availability, service.authz.tooltip, web.settings.contact)
    }
  </section>`
}

export async function showService(visit: PersonalVisit): Promise<void> {
  const service = serviceOf(visit)
  const { pending } = visit.session.stored.content
  const values = pending?.serviceId === service.id ? pending.parameters : {}
  await showForm(visit, service, { values, refusal: undefined })
}

interface FilledForm {
  readonly values: FieldValues
  readonly refusal: TtsError | undefined
}

async function showForm(
  visit: PersonalVisit,
  service: Service,
  { values, refusal }: FilledForm,
): Promise<void> {
  const { web, session } = visit
  const availability = availabilityOf(service, session.token)
  const sets = fieldSetsOf(service)
  const problems = placeProblems(sets, refusal, values)
  const name = await namePreview(visit, service)
  const formId = web.issuing.randomBytes(16).toString('base64url')
  const forms = sets.map((fields, index) => {
    const idPrefix = `f${index}-`
    return html`<form
      class="card"
      method="post"
      action="${ownPath(web, `/services/${service.id}`)}"
    >
      ${sets.length > 1 && html`<h2>Option ${index + 1}</h2>`} ${tokenField(session)}<input
        type="hidden"
        name="form_id"
        value="${formId}"
      />
      ${renderFields(fields, { idPrefix, values, problems })}
      <p><button>Request</button></p>
    </form>`
  })
  sendPage(visit, {
    title: `Request: ${serviceName(web, service.id)}`,
    place: PLACE,
    status: refusal === undefined ? 200 : statusOf(refusal),
    content: html`<p><bdi>${service.description}</bdi></p>
      ${refusal !== undefined && renderRefusal(web, { sets, problems, refusal })} ${logins(visit)}
      ${availability.usable && name}
      ${availability.usable ? forms : html`<div class="box note">${renderUnavailable(availability, service.authz.tooltip, web.settings.contact)}</div>`}
      <p><a href="${ownPath(visit.web, '/services')}">All services</a></p>`,
  })
}

/** Lists the additional logins that a plugin required. */
function logins({ session }: PersonalVisit): Html | undefined {
  const { additionalLogins } = session.stored.content
  if (additionalLogins.length === 0) return undefined
  const names = additionalLogins.map(({ providerId }) => providerId).join(', ')
  return html`<div class="box good">
    <p>You are also logged in at <bdi>${names}</bdi>. You can send the request now.</p>
  </div>`
}

const FORM_LIFE_MS = 24 * 3600 * 1000

/** Requests a credential from a service; the checks are the same as on every other interface. */
export async function submitRequest(visit: PostedVisit): Promise<void> {
  const { web, session, form, response } = visit
  const service = serviceOf(visit)
  const values = valuesOf(form)
  await requireFirstUse(visit)
  const { log, signal } = contextOf(response)
  const { login, additionalLogins } = session.stored.content
  try {
    const application = {
      token: login.accessToken,
      additionalTokens: additionalLogins.map(({ accessToken }) => accessToken),
      serviceId: service.id,
      read: () => ({
        serviceId: service.id,
        parameters: parametersOfForm(fieldSetsOf(service), values),
      }),
      origin: originOf(visit),
      signal,
      log,
    }
    const answer = await withinSignal(
      issue(web.issuing, { ...application, canLogIn: true }),
      signal,
    )
    if (answer.kind === 'login') {
      await savePending(visit, { serviceId: service.id, parameters: values })
      showAdditionalLogin(visit, service, answer)
      return
    }
    web.metrics.credentialIssued(service.id)
    showResult(visit, answer)
  } catch (error) {
    if (!(error instanceof TtsError) || !isCorrectable(error)) throw error
    web.metrics.refused(error.code, error.check)
    await showForm(visit, service, { values, refusal: error })
  }
}

/** Returns whether the user can correct the same form and send it again. */
function isCorrectable({ code }: TtsError): boolean {
  return [
    'invalid_request',
    'invalid_csr',
    'limit_reached',
    'access_denied',
    'overloaded',
    'plugin_failed',
  ].includes(code)
}

function statusOf({ code }: TtsError): number {
  return code === 'access_denied'
    ? 403
    : code === 'limit_reached'
      ? 429
      : code === 'overloaded'
        ? 503
        : code === 'plugin_failed'
          ? 502
          : 400
}

/**
 * Refuses a form that was already sent. A browser that reloads the page sends the form again, and must not silently
 * get a second credential.
 *
 * @throws {TtsError} `conflict`, check `form_used`
 */
async function requireFirstUse({ web, session, form }: PostedVisit): Promise<void> {
  const { form_id: formId = '' } = form
  const digest = createHash('sha256')
    .update(`tts form v1\0${session.stored.idDigest}\0${formId}`)
    .digest('hex')
  const until = new Date(web.now().getTime() + FORM_LIFE_MS)
  if (/^[\w-]{22}$/.test(formId) && (await web.issuing.store.claimProof(digest, until))) return
  throw new TtsError(
    'conflict',
    'this form was already sent, and its result is shown only once: open the service again to send a new request',
    { check: 'form_used' },
  )
}

async function savePending(
  { web, session }: PostedVisit,
  pending: { readonly serviceId: string; readonly parameters: FieldValues },
): Promise<void> {
  await web.sessions.change(session, { ...session.stored.content, pending })
}

function showAdditionalLogin(visit: PostedVisit, service: Service, login: LoginWanted): void {
  const { client } = visit.web
  const provider = client.providers.find(({ id }) => id === login.provider)
  const query = `provider=${encodeURIComponent(login.provider)}&return=${encodeURIComponent(`/services/${service.id}`)}&add=1`
  sendPage(visit, {
    title: 'Another login is required',
    place: PLACE,
    content: html`<div class="box note">
        <p>
          The service <bdi>${serviceName(visit.web, service.id)}</bdi> requires that you also log in
          at another provider.
        </p>
        <p><bdi>${login.message}</bdi></p>
      </div>
      ${
        provider === undefined
          ? html`<p>
              Login with that provider (<bdi>${login.provider}</bdi>) is not configured. Ask the
              operator of this service.
            </p>`
          : html`<p>
                <a class="button" href="${ownPath(visit.web, `/login/start?${query}`)}"
                  >Also log in with <bdi>${provider.description}</bdi></a
                >
              </p>
              <p>After that you return to the form, which still has your values.</p>`
      }
      <p><a href="${ownPath(visit.web, '/services')}">All services</a></p>`,
  })
}

/** @throws {TtsError} `not_found` (also for a service that this user may not see) */
function serviceOf(visit: PersonalVisit): Service {
  const { id } = visit.request.params
  const service = visibleServices(visit).find((one) => one.id === id)
  if (service !== undefined) return service
  throw new TtsError('not_found', 'no service has this name', { check: 'service' })
}
