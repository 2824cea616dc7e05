/**
 * The native API: POST /v1/proxies, POST /v1/certificates, /v1/credentials. It only parses, calls the domain and
 * answers.
 */
import { Router, type Request, type RequestHandler, type Response } from 'express'
import {
  type CredentialsDependencies,
  identityOfToken,
  listOwnCredentials,
  credentialNotFound,
  readReason,
  revokeCredential,
  showOwnCredential,
  type TokenCaller,
} from '../domain/revocation/credentials.ts'
import {
  type AskedFor,
  issue,
  requireCertificate,
  type IssueDependencies,
  type IssuedCertificate,
} from '../domain/issuing/issue.ts'
import type { CertificateRecord, CredentialView } from '../domain/records.ts'
import { TtsError } from '../base/errors.ts'
import type { Metrics } from '../service/metrics.ts'
import { readRequestBody, requestParameters } from './body.ts'
import { withinSignal } from './deadline.ts'
import type { Answer } from './openapi/answers.ts'
import { pageOf, pageParameters, readPage, storeFilter } from './pages.ts'
import { readQuery } from './query.ts'
import { bearerToken, contextOf, routeName } from './request.ts'

export interface NativeDependencies {
  readonly issuing: IssueDependencies
  readonly credentials: CredentialsDependencies
  readonly metrics: Metrics
  readonly maxBodyBytes: number
}

/** Default services of the native paths; `?service=` selects another service with the same plugin. */
export const nativeServices = { proxies: 'proxy', certificates: 'x509' } as const

const PEM = 'application/x-pem-file'

export function nativeRoutes(dependencies: NativeDependencies): Router {
  const router = Router()
  for (const path of ['proxies', 'certificates'] as const) {
    router.post(`/${path}`, routeName(`/v1/${path}`), issueAt(dependencies, path))
  }
  router.get('/credentials', routeName('/v1/credentials'), list(dependencies))
  router.get('/credentials/:id', routeName('/v1/credentials/:id'), show(dependencies))
  router.delete('/credentials/:id', routeName('/v1/credentials/:id'), revoke(dependencies))
  return router
}

function issueAt(
  { issuing, metrics, maxBodyBytes }: NativeDependencies,
  path: keyof typeof nativeServices,
): RequestHandler {
  return async function handle(request, response) {
    const token = bearerToken(request)
    const asJson = wantsJson(request)
    const { log, origin, signal } = contextOf(response)
    const read = async (): Promise<AskedFor> =>
      readCredentialRequest(issuing, {
        request,
        body: await readRequestBody(request, response, maxBodyBytes),
        path,
      })
    const application = { token, serviceId: nativeServices[path], read, origin, signal, log }
    const credential = requireCertificate(await withinSignal(issue(issuing, application), signal))
    metrics.credentialIssued(credential.serviceId)
    sendCredential(response, credential, { asJson })
  }
}

/**
 * Reads the requested service and its parameters from body and query.
 *
 * @throws {TtsError} `invalid_request`, `unsupported_media_type`
 */
export function readCredentialRequest(
  issuing: Pick<IssueDependencies, 'services'>,
  {
    request,
    body,
    path,
  }: {
    readonly request: Request
    readonly body: Buffer
    readonly path: keyof typeof nativeServices
  },
): { readonly serviceId: string; readonly parameters: Record<string, unknown> } {
  return selectService(issuing, { given: requestParameters(request, body), path })
}

/**
 * Takes the requested service out of the parameters.
 *
 * @throws {TtsError} `invalid_request` (the service is not one of the path)
 */
export function selectService(
  issuing: Pick<IssueDependencies, 'services'>,
  {
    given,
    path,
  }: {
    readonly given: Readonly<Record<string, unknown>>
    readonly path: keyof typeof nativeServices
  },
): { readonly serviceId: string; readonly parameters: Record<string, unknown> } {
  const { service = nativeServices[path], ...parameters } = given
  if (typeof service !== 'string') throw new TtsError('invalid_request', 'service must be a string')
  requirePlugin(issuing, service, path)
  // The answer has no room for a private key, so /v1/certificates needs a CSR. An empty CSR is added when there is
  // none: it is refused later, after the check whether the caller is authorised.
  const complete = path === 'certificates' ? { csr: '', ...parameters } : parameters
  return { serviceId: service, parameters: complete }
}

/** `?service=` must name a service with the same plugin as the default service of the path. */
function requirePlugin(
  issuing: Pick<IssueDependencies, 'services'>,
  service: string,
  path: keyof typeof nativeServices,
): void {
  const required = issuing.services.get(nativeServices[path])?.plugin.id
  const plugin = issuing.services.get(service)?.plugin.id
  if (plugin && plugin !== required) {
    throw new TtsError('invalid_request', `service: the service ${service} issues no ${path}`)
  }
}

/** Returns whether the client wants JSON instead of PEM. @throws {TtsError} `not_acceptable` */
export function wantsJson(request: Request): boolean {
  const type = request.accepts([PEM, 'application/json', 'text/plain', 'application/octet-stream'])
  if (type === false) {
    throw new TtsError(
      'not_acceptable',
      `the answer is ${PEM}, or application/json when Accept asks for it`,
    )
  }
  return type === 'application/json'
}

/** Sends a credential, as PEM or as JSON. */
export function sendCredential(
  response: Response,
  credential: IssuedCertificate,
  { asJson }: { readonly asJson: boolean },
): void {
  const [entry] = credential.entries
  if (!entry) throw new TtsError('internal', 'the plugin returned no entry')
  response.setHeader('Cache-Control', 'no-store')
  setCredentialHeaders(response, credential)
  if (!asJson) {
    // `end` with a string writes headers and body in one write; `send` would copy the body to a buffer and write twice.
    response.setHeader('Content-Type', `${PEM}; charset=utf-8`)
    response.setHeader('Content-Length', Buffer.byteLength(entry.value))
    response.end(entry.value)
    return
  }
  const answer: Answer<'IssuedCredential'> = {
    id: credential.id,
    service: credential.serviceId,
    identity: credential.identity.subject,
    not_after: credential.notAfter.toISOString(),
    end_entity_serial: credential.endEntitySerial,
    warnings: [...credential.warnings],
    pem: entry.value,
  }
  response.json(answer)
}

/** Sets the headers that describe a credential. */
export function setCredentialHeaders(
  response: Response,
  { id, notAfter, warnings }: IssuedCertificate,
): void {
  response.setHeader('TTS-Credential-Id', id)
  response.setHeader('TTS-Not-After', notAfter.toISOString())
  if (warnings.length > 0) response.setHeader('TTS-Warning', warnings.join('; '))
}

function callerOf(request: Request, response: Response): TokenCaller {
  const { signal, origin } = contextOf(response)
  return { token: bearerToken(request), signal, address: origin.address }
}

function list({ credentials }: NativeDependencies): RequestHandler {
  return async function list(request, response) {
    const caller = callerOf(request, response)
    const { active, ...pageQuery } = readQuery(request, [...pageParameters, 'active'])
    const wanted = readPage(pageQuery)
    const views = await listOwnCredentials(credentials, caller, {
      ...storeFilter(wanted),
      ...(readActive(active) ? { activeAt: credentials.now() } : {}),
    })
    const { limit } = wanted
    const { page, next } = pageOf(views, { limit, timeOf: ({ issuedAt }) => issuedAt })
    response.setHeader('Cache-Control', 'no-store')
    const credentialPage = page.map((view) => presentCredential(view))
    response.json({ credentials: credentialPage, next } satisfies Answer<'CredentialPage'>)
  }
}

function show({ credentials }: NativeDependencies): RequestHandler {
  return async function show(request, response) {
    const caller = callerOf(request, response)
    readQuery(request, [])
    const view = await showOwnCredential(credentials, caller, readId(request.params['id']))
    response.setHeader('Cache-Control', 'no-store')
    response.json(presentCredential(view))
  }
}

function revoke({ credentials }: NativeDependencies): RequestHandler {
  return async function revoke(request, response) {
    const { origin, log, signal } = contextOf(response)
    const caller = callerOf(request, response)
    const reason = readReason(readQuery(request, ['reason']).reason)
    const id = readId(request.params['id'])
    const identity = await identityOfToken(credentials, caller)
    if (!identity) throw credentialNotFound()
    const order = { id, identity, reason, origin, signal, log }
    const revocation = await revokeCredential(credentials, order)
    response.setHeader('Cache-Control', 'no-store')
    response.json({
      id,
      end_entity_serial: revocation.endEntitySerial ?? null,
      newly_revoked: revocation.newlyRevoked,
      affected: [...revocation.affectedCredentialIds],
    } satisfies Answer<'CredentialRevocation'>)
  }
}

function readActive(active: string | undefined): boolean {
  if (active === undefined || active === 'true' || active === 'false') return active === 'true'
  throw new TtsError('invalid_request', 'active: must be true or false')
}

/** Ids are UUIDs, so no credential has any other text as its id. */
function readId(id: unknown): string {
  if (typeof id === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) return id
  throw credentialNotFound()
}

/** Returns a credential as JSON, for its owner and for the operator. */
export function presentCredential(view: CredentialView): Answer<'Credential'> {
  return {
    id: view.id,
    service: view.serviceId,
    subject: view.identity.subject,
    issued_at: view.issuedAt.toISOString(),
    not_after: view.notAfter?.toISOString() ?? null,
    revoked_at: view.revokedAt?.toISOString() ?? null,
    revocation_reason: view.revocationReason ?? null,
    end_entity_serial: view.endEntitySerial ?? null,
    ssh_serial: view.sshSerial ?? null,
    client_id: view.clientId ?? null,
    address: view.origin.address,
    interface: view.origin.interface,
    delegation_id: view.delegationId ?? null,
    renewed_from: view.renewedFrom ?? null,
    certificates: view.certificates.map(presentCertificate),
  }
}

/** Returns a recorded certificate as JSON. */
export function presentCertificate(certificate: CertificateRecord): Answer<'Certificate'> {
  return {
    kind: certificate.kind,
    serial: certificate.serial,
    subject: certificate.subject,
    not_before: certificate.notBefore.toISOString(),
    not_after: certificate.notAfter.toISOString(),
    fingerprint_sha256: certificate.fingerprint,
    key: certificate.keyKind,
  }
}
