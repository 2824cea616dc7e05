/** The client of the Token Translation Service. */
import { readJson } from '../../../plugins/json.ts'
import { z } from 'zod'
import { clockDifference, describeClockDifference } from '../../client/clock.ts'
import { foreignAnswer } from '../../client/foreign-answer.ts'
import { pemOf, serviceRefusal, send } from '../../client/http-client.ts'
import type { HttpResponse } from '../../client/http-request.ts'
import { TtsError } from '../../base/errors.ts'
import { cannotRead } from '../../files/file-errors.ts'
import { readInputFile } from '../../files/input-file.ts'
import { findProxyFailure } from '../../network/network.ts'
import type { Log } from '../../base/log.ts'
import type { ProxySettings } from '../settings/proxy-settings.ts'

/** A request for a proxy: its parameters and the CSR of its key. */
export interface ServiceProxyRequest {
  readonly settings: Pick<
    ProxySettings,
    'service' | 'type' | 'lifetime_seconds' | 'path_length' | 'voms'
  >
  /** PKCS#10 in PEM. */
  readonly csr: string
}

/** The service's answer, not yet checked. */
export interface ServiceProxy {
  /** Proxy, EEC, chain in PEM, without the key. */
  readonly pem: string
  /** Until when the delegation can be renewed, according to the service. */
  readonly renewsUntil: Date | undefined
  readonly warning: string | undefined
}

/** A new delegation. The service shows its secret only once. */
export interface ServiceDelegation {
  readonly id: string
  readonly renewalSecret: string
  readonly renewsUntil: Date | undefined
  readonly advice: string | undefined
  /** The client of the access token; undefined if the service does not know it. */
  readonly clientId: string | undefined
}

/** A delegation in the list of its owner. */
export interface ListedDelegation {
  readonly id: string
  readonly state: string
  readonly label: string | undefined
  readonly clientId: string | undefined
}

/** The authority for a request: an access token, or a delegation id with its renewal secret as bearer. */
export interface ServiceAuthority {
  readonly bearer: string
  readonly delegationId?: string
}

/**
 * All methods throw TtsError: a refusal with the code of the service, `provider_unavailable` when it cannot be reached.
 */
export interface ServiceClient {
  requestProxy(
    request: ServiceProxyRequest,
    authority: ServiceAuthority,
    signal: AbortSignal,
  ): Promise<ServiceProxy>
  /** @throws {TtsError} `not_found` when the service does not offer delegations for this provider */
  createDelegation(token: string, label: string, signal: AbortSignal): Promise<ServiceDelegation>
  /** Returns the delegations of the token's owner. */
  listDelegations(token: string, signal: AbortSignal): Promise<readonly ListedDelegation[]>
  revokeDelegation(token: string, id: string, signal: AbortSignal): Promise<void>
  /** Checks that the service answers, so that no token is requested in vain. */
  checkReachable(signal: AbortSignal): Promise<void>
}

export interface ServiceClientOptions {
  readonly url: string
  /** PEM file of the CAs that may issue its TLS certificate; undefined: all trusted CAs. */
  readonly caFile: string | undefined
  readonly timeoutMs: number
  readonly now: () => Date
  readonly log: Log
  /** Prints a line about each request and its answer. */
  readonly trace?: ((line: string) => void) | undefined
}

const MAX_CA_BYTES = 4 * 1024 * 1024

const delegationResponse = z.object({
  id: z.string().min(1).max(128),
  renewal_secret: z.string().min(1).max(1024),
  renews_until: z.iso
    .datetime({ offset: true })
    .transform((text) => new Date(text))
    .optional()
    .catch(undefined),
  advice: z.string().max(2000).optional().catch(undefined),
  client_id: z.string().nullish().catch(undefined),
})

const delegationList = z.object({
  delegations: z.array(
    z.object({
      id: z.string().min(1).max(128),
      state: z.string(),
      label: z.string().nullish(),
      client_id: z.string().nullish(),
    }),
  ),
  // An older service has no pages.
  next: z.string().max(256).nullish(),
})

/** Entries of a page, and pages that are read at most: the active delegations are among the newest. */
const PAGE_ENTRIES = 500
const MAX_PAGES = 20

interface ServiceRequest {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  readonly signal: AbortSignal
}

async function askService(
  options: ServiceClientOptions,
  { path, ...request }: ServiceRequest,
): Promise<HttpResponse> {
  const base = options.url.endsWith('/') ? options.url : `${options.url}/`
  const response = await send({
    ...request,
    url: new URL(path, base),
    certificateAuthorities: await authorities(options.caFile),
    timeoutMs: options.timeoutMs,
    trace: options.trace,
  }).catch((error: unknown) => replaceRemedy(error, options.url))
  warnAboutClock(response, options)
  return response
}

/** Creates the client. The CA file is read for each request, because it may have been replaced. */
export function createServiceClient(options: ServiceClientOptions): ServiceClient {
  const ask = async (request: ServiceRequest): Promise<HttpResponse> => askService(options, request)
  return {
    requestProxy: async (request, { bearer, delegationId }, signal) => {
      const path =
        delegationId === undefined
          ? 'v1/proxies'
          : `v1/delegations/${encodeURIComponent(delegationId)}/proxies`
      const response = await ask({
        method: 'POST',
        path: `${path}?${queryParameters(request).toString()}`,
        headers: {
          authorization: `Bearer ${bearer}`,
          'content-type': 'application/pkcs10',
          accept: 'application/x-pem-file',
        },
        body: request.csr,
        signal,
      })
      return {
        pem: pemOf(response),
        renewsUntil: parseDate(response.headers['tts-renews-until']),
        warning: shortText(response.headers['tts-warning']),
      }
    },
    createDelegation: async (token, label, signal) => {
      const response = await ask({
        method: 'POST',
        path: 'v1/delegations',
        headers: {
          authorization: `Bearer ${token}`,
          'content-type': 'application/json',
          accept: 'application/json',
        },
        body: JSON.stringify({ label }),
        signal,
      })
      if (response.status !== 201) throw serviceRefusal(response)
      return readDelegation(response)
    },
    ...ownDelegations(ask),
    checkReachable: async (signal) => {
      const request = { method: 'GET', path: 'healthz', headers: {}, body: undefined } as const
      const response = await ask({ ...request, signal })
      // Any status below 500 is good enough: a reverse proxy may not forward this path.
      if (response.status >= 500) throw serviceRefusal(response)
    },
  }
}

function ownDelegations(
  ask: (request: ServiceRequest) => Promise<HttpResponse>,
): Pick<ServiceClient, 'listDelegations' | 'revokeDelegation'> {
  const headersOf = (token: string) => ({
    authorization: `Bearer ${token}`,
    accept: 'application/json',
  })
  return {
    listDelegations: async (token, signal) => {
      const headers = headersOf(token)
      const listed: ListedDelegation[] = []
      let after = ''
      for (let page = 0; page < MAX_PAGES; page += 1) {
        const path = `v1/delegations?limit=${PAGE_ENTRIES}${after}`
        const response = await ask({ method: 'GET', path, headers, body: undefined, signal })
        const { delegations, next } = readDelegations(response)
        listed.push(...delegations.map(listedDelegation))
        if (typeof next !== 'string') break
        after = `&after=${encodeURIComponent(next)}`
      }
      return listed
    },
    revokeDelegation: async (token, id, signal) => {
      const headers = headersOf(token)
      const path = `v1/delegations/${encodeURIComponent(id)}`
      const response = await ask({ method: 'DELETE', path, headers, body: undefined, signal })
      if (response.status !== 200) throw serviceRefusal(response)
    },
  }
}

function readDelegations(response: HttpResponse): z.output<typeof delegationList> {
  if (response.status !== 200) throw serviceRefusal(response)
  const read = readJson(response.body)
  const result = delegationList.safeParse('value' in read ? read.value : undefined)
  if (!result.success) throw foreignAnswer(response)
  return result.data
}

function listedDelegation({
  id,
  state,
  label,
  client_id: clientId,
}: z.output<typeof delegationList>['delegations'][number]): ListedDelegation {
  return { id, state, label: label ?? undefined, clientId: clientId ?? undefined }
}

function queryParameters({ settings }: ServiceProxyRequest): URLSearchParams {
  const { service, type, lifetime_seconds: lifetime, path_length: pathLength } = settings
  const parameters: [string, string][] = [
    ['service', service],
    ['proxy_type', type],
  ]
  if (lifetime !== undefined) parameters.push(['lifetime_seconds', String(lifetime)])
  if (pathLength !== undefined) parameters.push(['path_length', String(pathLength)])
  if (settings.voms !== undefined) parameters.push(['voms', settings.voms])
  return new URLSearchParams(parameters)
}

function readDelegation(response: HttpResponse): ServiceDelegation {
  const read = readJson(response.body)
  const result = delegationResponse.safeParse('value' in read ? read.value : undefined)
  if (!result.success) throw foreignAnswer(response)
  const { id, renewal_secret, renews_until, advice, client_id } = result.data
  return {
    id,
    renewalSecret: renewal_secret,
    renewsUntil: renews_until,
    advice,
    clientId: client_id ?? undefined,
  }
}

async function authorities(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined
  const read = readInputFile(path, { maxBytes: MAX_CA_BYTES }).catch((cause: unknown) => {
    throw cannotRead(`service.ca_file: ${path}`, cause, { code: 'configuration' })
  })
  return (await read).toString('utf8')
}

/** The remedy of the HTTP client names options of another program, except for a failure of the HTTP proxy. */
function replaceRemedy(error: unknown, url: string): never {
  if (!(error instanceof TtsError) || error.code !== 'provider_unavailable') throw error
  throw new TtsError(error.code, error.message, {
    remedy:
      findProxyFailure(url, error.cause)?.remedy ??
      'Check service.url, service.ca_file and the section tls, and that `tts serve` runs there.',
    cause: error.cause,
  })
}

function warnAboutClock({ headers }: HttpResponse, { now, log }: ServiceClientOptions): void {
  const aheadSeconds = clockDifference(headers, now())
  if (aheadSeconds !== undefined)
    log.warn(
      { event: 'clock.differs', ahead_seconds: aheadSeconds },
      describeClockDifference(aheadSeconds),
    )
}

function parseDate(header: string | string[] | undefined): Date | undefined {
  const date = typeof header === 'string' ? new Date(header) : undefined
  return date === undefined || Number.isNaN(date.getTime()) ? undefined : date
}

const shortText = (header: string | string[] | undefined): string | undefined =>
  typeof header === 'string' ? header.slice(0, 1000) : undefined
