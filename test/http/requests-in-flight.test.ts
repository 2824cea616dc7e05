import { describe, expect, test } from 'vitest'
import { TtsError } from '../../src/base/errors.ts'
import { createRequestsInFlight } from '../../src/http/requests-in-flight.ts'

function setUp(limits: { readonly total: number; readonly perAddress: number }) {
  const clock = { nowMs: 0 }
  const requests = createRequestsInFlight({ ...limits, nowMs: () => clock.nowMs })
  const refusalOf = (address: string): string | undefined => {
    try {
      requests.admit(address).release()
      return undefined
    } catch (error) {
      return error instanceof TtsError ? `${error.code} ${error.check}` : 'another error'
    }
  }
  /** One that waits for its client; `given` tells with what it was given up. */
  const slow = (address: string) => {
    const given: (string | undefined)[] = []
    const admitted = requests.admit(address)
    const end = admitted.waiting((error) => given.push(error.check))
    return { admitted, end, given }
  }
  return { clock, requests, refusalOf, slow }
}

describe('requests in flight', () => {
  test('an address has its share and no more, and others are let in all the same', () => {
    const { requests, refusalOf } = setUp({ total: 8, perAddress: 2 })
    const first = requests.admit('a')
    requests.admit('a')
    expect(refusalOf('a')).toBe('limit_reached address_in_flight')
    expect(refusalOf('b')).toBeUndefined()
    first.release()
    expect(refusalOf('a')).toBeUndefined()
    expect(requests.count).toBe(1)
  })

  test('all are bounded together', () => {
    const { requests, refusalOf } = setUp({ total: 3, perAddress: 2 })
    for (const address of ['a', 'b', 'c']) requests.admit(address)
    expect(requests.isFull).toBe(true)
    expect(refusalOf('d')).toBe('overloaded in_flight')
  })

  test('the oldest that waits for its client makes room for one of the same address', () => {
    const { clock, requests, slow, refusalOf } = setUp({ total: 8, perAddress: 2 })
    const [older, younger] = [slow('a'), slow('a')]
    expect(refusalOf('a')).toBe('limit_reached address_in_flight')
    clock.nowMs = 1000
    requests.admit('a')
    expect([older.given, younger.given]).toEqual([['slow_client'], []])
    // What was given up is counted no more, also when it is released at last.
    older.admitted.release()
    expect(requests.count).toBe(2)
  })

  test('when all is full, the address with the most pays', () => {
    const { clock, requests, slow } = setUp({ total: 4, perAddress: 3 })
    const [single, ...many] = [slow('b'), slow('a'), slow('a'), slow('a')]
    clock.nowMs = 1000
    requests.admit('c')
    expect(single?.given).toEqual([])
    expect(many.map(({ given }) => given)).toEqual([['slow_client'], [], []])
  })

  test('who is being worked on is not given up, nor who has sent the body by now', () => {
    const { clock, slow, refusalOf } = setUp({ total: 1, perAddress: 1 })
    const request = slow('a')
    request.end()
    clock.nowMs = 60_000
    expect(refusalOf('b')).toBe('overloaded in_flight')
    expect(request.given).toEqual([])
  })

  test('released twice counts once', () => {
    const { requests } = setUp({ total: 4, perAddress: 4 })
    const request = requests.admit('a')
    requests.admit('a')
    request.release()
    request.release()
    expect(requests.count).toBe(1)
  })
})
