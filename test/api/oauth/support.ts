/** Token requests over real HTTP, and what all their answers have in common. */
import { expect } from 'vitest'
import { ACCESS_TOKEN, TOKEN_EXCHANGE } from '../../../src/api/oauth/token-types.ts'
import type { TestService } from '../../support/service.ts'
import { type RawAnswer, rawRequest } from '../support.ts'

export const FORM = 'application/x-www-form-urlencoded'

/** Parameters of a form; undefined leaves one out. */
export type Fields = Readonly<Record<string, string | undefined>>

/** The body of a request for a proxy with a sound token of alice, with changes. */
export function formOf(service: TestService, changes: Fields = {}): string {
  const fields: Fields = {
    grant_type: TOKEN_EXCHANGE,
    subject_token: service.token(),
    subject_token_type: ACCESS_TOKEN,
    ...changes,
  }
  const given = Object.entries(fields).filter((field): field is [string, string] => {
    return field[1] !== undefined
  })
  return new URLSearchParams(given).toString()
}

/** Sends a body to the token endpoint. */
export async function postForm(
  service: TestService,
  body: string | Uint8Array,
  headers: Record<string, string> = {},
): Promise<RawAnswer> {
  return rawRequest(`${service.url}/oauth2/token`, {
    headers: { 'content-type': FORM, 'content-length': String(body.length), ...headers },
    body,
  })
}

/** The members of a JSON answer, after checking what all of them have in common. */
export function oauthAnswer({ text, headers }: RawAnswer): Record<string, unknown> {
  expect(headers['content-type'], text).toBe('application/json')
  expect(headers['cache-control']).toBe('no-store')
  expect(headers.pragma).toBe('no-cache')
  expect(text).not.toMatch(/node_modules|\.ts:\d|\n\s+at /)
  return JSON.parse(text) as Record<string, unknown>
}
