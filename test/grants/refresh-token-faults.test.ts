import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { TtsError } from '../../src/base/errors.ts'
import {
  refreshHeld,
  heldRefreshToken,
  type RefreshTokenStore,
} from '../../src/grants/refresh-token.ts'
import type { GrantClient, Granted } from '../../src/grants/grant.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'
import {
  calm,
  clientAt,
  delegation,
  refusalOf,
  type Spool,
  spooling,
  storeOver,
  type Cell,
} from './support.ts'

const provider = useIdentityProvider()

/** What goes wrong in one attempt, and at which step. */
type Mishap =
  | { readonly kind: 'none' }
  | { readonly kind: 'request lost' | 'reply lost' | 'not connected' }
  | { readonly kind: 'kill'; readonly at: number }
  | { readonly kind: 'disk full'; readonly from: number; readonly times: number }

/** How the provider treats refresh tokens. */
interface Policy {
  readonly rotates: boolean
  readonly grace: boolean
  readonly repeats: boolean
}

/** A provider, a disk and processes that die at any step. Steps are counted: every save and refresh has two sides. */
class World {
  readonly cell: Cell
  /** Outlives every process. */
  readonly #spool: Spool = new Map()
  readonly #policy: Policy
  #taken: Set<string>
  #newest = 0
  #mishap: Mishap = { kind: 'none' }
  #step = 0
  #saves = 0
  #die: () => void = () => undefined
  #alive = true
  store: RefreshTokenStore
  /** Set when the only token that works is nowhere in our hands: no order of steps can help. */
  lost = false

  constructor(policy: Policy) {
    this.#policy = policy
    this.#taken = new Set(['0'])
    const granted = { ...ACCESS, refreshToken: '0' }
    this.cell = { held: heldRefreshToken(granted, new Date(0)) }
    this.store = this.#newStore()
  }

  /** One attempt, which the process may not survive. Answers the error, or undefined. */
  async attempt(mishap: Mishap): Promise<unknown> {
    this.#mishap = mishap
    this.#step = 0
    this.#saves = 0
    const died = new Promise<'died'>((resolve) => {
      this.#die = () => resolve('died')
    })
    const work = refreshHeld({
      client: this.#client(),
      store: this.store,
      owner: 'd1',
      audience: undefined,
      now: () => new Date(1000),
      signal: calm(),
      storeAgainMs: [0],
    })
    const outcome = await Promise.race([
      work.then(
        () => undefined,
        (error: unknown) => error,
      ),
      died,
    ])
    if (outcome === 'died') {
      this.#alive = true
      this.store = this.#newStore()
    }
    return outcome
  }

  #loseTheAnswer(): void {
    const { current, previous } = this.cell.held ?? { current: '', previous: undefined }
    this.lost = !this.#taken.has(current) && !this.#taken.has(previous ?? '')
  }

  /** Between two steps a process may be killed: then nothing of it ever goes on. */
  async #passStep(): Promise<void> {
    this.#step += 1
    if (this.#mishap.kind !== 'kill' || this.#mishap.at !== this.#step) return
    this.#alive = false
    this.#die()
    await new Promise(() => undefined)
  }

  #newStore(): RefreshTokenStore {
    return {
      load: async () => this.cell.held,
      save: async (held) => {
        await this.#passStep()
        this.#saves += 1
        const { kind } = this.#mishap
        if (kind === 'disk full') {
          const { from, times } = this.#mishap
          if (this.#saves >= from && this.#saves < from + times) throw new Error('ENOSPC')
        }
        expect(this.#alive).toBe(true)
        this.cell.held = held
        await this.#passStep()
      },
    }
  }

  #client(): GrantClient {
    const helper = {
      refresh: async ({ refreshToken }) => {
        await this.#passStep()
        const { kind } = this.#mishap
        if (kind === 'not connected') throw failure('provider_unreachable')
        if (kind === 'request lost') throw failure('provider')
        const answer = this.#answer(refreshToken)
        if (kind === 'reply lost') {
          this.#loseTheAnswer()
          throw failure('provider')
        }
        return answer
      },
    } as GrantClient
    const client = spooling(helper, this.#spool)
    return {
      ...client,
      // The helper goes on when its parent is killed.
      refresh: async (request) => {
        const answer = await client.refresh(request)
        await this.#passStep()
        return answer
      },
      forget: async (owner) => {
        await this.#passStep()
        await client.forget?.(owner)
      },
    }
  }

  #answer(shown: string): Granted {
    if (!this.#taken.has(shown)) {
      throw new TtsError('grant_refused', 'dead', { check: 'refresh_token_dead' })
    }
    const { rotates, grace, repeats } = this.#policy
    if (!rotates) return { ...ACCESS, refreshToken: repeats ? shown : undefined }
    if (!grace) this.#taken.delete(shown)
    this.#newest += 1
    const next = String(this.#newest)
    this.#taken.add(next)
    return { ...ACCESS, refreshToken: next }
  }
}

const ACCESS: Granted = {
  accessToken: 'access',
  refreshToken: undefined,
  expiresAt: undefined,
  refreshExpiresAt: undefined,
  scope: undefined,
}
const failure = (check: string): TtsError =>
  new TtsError('provider_unavailable', 'not now', { check })

const mishap: fc.Arbitrary<Mishap> = fc.oneof(
  fc.constant<Mishap>({ kind: 'none' }),
  fc.constantFrom<Mishap>(
    { kind: 'request lost' },
    { kind: 'reply lost' },
    { kind: 'not connected' },
  ),
  fc.record({ kind: fc.constant('kill' as const), at: fc.integer({ min: 1, max: 8 }) }),
  fc.record({
    kind: fc.constant('disk full' as const),
    from: fc.integer({ min: 1, max: 3 }),
    times: fc.integer({ min: 1, max: 4 }),
  }),
)
const policy: fc.Arbitrary<Policy> = fc.record({
  rotates: fc.boolean(),
  grace: fc.boolean(),
  repeats: fc.boolean(),
})

test('whatever happens at whatever step, a token that works is kept, unless the provider gave it to nobody', async () => {
  let [survived, lost] = [0, 0]
  await fc.assert(
    fc.asyncProperty(policy, fc.array(mishap, { maxLength: 6 }), async (rules, mishaps) => {
      const world = new World(rules)
      for (const one of mishaps) {
        if (world.lost) break
        await world.attempt(one)
      }
      const outcome = await world.attempt({ kind: 'none' })
      if (world.lost) {
        lost += 1
        expect(rules).toMatchObject({ rotates: true, grace: false })
        expect(outcome).toMatchObject({ code: 'delegation_ended' })
        expect((outcome as TtsError).message).toMatch(/answer of the provider was lost/)
      } else {
        survived += 1
        expect(outcome).toBeUndefined()
        expect(world.cell.held?.attemptBegunAt).toBeUndefined()
      }
    }),
    { numRuns: 2000 },
  )
  expect(Math.min(survived, lost)).toBeGreaterThan(20)
})

test('a kill between any two steps of a refresh loses nothing', async () => {
  const outcomes: string[] = []
  for (let at = 1; at <= 8; at += 1) {
    const world = new World({ rotates: true, grace: false, repeats: true })
    const killed = await world.attempt({ kind: 'kill', at })
    const next = await world.attempt({ kind: 'none' })
    outcomes.push(
      `${killed === 'died' ? 'killed' : 'done'}, ${next === undefined ? 'works' : 'lost'}`,
    )
  }
  // Saving the mark (1, 2), asking (3, 4), saving the new token (5, 6), emptying the spool (7).
  expect(outcomes).toEqual([...Array.from({ length: 7 }, () => 'killed, works'), 'done, works'])
})

test('nor with a grace period at the provider', async () => {
  for (let at = 1; at <= 7; at += 1) {
    const world = new World({ rotates: true, grace: true, repeats: true })
    await world.attempt({ kind: 'kill', at })
    expect(await world.attempt({ kind: 'none' })).toBeUndefined()
  }
})

const DAY_SECONDS = 86_400

/** RefreshTokenUse of a real delegation at the real provider. */
async function realToken(timeoutMs = 5_000) {
  const cell: Cell = {
    held: heldRefreshToken({ ...ACCESS, refreshToken: await delegation(provider()) }, new Date()),
  }
  const client = clientAt(provider(), { timeoutMs })
  const renew = async () =>
    refreshHeld({
      client,
      store: storeOver(cell),
      owner: 'd1',
      audience: 'https://tts',
      now: () => new Date(),
      signal: calm(),
    })
  return { cell, renew }
}

test('a reply that is lost on its way, from a provider with a grace period: renewal goes on', async () => {
  provider().tokens.rotationGraceSeconds = DAY_SECONDS
  const { cell, renew } = await realToken()
  await renew()
  provider().faults.set('/token', { kind: 'lost-reply' })
  expect((await refusalOf(renew())).error.code).toBe('provider_unavailable')
  expect(cell.held?.attemptBegunAt).toBeInstanceOf(Date)
  provider().faults.clear()
  await renew()
  await renew()
  expect(cell.held?.attemptBegunAt).toBeUndefined()
})

test('the same without grace: it is over, and the message says that an answer was lost', async () => {
  const { renew } = await realToken()
  await renew()
  provider().faults.set('/token', { kind: 'lost-reply' })
  await refusalOf(renew())
  provider().faults.clear()
  const { error, printed } = await refusalOf(renew())
  expect([error.code, error.check]).toEqual(['delegation_ended', 'refresh_token_dead'])
  expect(error.message).toMatch(/answer of the provider was lost/)
  expect(error.remedy).toMatch(/reuse refresh token/)
  expect(printed).not.toMatch(/eyJ/)
})

test('a provider that is off, slow or broken costs nothing', async () => {
  const { cell, renew } = await realToken(150)
  for (const fault of [
    { kind: 'hang' },
    { kind: 'status', status: 500 },
    { kind: 'reset' },
  ] as const) {
    provider().faults.set('/token', fault)
    expect((await refusalOf(renew())).error.code).toBe('provider_unavailable')
  }
  provider().faults.clear()
  await provider().goDown()
  expect((await refusalOf(renew())).error.code).toBe('provider_unavailable')
  await provider().comeUp()
  // The first may be written on a connection that the provider has closed; never twice by itself.
  await vi.waitFor(renew, { interval: 5, timeout: 60_000 })
  expect(cell.held).toMatchObject({ rotates: true, attemptBegunAt: undefined })
})

test('a suspended account, an AUP to be signed: nothing until that changes, then the token works again', async () => {
  const { renew } = await realToken()
  provider().user('alice').aupSigned = false
  expect((await refusalOf(renew())).error).toMatchObject({
    code: 'grant_refused',
    check: 'aup_not_signed',
  })
  provider().user('alice').aupSigned = true
  await renew()
  provider().user('alice').suspended = true
  expect((await refusalOf(renew())).error).toMatchObject({
    code: 'grant_refused',
    check: 'user_disabled',
  })
  provider().user('alice').suspended = false
  await renew()
})

test.for([
  { reuseRefreshToken: false, repeatRefreshToken: true, rotates: true },
  { reuseRefreshToken: true, repeatRefreshToken: true, rotates: false },
  { reuseRefreshToken: true, repeatRefreshToken: false, rotates: false },
])('ten renewals with %o', async ({ rotates, ...settings }) => {
  Object.assign(provider().tokens, settings)
  const { cell, renew } = await realToken()
  for (let round = 0; round < 10; round += 1) await renew()
  expect(cell.held?.rotates).toBe(rotates)
  expect(cell.held?.previous === undefined).toBe(!rotates)
})

test('two processes without a lock: one wins, the other is told so or finds the end, and the winner goes on', async () => {
  const { cell, renew } = await realToken()
  const outcomes = await Promise.allSettled([renew(), renew()])
  expect(outcomes.filter(({ status }) => status === 'fulfilled').length).toBeGreaterThan(0)
  for (const outcome of outcomes) {
    if (outcome.status === 'fulfilled') continue
    expect(['conflict', 'delegation_ended']).toContain((outcome.reason as { code: string }).code)
  }
  expect(cell.held?.current).not.toBe('')
})
