import express from 'express'
import request from 'supertest'
import { describe, expect, test } from 'vitest'
import { sendProblem, toTtsError } from '../../src/api/problem.ts'
import { TtsError, type TtsErrorCode, type TtsErrorOptions } from '../../src/base/errors.ts'

/** An application whose one path fails with this error. */
function failing(error: unknown, publicUrl?: string): express.Express {
  const app = express()
  app.get('/', (_request, response) => {
    sendProblem(response, toTtsError(error), { requestId: 'request-1', publicUrl })
  })
  return app
}

/** One row per code: `satisfies` makes a forgotten one a compile error. */
const statuses = {
  invalid_request: 400,
  invalid_csr: 400,
  missing_token: 401,
  invalid_token: 401,
  insufficient_scope: 403,
  access_denied: 403,
  grant_refused: 403,
  delegation_ended: 410,
  not_found: 404,
  method_not_allowed: 405,
  not_acceptable: 406,
  conflict: 409,
  payload_too_large: 413,
  request_timeout: 408,
  expectation_failed: 417,
  unsupported_media_type: 415,
  limit_reached: 429,
  configuration: 500,
  internal: 500,
  plugin_failed: 502,
  provider_unavailable: 503,
  store_unavailable: 503,
  overloaded: 503,
  shutting_down: 503,
} as const satisfies Record<TtsErrorCode, number>

describe('sendProblem', () => {
  test.for(Object.entries(statuses) as [TtsErrorCode, number][])(
    '%s is %i',
    async ([code, status]) => {
      const answer = await request(
        failing(new TtsError(code, 'what was wrong', { check: 'a-check' })),
      ).get('/')
      expect(answer.status).toBe(status)
      expect(answer.headers['content-type']).toBe('application/problem+json; charset=utf-8')
      expect(answer.headers['cache-control']).toBe('no-store')
      const body = JSON.parse(answer.text) as Record<string, unknown>
      expect(body).toMatchObject({
        type: `/problems/${code}`,
        status,
        code,
        request_id: 'request-1',
      })
      // Of a failure of ours the caller learns that it happened, and no more.
      expect(body['detail']).toBe(
        status === 500
          ? 'The service failed. Its log has the cause under the request id.'
          : 'what was wrong',
      )
      expect(body['check']).toBe(status === 500 ? undefined : 'a-check')
    },
  )

  const challenges: readonly {
    code: TtsErrorCode
    options?: TtsErrorOptions
    message?: string
    wanted: string | undefined
  }[] = [
    { code: 'missing_token', wanted: 'Bearer realm="tts"' },
    {
      code: 'invalid_token',
      wanted: 'Bearer realm="tts", error="invalid_token", error_description="no"',
    },
    {
      code: 'insufficient_scope',
      options: { scope: 'a b' },
      wanted: 'Bearer realm="tts", error="insufficient_scope", error_description="no", scope="a b"',
    },
    {
      code: 'invalid_token',
      message: 'a "quote", a \\ and\r\nX-Evil: é',
      wanted: `Bearer realm="tts", error="invalid_token", error_description="a 'quote', a ' and??X-Evil: ?"`,
    },
    // RFC 6750 section 3: a token that does not enable access is challenged too.
    { code: 'access_denied', wanted: 'Bearer realm="tts"' },
    { code: 'invalid_request', wanted: undefined },
  ]
  test.for(challenges)(
    'challenge of $code: $wanted',
    async ({ code, options, message, wanted }) => {
      const answer = await request(failing(new TtsError(code, message ?? 'no', options))).get('/')
      expect(answer.headers['www-authenticate']).toBe(wanted)
    },
  )

  test.for([
    [undefined, '/problems/conflict'],
    ['https://tts.example.org', 'https://tts.example.org/problems/conflict'],
    ['https://tts.example.org/', 'https://tts.example.org/problems/conflict'],
    ['https://www.example.org/tts/', 'https://www.example.org/tts/problems/conflict'],
  ] as const)('type below public URL %s: %s', async ([publicUrl, type]) => {
    const app = failing(new TtsError('conflict', 'no'), publicUrl)
    expect((await request(app).get('/')).text).toContain(`"type":"${type}"`)
  })

  test('Retry-After, in seconds', async () => {
    const answer = await request(
      failing(new TtsError('overloaded', 'busy', { retryAfterSeconds: 7 })),
    ).get('/')
    expect(answer.headers['retry-after']).toBe('7')
  })

  test.for([new Error('secret inside'), 'a string', undefined, { code: 'access_denied' }])(
    'anything else is an internal error without detail',
    async (error) => {
      const answer = await request(failing(error)).get('/')
      expect(answer.status).toBe(500)
      expect(answer.text).not.toContain('secret')
    },
  )
})
