/** Requests over real HTTP, and what their answers must look like whatever the path. */
import { type IncomingHttpHeaders, request as httpRequest } from 'node:http'
import { expect } from 'vitest'
import { createCsr } from '../../ca/csr.ts'
import { createSigner, generatePrivateKey, type KeyKind } from '../../ca/key.ts'
import { readPem } from '../../ca/pem.ts'
import type { AuditRecord } from '../../src/domain/records.ts'
import {
  everyRefusalRecorded,
  type TestService,
  type TestServiceOptions,
} from '../support/service.ts'

/** Limits that tests do not run into unless they mean to. */
export const wideLimits = {
  ...everyRefusalRecorded,
  opaque_tokens_per_second_per_address: 1e5,
  key_pool_size: 0,
  requests_per_second_per_address: 1e6,
  burst_per_address: 1e6,
  credentials_per_second_per_identity: 1e6,
  burst_per_identity: 1e6,
}

/** A service with EC keys wherever the test does not need RSA: quick to start and to ask. */
export const quick: TestServiceOptions = {
  configuration: {
    ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' },
    limits: wideLimits,
  },
}

export const bearer = (token: string): Record<string, string> => ({
  authorization: `Bearer ${token}`,
})

export interface Ask {
  readonly method?: string
  /** Default: a sound token of alice. Undefined: none. */
  readonly token?: string | undefined
  readonly headers?: Record<string, string>
  readonly body?: string | Uint8Array
}

/** One request with fetch; alice's token unless another one or none is wanted. */
export async function ask(service: TestService, path: string, wanted: Ask = {}): Promise<Response> {
  const token = 'token' in wanted ? wanted.token : service.token()
  return fetch(`${service.url}${path}`, {
    method: wanted.method ?? 'POST',
    headers: { ...(token === undefined ? {} : bearer(token)), ...wanted.headers },
    ...(wanted.body === undefined ? {} : { body: wanted.body as NonNullable<RequestInit['body']> }),
  })
}

const csrs = new Map<KeyKind, Promise<string>>()

/** A sound PEM CSR, one per kind of key and test file. */
export function soundCsr(kind: KeyKind = 'ec-p256'): Promise<string> {
  const known = csrs.get(kind)
  if (known) return known
  const made = generatePrivateKey(kind).then((key) => createCsr([], createSigner(key)))
  csrs.set(kind, made)
  return made
}

export function derOf(pem: string): Buffer {
  const [block] = readPem(pem, 'test')
  if (!block) throw new Error('no PEM block')
  return block.der
}

/** Asks for a proxy with a CSR. */
export async function askProxy(
  service: TestService,
  query = '',
  token = service.token(),
): Promise<Response> {
  return ask(service, `/v1/proxies${query}`, {
    token,
    headers: { 'content-type': 'application/pkcs10' },
    body: await soundCsr(),
  })
}

/** The JSON answer of a request for a proxy. */
export async function proxyJson(
  service: TestService,
  options: { readonly query?: string; readonly token?: string } = {},
): Promise<{
  id: string
  identity: string
  not_after: string
  end_entity_serial: string
  warnings: string[]
  pem: string
}> {
  const response = await ask(service, `/v1/proxies${options.query ?? ''}`, {
    token: options.token ?? service.token(),
    headers: { 'content-type': 'application/pkcs10', accept: 'application/json' },
    body: await soundCsr(),
  })
  const text = await response.text()
  expect(response.status, text).toBe(200)
  return JSON.parse(text) as Awaited<ReturnType<typeof proxyJson>>
}

export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: string
  readonly check?: string
  readonly request_id: string
}

/** The answer's problem details, after checking what all of them have in common (RFC 9457). */
export async function problemOf(response: Response): Promise<Problem> {
  const text = await response.text()
  expect(response.headers.get('content-type'), text).toMatch(/^application\/problem\+json/)
  expect(response.headers.get('cache-control')).toBe('no-store')
  expect(response.headers.get('x-content-type-options')).toBe('nosniff')
  const problem = JSON.parse(text) as Problem
  expect(problem).toMatchObject({
    type: expect.stringMatching(`^(https?://.*)?/problems/${problem.code}$`) as string,
    status: response.status,
    request_id: response.headers.get('x-request-id'),
  })
  expect(Object.keys(problem)).toEqual(
    expect.arrayContaining(['type', 'title', 'status', 'detail', 'code', 'request_id']),
  )
  expect(text).not.toMatch(/node_modules|\.ts:\d|\n\s+at /)
  return problem
}

/** The refusals on record for a request, newest first. */
export async function refusalsOf(
  service: TestService,
  requestId: string,
): Promise<readonly AuditRecord[]> {
  const lines = await service.running.service.store.listAudit({ outcome: 'refused', limit: 50 })
  return lines.filter(({ origin }) => origin.requestId === requestId)
}

export interface RawAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

/** One request as it is, with header lines that fetch would merge or refuse. */
export async function rawRequest(
  url: string,
  options: {
    readonly method?: string
    readonly headers?: readonly string[] | Record<string, string>
    readonly body?: string | Uint8Array
  } = {},
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const { method = 'POST', headers = {}, body } = options
    const request = httpRequest(url, { method, headers, agent: false })
    request.once('response', (response) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.once('error', reject)
      response.once('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text: Buffer.concat(parts).toString('utf8'),
        }),
      )
    })
    request.once('error', reject)
    request.end(body)
  })
}

/** Everything that the service has kept or said: log lines and audit trail, for the search after secrets. */
export async function everythingSaid(service: TestService): Promise<string> {
  const audit = await service.running.service.store.listAudit({ limit: 1000 })
  return `${service.logged.join('')}${JSON.stringify(audit)}`
}
