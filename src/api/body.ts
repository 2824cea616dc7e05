/**
 * Reads the parameters of a credential request. The body may be empty, JSON, a form, or a bare CSR, whichever is
 * easiest for the client; parameters may also be in the query.
 */
import type { Request, Response } from 'express'
import { toPem } from '../../ca/pem.ts'
import { readJson } from '../../plugins/json.ts'
import { TtsError } from '../base/errors.ts'
import { type BodyBounds, hasBody, readBody } from '../http/request-body.ts'
import { contextOf } from './request.ts'

/**
 * Returns the body of a request as bytes, whatever its content type. Call it only after the caller is authenticated:
 * until then the service must not read a body.
 *
 * @throws {TtsError} as `readBody`
 */
export async function readRequestBody(
  request: Request,
  response: Response,
  maxBytes: number,
): Promise<Buffer> {
  const { admitted, bodyTimeoutMs: timeoutMs } = contextOf(response)
  const waiting: BodyBounds['waiting'] = (giveUp) => admitted.waiting(giveUp)
  const body = await readBody(request, response, { maxBytes, timeoutMs, waiting })
  // `requestContext` set the header in case the body would not be read.
  if (hasBody(request)) response.removeHeader('Connection')
  return body
}

/**
 * Merges query and body into one object of parameters.
 *
 * @throws {TtsError} `invalid_request`, `unsupported_media_type`
 */
export function requestParameters(request: Request, body: Buffer): Record<string, unknown> {
  const fromQuery = queryParameters(request)
  const fromBody = bodyParameters(request, body)
  for (const key of Object.keys(fromQuery)) {
    if (Object.hasOwn(fromBody, key)) {
      throw givenTwice(key, ', in the URL and in the body')
    }
  }
  return { ...fromQuery, ...fromBody }
}

/** Returns the parameters in the URL. @throws {TtsError} `invalid_request` (one is given twice) */
export function queryParameters(request: Request): Record<string, string> {
  const start = request.originalUrl.indexOf('?')
  return start < 0 ? {} : formParameters(request.originalUrl.slice(start + 1))
}

function bodyParameters(request: Request, body: Buffer): Record<string, unknown> {
  if (body.length === 0) return {}
  // A CSR is recognised by its first bytes, because `curl --data-binary @csr.pem` sends the content type of a form.
  if (body[0] === 0x30) return { csr: toPem('CERTIFICATE REQUEST', body) }
  const type = (request.get('content-type') ?? '').split(';')[0]?.trim().toLowerCase() ?? ''
  const text = body.toString('utf8')
  if (text.trimStart().startsWith('-----BEGIN')) return { csr: text }
  if (type === 'application/json') return jsonParameters(text)
  if (type === 'application/x-www-form-urlencoded') return formParameters(text)
  throw new TtsError(
    'unsupported_media_type',
    'send JSON (Content-Type: application/json), a form, or a PKCS#10 request (PEM or DER)',
  )
}

function jsonParameters(text: string): Record<string, unknown> {
  const read = readJson(text)
  if ('problem' in read) throw new TtsError('invalid_request', `the body ${read.problem}`)
  const parsed = read.value
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new TtsError('invalid_request', 'the body is not a JSON object')
  }
  return parsed as Record<string, unknown>
}

/** Messages repeat only names that look like a parameter name: any other text may be a misplaced token. */
export function displayKey(key: string): string | undefined {
  return /^[a-z_]{1,32}$/.test(key) ? key : undefined
}

const givenTwice = (key: string, where = ''): TtsError =>
  new TtsError('invalid_request', `${displayKey(key) ?? 'a parameter'} is given twice${where}`)

function formParameters(text: string): Record<string, string> {
  const parameters = new Map<string, string>()
  for (const [key, value] of new URLSearchParams(text)) {
    if (parameters.has(key)) throw givenTwice(key)
    parameters.set(key, value)
  }
  return Object.fromEntries(parameters)
}
