/** Responses of the MyProxy protocol, as MyProxy's own clients read them. */
import { describe, expect, test } from 'vitest'
import { errorResponse, informationResponse } from '../../../src/api/myproxy/responses.ts'
import { TtsError } from '../../../src/base/errors.ts'

describe('an error', () => {
  const text = (...error: ConstructorParameters<typeof TtsError>): string =>
    errorResponse(new TtsError(...error)).toString()

  test('has no line but those that it should have, whatever its message', () => {
    expect(text('access_denied', 'yours: a\nRESPONSE=0\0, ERROR=b, CRED_NAME=c, CN=d')).toBe(
      'VERSION=MYPROXYv2\nRESPONSE=1\nERROR=yours: a?RESPONSE =0?, ERROR =b, CRED_NAME =c, CN=d\n\0',
    )
  })

  test('says when to try again', () => {
    expect(text('limit_reached', 'too many', { retryAfterSeconds: 7 })).toBe(
      'VERSION=MYPROXYv2\nRESPONSE=1\nERROR=too many\nERROR=try again in 7 seconds\n\0',
    )
    expect(text('store_unavailable', 'no answer')).toContain('ERROR=try again in 5 seconds\n')
  })

  test('of ours shows nothing of its cause', () => {
    expect(text('internal', 'secret', { cause: new Error('secret') })).toBe(
      'VERSION=MYPROXYv2\nRESPONSE=1\nERROR=the service failed; its log has the cause\n\0',
    )
  })
})

describe('the answer to INFO', () => {
  const credential = (name: string, start: number) => ({
    name,
    start: new Date(start * 1000 + 999),
    end: new Date((start + 60) * 1000),
    owner: '/O=Example/CN=a\nRESPONSE=1',
  })

  test('lists the first credential, and the others by their names', () => {
    const all = [credential('x509-1', 100), credential('proxy-2', 200), credential('x509-3', 300)]
    expect(informationResponse(all).toString().split('\n')).toEqual([
      'VERSION=MYPROXYv2',
      'RESPONSE=0',
      'CRED_NAME=x509-1',
      'CRED_START_TIME=100',
      'CRED_END_TIME=160',
      'CRED_OWNER=/O=Example/CN=a?RESPONSE =1',
      'CRED_proxy-2_START_TIME=200',
      'CRED_proxy-2_END_TIME=260',
      'CRED_proxy-2_OWNER=/O=Example/CN=a?RESPONSE =1',
      'CRED_x509-3_START_TIME=300',
      'CRED_x509-3_END_TIME=360',
      'CRED_x509-3_OWNER=/O=Example/CN=a?RESPONSE =1',
      'ADDL_CREDS=proxy-2,x509-3',
      '\0',
    ])
  })

  test('is OK without credentials', () => {
    expect(informationResponse([]).toString()).toBe('VERSION=MYPROXYv2\nRESPONSE=0\n\0')
  })
})
