/** Lists by page: the same parameters, the same cursor and the same end for all of them. */
import { describe, expect, test } from 'vitest'
import { AUDIENCE, useTestService } from '../support/service.ts'
import { delegate, delegating, logIn } from './delegation-support.ts'
import { ask, problemOf, proxyJson } from './support.ts'

const service = useTestService(delegating())

interface Page {
  readonly ids: readonly string[]
  readonly next: string | null
}

type List = 'credentials' | 'delegations'

async function pageAt(list: List, token: string, query = ''): Promise<Page> {
  const response = await ask(service(), `/v1/${list}${query}`, { method: 'GET', token })
  const text = await response.text()
  expect(response.status, text).toBe(200)
  const { next, ...lists } = JSON.parse(text) as { next: string | null } & Record<
    string,
    { id: string }[]
  >
  expect(Object.keys(lists)).toEqual([list])
  return { ids: (lists[list] ?? []).map(({ id }) => id), next }
}

/** Follows `next` to the end. */
async function follow(list: List, token: string, limit: number): Promise<readonly Page[]> {
  const pages: Page[] = []
  for (let after = ''; pages.length < 10; after = `&after=${pages.at(-1)?.next}`) {
    pages.push(await pageAt(list, token, `?limit=${limit}${after}`))
    if (pages.at(-1)?.next === null) break
  }
  return pages
}

const makers = {
  credentials: async () => {
    const claims = { sub: 'pages', groups: ['cms'], aud: AUDIENCE }
    const token = service().provider.mint({ claims })
    const made: string[] = []
    for (let round = 0; round < 4; round += 1)
      made.unshift((await proxyJson(service(), { token })).id)
    return { token, made }
  },
  delegations: async () => {
    const token = await logIn(service())
    const made: string[] = []
    for (let round = 0; round < 4; round += 1)
      made.unshift((await delegate(service(), { token })).id)
    return { token, made }
  },
} satisfies Record<List, () => Promise<{ token: string; made: string[] }>>

describe.for(['credentials', 'delegations'] as const)('/v1/%s', (list) => {
  test('every entry once, newest first; only the last page has no next', async () => {
    const { token, made } = await makers[list]()
    expect(await pageAt(list, token)).toEqual({ ids: made, next: null })
    for (const limit of [1, 2, 3, 4, 5]) {
      const pages = await follow(list, token, limit)
      expect(pages.flatMap(({ ids }) => ids)).toEqual(made)
      expect(pages.length).toBe(Math.ceil(made.length / limit))
      expect(pages.map(({ next }) => next === null)).toEqual(
        pages.map((_page, index) => index === pages.length - 1),
      )
    }
    // As clients did before there was `next`.
    expect(await pageAt(list, token, `?after=${made[1]}`)).toEqual({
      ids: made.slice(2),
      next: null,
    })
    expect(await pageAt(list, token, '?limit=1000')).toEqual({ ids: made, next: null })
  })

  test("somebody else's cursor gives only one's own, and their ids are not confirmed", async () => {
    const { token } = await makers[list]()
    const { ids, next } = await pageAt(list, token, '?limit=1')
    const claims = { sub: 'stranger', groups: ['cms'], aud: AUDIENCE }
    const stranger = service().provider.mint({ claims })
    await proxyJson(service(), { token: stranger })
    const mine = (await pageAt(list, stranger)).ids
    // What the stranger has is newer than the place.
    expect(await pageAt(list, stranger, `?after=${next}`)).toEqual({ ids: [], next: null })
    expect(await pageAt(list, stranger)).toEqual({ ids: mine, next: null })
    const details: string[] = []
    for (const id of [ids[0], '00000000-0000-4000-8000-000000000000']) {
      const get = { method: 'GET', token: stranger }
      const answer = await ask(service(), `/v1/${list}?after=${id}`, get)
      const { status, detail } = await problemOf(answer)
      expect(status).toBe(400)
      details.push(detail)
    }
    expect(new Set(details).size).toBe(1)
  })
})

test('a cursor works although its credential has moved to the archive', async () => {
  const { token, made } = await makers.credentials()
  const { ids, next } = await pageAt('credentials', token, '?limit=2')
  expect(ids).toEqual(made.slice(0, 2))
  await service().running.service.store.endedRecords.removeCredentials(ids)
  expect((await pageAt('credentials', token, `?limit=2&after=${next}`)).ids).toEqual(
    made.slice(2, 4),
  )
})
