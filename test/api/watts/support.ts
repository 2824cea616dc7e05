/** The WaTTS paths over real HTTP, header lines as they are on the wire. */
import { request as httpRequest } from 'node:http'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { IdentityProvider } from '../../../demo/identity-provider/server.ts'
import {
  type TestService,
  type TestServiceOptions,
  testConfiguration,
} from '../../support/service.ts'
import { bearer, wideLimits } from '../support.ts'

export const badRequest = 'Bad request, please check all parameter'

/** Members of `cms`, which alice is and bob is not. */
export const cms = [{ provider: 'iam', claims: { groups: { contains: 'cms' } } }]

/** Path of a program of these tests, and of those of the plugins' own tests. */
export const program = (name: string): string => join(import.meta.dirname, 'fixtures', name)
export const misbehaving = (name: string): string =>
  join(import.meta.dirname, '../../plugins/fixtures', name)

/** A service whose plugin is a program. */
export function executable(command: string, more: object = {}, service: object = {}): object {
  return {
    plugin: 'executable',
    executable: { command: [command], allow_root: true, ...more },
    authz: { allow: cms },
    ...service,
  }
}

/** A service with these services besides `proxy` and `x509`; EC keys wherever the test does not need RSA. */
export function wattsService(
  services: Record<string, object>,
  more: Record<string, Record<string, unknown>> = {},
): TestServiceOptions {
  return {
    configuration: (provider: IdentityProvider) => ({
      ...more,
      services: { ...testConfiguration(provider)['services'], ...services },
      limits: { ...wideLimits, ...more['limits'] },
    }),
  }
}

export interface Wire {
  readonly status: number
  /** Header lines in the letter case of the wire. */
  readonly lines: readonly (readonly [string, string])[]
  readonly text: string
  header(name: string): string | undefined
  json(): Record<string, unknown>
}

export interface WireRequest {
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: string
}

/** One request; nothing is added to its headers but Host and Content-Length. */
export async function wire(url: string, asked: WireRequest = {}): Promise<Wire> {
  return new Promise((resolve, reject) => {
    const { method = 'GET', headers = {}, body } = asked
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
    const request = httpRequest(url, { method, headers: { ...headers, ...length }, agent: false })
    request.once('error', reject)
    request.once('response', (response) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.once('error', reject)
      response.once('end', () => {
        const { rawHeaders } = response
        const lines = rawHeaders.flatMap((name, index) =>
          index % 2 === 0 ? [[name, rawHeaders[index + 1] ?? ''] as const] : [],
        )
        const text = Buffer.concat(parts).toString('utf8')
        resolve({
          status: response.statusCode ?? 0,
          lines,
          text,
          header: (wanted) =>
            lines.find(([name]) => name.toLowerCase() === wanted.toLowerCase())?.[1],
          json: () => JSON.parse(text) as Record<string, unknown>,
        })
      })
    })
    request.end(body)
  })
}

/** As a user of the demo provider, alice unless told otherwise. */
export function as(service: TestService, username = 'alice'): Record<string, string> {
  return bearer(service.token(username))
}

export const json = { 'content-type': 'application/json' } as const

/** `GET` with alice's token. */
export async function get(service: TestService, path: string, username = 'alice'): Promise<Wire> {
  return wire(`${service.url}${path}`, { headers: as(service, username) })
}

/** `POST credential`. */
export async function post(
  service: TestService,
  wanted: { readonly service: string; readonly params?: unknown; readonly username?: string },
): Promise<Wire> {
  return wire(`${service.url}/api/v2/iam/credential`, {
    method: 'POST',
    headers: { ...as(service, wanted.username), ...json },
    body: JSON.stringify({ service_id: wanted.service, params: wanted.params ?? {} }),
  })
}

export interface Entry {
  readonly name: string
  readonly type: string
  readonly value: string
  readonly save_as?: string
  readonly rows?: number
  readonly cols?: number
}

export interface Credential {
  readonly id: string
  readonly entries: readonly Entry[]
}

/** Asks for a credential and picks it up. */
export async function obtain(
  service: TestService,
  wanted: Parameters<typeof post>[1],
): Promise<Credential> {
  const redirect = await post(service, wanted)
  expect([redirect.status, redirect.text]).toEqual([303, ''])
  const picked = await wire(redirect.header('location') ?? '', {
    headers: as(service, wanted.username),
  })
  expect(picked.status, picked.text).toBe(200)
  const body = picked.json()
  expect(body['result']).toBe('ok')
  return body['credential'] as Credential
}

/** `DELETE credential/<id>`. */
export async function remove(service: TestService, id: string, username = 'alice'): Promise<Wire> {
  return wire(`${service.url}/api/v2/iam/credential/${id}`, {
    method: 'DELETE',
    headers: as(service, username),
  })
}

/** The ids that `GET credential` lists. */
export async function listed(service: TestService, username = 'alice'): Promise<string[]> {
  const body = (await get(service, '/api/v2/iam/credential', username)).json()
  return (body['credential_list'] as { cred_id: string }[]).map(({ cred_id: id }) => id)
}

/** The line of a service in `GET service`. */
export async function serviceLine(
  service: TestService,
  id: string,
  username = 'alice',
): Promise<Record<string, unknown> | undefined> {
  const body = (await get(service, '/api/v2/iam/service', username)).json()
  return (body['service_list'] as Record<string, unknown>[]).find((line) => line['id'] === id)
}

/** What every answer of these paths has in common, and every error; answers the error's text. */
export function errorText(answer: Wire, status: number): string {
  expect(answer.status, answer.text).toBe(status)
  expect(answer.header('content-type')).toBe('application/json')
  expect(answer.header('cache-control')).toBe('no-cache')
  const body = answer.json()
  expect(Object.keys(body)).toEqual(['result', 'user_msg'])
  expect(body['result']).toBe('error')
  expect(answer.text).not.toMatch(/node_modules|\.ts:\d|\n\s+at /)
  return String(body['user_msg'])
}
