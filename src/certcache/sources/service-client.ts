/** What certcache asks of the Token Translation Service. */
import { readJson } from '../../../plugins/json.ts'
import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { type ClientResponse, serviceRefusal, send } from '../../client/http-client.ts'
import { TtsError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { ProxySettings } from '../settings/proxy-settings.ts'

/** A proxy to be had: what it shall be, and the CSR of its key. */
export interface ServiceProxyRequest {
  readonly settings: Pick<ProxySettings, 'service' | 'type' | 'lifetime_seconds' | 'path_length'>
  /** PKCS#10 in PEM. */
  readonly csr: string
}

/** The service's answer, not looked at yet. */
export interface ServiceProxy {
  /** Proxy, EEC, chain in PEM, without the key. */
  readonly pem: string
  /** Until when the delegation renews, as the service tells. */
  readonly renewsUntil: Date | undefined
  readonly warning: string | undefined
}

/** A delegation as the service answers it, once. */
export interface ServiceDelegation {
  readonly id: string
  readonly renewalSecret: string
  readonly renewsUntil: Date | undefined
  readonly advice: string | undefined
}

/** Where the proxy is asked for: with an access token, or by a delegation with its renewal secret. */
export interface ServiceAuthority {
  readonly bearer: string
  readonly delegationId?: string
}

/** All throw TtsError: the service's refusal under its own code, `provider_unavailable` when it cannot be reached. */
export interface ServiceClient {
  requestProxy(
    request: ServiceProxyRequest,
    authority: ServiceAuthority,
    signal: AbortSignal,
  ): Promise<ServiceProxy>
  /** `not_found` with check `delegations` when the service makes none for this provider. */
  createDelegation(token: string, label: string, signal: AbortSignal): Promise<ServiceDelegation>
  /** Asks for nothing but an answer, where a token would be got in vain. */
  requireThere(signal: AbortSignal): Promise<void>
}

export interface ServiceClientOptions {
  readonly url: string
  /** PEM of the CAs that its TLS certificate may be from; undefined: the system's. */
  readonly caFile: string | undefined
  readonly timeoutMs: number
  readonly now: () => Date
  readonly log: Log
}

/** Clocks that differ by more make certificates that are not valid yet, or not any more. */
const CLOCK_TOLERANCE_MS = 60_000

const madeDelegation = z.object({
  id: z.string().min(1).max(128),
  renewal_secret: z.string().min(1).max(1024),
  renews_until: z.iso
    .datetime({ offset: true })
    .transform((text) => new Date(text))
    .optional()
    .catch(undefined),
  advice: z.string().max(2000).optional().catch(undefined),
})

interface Wanted {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  readonly signal: AbortSignal
}

async function askService(options: ServiceClientOptions, wanted: Wanted): Promise<ClientResponse> {
  const { path, ...request } = wanted
  const base = options.url.endsWith('/') ? options.url : `${options.url}/`
  const response = await send({
    ...request,
    url: new URL(path, base),
    certificateAuthorities: await authorities(options.caFile),
    timeoutMs: options.timeoutMs,
  }).catch(withOurRemedy)
  watchClock(response, options)
  return response
}

/** Makes the client. The file of CAs is read for each request, so that a new one is taken. */
export function createServiceClient(options: ServiceClientOptions): ServiceClient {
  const ask = async (wanted: Wanted): Promise<ClientResponse> => askService(options, wanted)
  return {
    requestProxy: async (request, { bearer, delegationId }, signal) => {
      const path =
        delegationId === undefined
          ? 'v1/proxies'
          : `v1/delegations/${encodeURIComponent(delegationId)}/proxies`
      const response = await ask({
        method: 'POST',
        path: `${path}?${parametersOf(request).toString()}`,
        headers: {
          authorization: `Bearer ${bearer}`,
          'content-type': 'application/pkcs10',
          accept: 'application/x-pem-file',
        },
        body: request.csr,
        signal,
      })
      if (response.status !== 200) throw serviceRefusal(response)
      return {
        pem: response.body,
        renewsUntil: dateOf(response.headers['tts-renews-until']),
        warning: textOf(response.headers['tts-warning']),
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
      return readDelegation(response.body)
    },
    requireThere: async (signal) => {
      const asked = { method: 'GET', path: 'healthz', headers: {}, body: undefined } as const
      const response = await ask({ ...asked, signal })
      // Below 500 somebody is there, also where a proxy in front does not pass this path on.
      if (response.status >= 500) throw serviceRefusal(response)
    },
  }
}

function parametersOf({ settings }: ServiceProxyRequest): URLSearchParams {
  const { service, type, lifetime_seconds: lifetime, path_length: pathLength } = settings
  const parameters: [string, string][] = [
    ['service', service],
    ['proxy_type', type],
  ]
  if (lifetime !== undefined) parameters.push(['lifetime_seconds', String(lifetime)])
  if (pathLength !== undefined) parameters.push(['path_length', String(pathLength)])
  return new URLSearchParams(parameters)
}

function readDelegation(body: string): ServiceDelegation {
  const read = readJson(body)
  const result = madeDelegation.safeParse('value' in read ? read.value : undefined)
  if (!result.success)
    throw new TtsError('internal', 'the service answered with something that is no delegation')
  const { id, renewal_secret, renews_until, advice } = result.data
  return { id, renewalSecret: renewal_secret, renewsUntil: renews_until, advice }
}

async function authorities(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined
  return readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    const message = `service.ca_file: ${path} cannot be read (${cause.code ?? 'error'})`
    throw new TtsError('configuration', message, { cause })
  })
}

/** The client's own words name options of another program. */
function withOurRemedy(error: unknown): never {
  if (!(error instanceof TtsError) || error.code !== 'provider_unavailable') throw error
  throw new TtsError(error.code, error.message, {
    remedy: 'Check service.url and service.ca_file, and that `tts serve` runs there.',
    cause: error.cause,
  })
}

function watchClock({ headers }: ClientResponse, { now, log }: ServiceClientOptions): void {
  const theirs = dateOf(headers['date'])
  if (theirs === undefined) return
  const aheadSeconds = Math.round((now().getTime() - theirs.getTime()) / 1000)
  if (Math.abs(aheadSeconds) * 1000 > CLOCK_TOLERANCE_MS)
    log.warn(
      { event: 'clock.differs', ahead_seconds: aheadSeconds },
      "this machine's clock and the service's differ; set it by NTP",
    )
}

function dateOf(header: string | string[] | undefined): Date | undefined {
  const date = typeof header === 'string' ? new Date(header) : undefined
  return date === undefined || Number.isNaN(date.getTime()) ? undefined : date
}

const textOf = (header: string | string[] | undefined): string | undefined =>
  typeof header === 'string' ? header.slice(0, 1000) : undefined
