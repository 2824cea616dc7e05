import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readExchange, readTokenForm } from '../../../src/api/oauth/token-request.ts'
import {
  ACCESS_TOKEN,
  TOKEN_EXCHANGE,
  PROXY_TOKEN_TYPE,
} from '../../../src/api/oauth/token-types.ts'
import { TtsError } from '../../../src/base/errors.ts'

const encoded = (pairs: readonly (readonly [string, string])[]): Buffer => {
  const form = new URLSearchParams()
  for (const [name, value] of pairs) form.append(name, value)
  return Buffer.from(form.toString())
}

describe('readTokenForm', () => {
  test('any pairs with different names come back, without the empty ones', () => {
    // A lone surrogate has no UTF-8.
    const text = fc.string({ unit: 'grapheme', maxLength: 20 })
    const pairs = fc.uniqueArray(fc.tuple(text, text), { selector: ([name]) => name })
    fc.assert(
      fc.property(pairs, (given) => {
        const filled = given.filter(([, value]) => value !== '')
        expect(readTokenForm(encoded(given)).fields).toEqual(Object.fromEntries(filled))
      }),
    )
  })

  test('a name that comes twice is refused, wherever; only audience and resource may', () => {
    const name = fc.oneof(fc.constantFrom('audience', 'resource', '__proto__'), fc.string())
    fc.assert(
      fc.property(name, fc.string(), fc.string(), (repeated, one, other) => {
        const body = encoded([
          [repeated, one],
          ['grant_type', 'x'],
          [repeated, other],
        ])
        const read = () => readTokenForm(body)
        if (repeated === 'audience' || repeated === 'resource') expect(read).not.toThrow()
        else expect(read).toThrow(TtsError)
      }),
    )
  })

  test('any bytes: an exchange, or an error of ours', () => {
    const start = encoded([
      ['grant_type', TOKEN_EXCHANGE],
      ['subject_token_type', ACCESS_TOKEN],
    ])
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (bytes, isComplete) => {
        const body = isComplete ? Buffer.concat([start, Buffer.from('&'), bytes]) : bytes
        try {
          expect(readExchange(readTokenForm(Buffer.from(body)), { accessTokens: false })).toEqual({
            kind: 'credential',
            subjectToken: expect.any(String) as string,
            issuedTokenType: PROXY_TOKEN_TYPE,
          })
        } catch (error) {
          expect(error).toMatchObject({ name: 'TtsError', code: 'invalid_request' })
        }
      }),
    )
  })
})
