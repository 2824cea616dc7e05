import { describe, expect, test } from 'vitest'
import { TtsError } from '../../src/base/errors.ts'
import {
  refreshHeld,
  renewableUntil,
  heldRefreshToken,
  type RefreshTokenStore,
  type HeldRefreshToken,
} from '../../src/grants/refresh-token.ts'
import type { GrantClient, Granted } from '../../src/grants/grant.ts'
import { calm, refusalOf, spooling, storeOver, type Cell, type Spool } from './support.ts'

const GRANTED = new Date('2026-03-01T00:00:00Z')
const RENEWED = new Date('2026-03-05T00:00:00Z')
const MISSING = new Date('2026-03-05T23:00:00Z')
const NOW = new Date('2026-03-06T00:00:00Z')
const LATER = new Date('2026-04-01T00:00:00Z')

const HELD: HeldRefreshToken = {
  current: 'B',
  previous: 'A',
  grantedAt: GRANTED,
  renewedAt: RENEWED,
  rotates: true,
  attemptBegunAt: undefined,
  refreshExpiresAt: undefined,
}

const grant = (more: Partial<Granted> = {}): Granted => ({
  accessToken: 'access',
  refreshToken: undefined,
  expiresAt: undefined,
  refreshExpiresAt: undefined,
  scope: undefined,
  ...more,
})
const refused = (check: string): TtsError =>
  new TtsError('grant_refused', `no: ${check}`, { check, remedy: 'do it' })
const unavailable = (check = 'provider'): TtsError =>
  new TtsError('provider_unavailable', 'not now', { check })

/** A client that answers by the refresh token it is shown, and notes which ones that were. */
function scripted(answers: Record<string, Granted | Error>): GrantClient & { shown: string[] } {
  const shown: string[] = []
  const never = async (): Promise<never> => {
    throw new Error('this is not asked')
  }
  return {
    shown,
    exchange: never,
    startDevice: never,
    revoke: never,
    refresh: async ({ refreshToken }) => {
      shown.push(refreshToken)
      const answer = answers[refreshToken] ?? refused('refresh_token_dead')
      if (answer instanceof Error) throw answer
      return answer
    },
  }
}

const parts = (client: GrantClient, store: RefreshTokenStore) => ({
  client,
  store,
  owner: 'd1',
  audience: 'https://tts',
  now: () => NOW,
  signal: calm(),
  storeAgainMs: [0, 0],
})

interface Row {
  readonly name: string
  readonly held?: Partial<HeldRefreshToken>
  readonly answers: Record<string, Granted | Error>
  readonly shown: string[]
  /** Code and check of the error; absent: it succeeds. */
  readonly error?: readonly [string, string]
  readonly message?: RegExp
  /** What changes in the state. */
  readonly changes: Partial<HeldRefreshToken>
}

const rows: Row[] = [
  {
    name: 'a new token',
    answers: { B: grant({ refreshToken: 'C' }) },
    shown: ['B'],
    changes: { current: 'C', previous: 'B', renewedAt: NOW },
  },
  {
    name: 'a new token of which the end is told',
    answers: { B: grant({ refreshToken: 'C', refreshExpiresAt: LATER }) },
    shown: ['B'],
    changes: { current: 'C', previous: 'B', renewedAt: NOW, refreshExpiresAt: LATER },
  },
  {
    name: 'a new token of which the end is not told any more',
    held: { refreshExpiresAt: LATER },
    answers: { B: grant({ refreshToken: 'C' }) },
    shown: ['B'],
    changes: { current: 'C', previous: 'B', renewedAt: NOW, refreshExpiresAt: undefined },
  },
  {
    name: 'the same token again: the previous one is not needed any more',
    answers: { B: grant({ refreshToken: 'B' }) },
    shown: ['B'],
    changes: { previous: undefined, rotates: false },
  },
  {
    name: 'no refresh token in the answer: the old one stays, and its end',
    held: { refreshExpiresAt: LATER },
    answers: { B: grant() },
    shown: ['B'],
    changes: { previous: undefined, rotates: false, refreshExpiresAt: LATER },
  },
  {
    name: 'an answer after one that was missed',
    held: { attemptBegunAt: MISSING },
    answers: { B: grant({ refreshToken: 'C' }) },
    shown: ['B'],
    changes: { current: 'C', previous: 'B', renewedAt: NOW, attemptBegunAt: undefined },
  },
  {
    name: 'the current one is dead, the previous one works and rotates',
    answers: { A: grant({ refreshToken: 'C' }) },
    shown: ['B', 'A'],
    changes: { current: 'C', previous: 'A', renewedAt: NOW },
  },
  {
    name: 'the current one is dead, the previous one works and stays',
    answers: { A: grant() },
    shown: ['B', 'A'],
    changes: { current: 'A', previous: undefined, renewedAt: GRANTED, rotates: false },
  },
  {
    name: 'both are dead',
    answers: {},
    shown: ['B', 'A'],
    error: ['delegation_ended', 'refresh_token_dead'],
    message: /renewal is over: no: refresh_token_dead/,
    changes: {},
  },
  {
    name: 'both are dead after a missed answer: ours is lost, and it says so',
    held: { attemptBegunAt: MISSING },
    answers: {},
    shown: ['B', 'A'],
    error: ['delegation_ended', 'refresh_token_dead'],
    message: /answer of the provider was lost \(missing since 2026-03-05T23:00:00.000Z\)/,
    changes: { attemptBegunAt: MISSING },
  },
  {
    name: 'the only one is dead',
    held: { previous: undefined },
    answers: {},
    shown: ['B'],
    error: ['delegation_ended', 'refresh_token_dead'],
    changes: { previous: undefined },
  },
  {
    name: 'the account is suspended: no end, because it may be enabled again',
    held: { attemptBegunAt: MISSING },
    answers: { B: refused('user_disabled') },
    shown: ['B'],
    error: ['grant_refused', 'user_disabled'],
    changes: { attemptBegunAt: MISSING },
  },
  {
    name: 'the AUP is not signed: no end, the token stays for when it is',
    answers: { B: refused('aup_not_signed') },
    shown: ['B'],
    error: ['grant_refused', 'aup_not_signed'],
    changes: {},
  },
  {
    name: 'our client is refused: no end',
    answers: { B: refused('client_refused') },
    shown: ['B'],
    error: ['grant_refused', 'client_refused'],
    changes: {},
  },
  {
    name: 'no answer: everything stays, and one is missing from now on',
    answers: { B: unavailable() },
    shown: ['B'],
    error: ['provider_unavailable', 'provider'],
    changes: { attemptBegunAt: NOW },
  },
  {
    name: 'no answer again: missing since the first',
    held: { attemptBegunAt: MISSING },
    answers: { B: unavailable() },
    shown: ['B'],
    error: ['provider_unavailable', 'provider'],
    changes: { attemptBegunAt: MISSING },
  },
  {
    name: 'nothing was sent: no answer is missing',
    answers: { B: unavailable('provider_unreachable') },
    shown: ['B'],
    error: ['provider_unavailable', 'provider_unreachable'],
    changes: {},
  },
  {
    name: 'the current one is dead and the previous one gets no answer',
    answers: { A: unavailable() },
    shown: ['B', 'A'],
    error: ['provider_unavailable', 'provider'],
    changes: { attemptBegunAt: NOW },
  },
  {
    name: 'the current one is dead and the previous one meets an unsigned AUP',
    answers: { A: refused('aup_not_signed') },
    shown: ['B', 'A'],
    error: ['grant_refused', 'aup_not_signed'],
    changes: {},
  },
]

describe('every outcome, and the state that it leaves', () => {
  test.for(rows)('$name', async ({ held, answers, shown, error, message, changes }) => {
    const cell: Cell = { held: { ...HELD, ...held } }
    const client = scripted(answers)
    const work = refreshHeld(parts(client, storeOver(cell)))
    if (error === undefined) {
      expect((await work).accessToken).toBe('access')
    } else {
      const refusal = (await refusalOf(work)).error
      expect([refusal.code, refusal.check]).toEqual(error)
      if (message !== undefined) expect(refusal.message).toMatch(message)
    }
    expect(client.shown).toEqual(shown)
    expect(cell.held).toEqual({ ...HELD, ...changes })
  })

  test('nothing in the store: it is over, and nobody is asked', async () => {
    const client = scripted({})
    const work = refreshHeld(parts(client, storeOver({ held: undefined })))
    expect((await refusalOf(work)).error.code).toBe('delegation_ended')
    expect(client.shown).toEqual([])
  })

  test('a signal that was raised before: nothing is sent or saved', async () => {
    const store = storeOver({ held: HELD })
    const client = scripted({ B: grant() })
    const signal = AbortSignal.abort()
    const { error } = await refusalOf(refreshHeld({ ...parts(client, store), signal }))
    expect(error.code).toBe('provider_unavailable')
    expect([client.shown, store.saves]).toEqual([[], []])
  })
})

describe('the order of steps', () => {
  test('the attempt is marked before it is made; the new token is stored before the answer is given', async () => {
    const steps: string[] = []
    const cell: Cell = { held: HELD }
    const client = scripted({ B: grant({ refreshToken: 'C' }) })
    const noting: GrantClient = {
      ...client,
      refresh: async (request) => {
        steps.push(`ask, marked ${String(cell.held?.attemptBegunAt === NOW)}`)
        expect(request.audience).toBe('https://tts')
        return client.refresh(request)
      },
    }
    const store: RefreshTokenStore = {
      load: async () => cell.held,
      save: async (held) => {
        steps.push(`save ${held.current}`)
        cell.held = held
      },
    }
    await refreshHeld(parts(noting, store))
    steps.push('given')
    expect(steps).toEqual(['save B', 'ask, marked true', 'save C', 'given'])
  })

  test("once sent, the caller's signal does not cut the answer off", async () => {
    const cell: Cell = { held: HELD }
    const controller = new AbortController()
    const client = scripted({})
    const slow: GrantClient = {
      ...client,
      refresh: async ({ signal }) => {
        controller.abort()
        signal.throwIfAborted()
        return grant({ refreshToken: 'C' })
      },
    }
    const { signal } = controller
    await refreshHeld({ ...parts(slow, storeOver(cell)), signal })
    expect(cell.held?.current).toBe('C')
  })

  test('another process that renewed without the lock is no end, and its token stays', async () => {
    const cell: Cell = { held: { ...HELD, previous: undefined } }
    const client: GrantClient = {
      ...scripted({}),
      refresh: async () => {
        cell.held = { ...HELD, current: 'X', previous: 'B' }
        throw refused('refresh_token_dead')
      },
    }
    const { error } = await refusalOf(refreshHeld(parts(client, storeOver(cell))))
    expect([error.code, error.check]).toEqual(['conflict', 'refresh_token_in_use'])
    expect(cell.held?.current).toBe('X')
  })
})

describe('a store that fails', () => {
  /** Fails at the calls named, counted from 1, before or after the record is on disk. */
  function failing(cell: Cell, calls: readonly number[], when: 'before' | 'after' = 'before') {
    let call = 0
    return {
      load: async () => cell.held,
      save: async (held: HeldRefreshToken) => {
        call += 1
        if (calls.includes(call) && when === 'before') throw new Error('ENOSPC')
        cell.held = held
        if (calls.includes(call)) throw new Error('EIO')
      },
    }
  }
  const rotating = () => scripted({ B: grant({ refreshToken: 'C' }) })

  test('before the attempt: nobody is asked', async () => {
    const cell: Cell = { held: HELD }
    const client = rotating()
    const work = refreshHeld(parts(client, failing(cell, [1])))
    await expect(work).rejects.toThrow('ENOSPC')
    expect(client.shown).toEqual([])
    expect(cell.held).toEqual(HELD)
  })

  test.for(['before', 'after'] as const)(
    'once after the attempt, %s: it is tried again',
    async (when) => {
      const cell: Cell = { held: HELD }
      const granted = await refreshHeld(parts(rotating(), failing(cell, [2], when)))
      expect(granted.refreshToken).toBe('C')
      expect(cell.held).toMatchObject({ current: 'C', previous: 'B', attemptBegunAt: undefined })
    },
  )

  test('for good after the attempt: no access token is given, and the new one is stored next time', async () => {
    const cell: Cell = { held: HELD }
    const spool: Spool = new Map()
    const store = failing(cell, [2, 3, 4, 5, 6, 7])
    const { error, printed } = await refusalOf(
      refreshHeld(parts(spooling(rotating(), spool), store)),
    )
    expect([error.code, error.check]).toEqual(['store_unavailable', 'refresh_token_unsaved'])
    expect(printed).not.toContain("'C'")
    expect(cell.held).toMatchObject({ ...HELD, attemptBegunAt: NOW, attempt: { owner: 'd1' } })

    const next = spooling(scripted({ C: grant({ refreshToken: 'D' }) }), spool)
    expect((await refusalOf(refreshHeld(parts(next, store)))).error.code).toBe('store_unavailable')
    expect(next.shown).toEqual([])
    await refreshHeld(parts(next, store))
    expect(next.shown).toEqual(['C'])
    expect(cell.held).toMatchObject({ current: 'D', previous: 'C' })
  })

  test('what another process stored meanwhile counts more than what is in the spool', async () => {
    const cell: Cell = { held: HELD }
    const spool: Spool = new Map()
    const store = failing(cell, [2, 3, 4])
    await refusalOf(refreshHeld(parts(spooling(rotating(), spool), store)))
    cell.held = { ...HELD, current: 'X', previous: 'B' }
    const next = spooling(scripted({ X: grant({ refreshToken: 'Y' }) }), spool)
    await refreshHeld(parts(next, store))
    expect(cell.held).toMatchObject({ current: 'Y', previous: 'X' })
  })

  test.for([
    { name: 'at a refusal', answer: refused('client_refused'), code: 'grant_refused' },
    { name: 'at the end', answer: refused('refresh_token_dead'), code: 'delegation_ended' },
  ])('$name: the refusal is what is told', async ({ answer, code }) => {
    const work = refreshHeld(parts(scripted({ B: answer }), failing({ held: HELD }, [2])))
    expect((await refusalOf(work)).error.code).toBe(code)
  })
})

describe('the beginning and the forecast', () => {
  test('the state after a first grant', () => {
    const granted = grant({ refreshToken: 'A', refreshExpiresAt: LATER })
    expect(heldRefreshToken(granted, GRANTED)).toEqual({
      ...HELD,
      current: 'A',
      previous: undefined,
      renewedAt: GRANTED,
      rotates: undefined,
      refreshExpiresAt: LATER,
    })
    expect(() => heldRefreshToken(grant(), GRANTED)).toThrow(/no refresh token/)
  })

  test.for([
    { change: { rotates: true }, expected: '2026-04-04T00:00:00.000Z' },
    { change: { rotates: false }, expected: '2026-03-31T00:00:00.000Z' },
    { change: { rotates: undefined }, expected: '2026-03-31T00:00:00.000Z' },
    { change: { refreshExpiresAt: LATER }, expected: '2026-04-01T00:00:00.000Z' },
  ])('$change: $expected', ({ change, expected }) => {
    expect(renewableUntil({ ...HELD, ...change }, 30).toISOString()).toBe(expected)
  })
})
