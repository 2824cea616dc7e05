/** The keys of a site: read again in time, when an unknown key is named, and within bounds. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { errors, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TtsError } from '../../src/base/errors.ts'
import { createSiteKeys } from '../../src/relying/site-keys.ts'
import { passSteadyTime } from '../support/steady-time.ts'
import { jwkSet, makeKey, type Site, startSite } from './support.ts'

const [first, second] = [makeKey('one'), makeKey('two')]
let site: Site
let directory = ''
beforeAll(async () => {
  site = await startSite()
  directory = await mkdtemp(join(tmpdir(), 'tts-site-'))
})
afterAll(async () => {
  await site.close()
  await rm(directory, { recursive: true, force: true })
})

/** Keys with a clock of their own; `has` tells what looking for a key ends with. */
function keysAt(location: string, timeoutSeconds = 5) {
  let at = Date.UTC(2030, 0, 1)
  const settings = { keys_location: location, timeout_seconds: timeoutSeconds }
  const keys = createSiteKeys({ id: 'portal', settings, now: () => new Date(at), fetch })
  const has = async (kid: string): Promise<string> => {
    const { privateKey } = kid === 'one' ? first : second
    const header = { alg: 'RS256', kid }
    const token = await new SignJWT({}).setProtectedHeader(header).setIssuedAt().sign(privateKey)
    try {
      await keys.verify(token, { algorithms: ['RS256'] })
      return 'found'
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey) return 'unknown'
      if (error instanceof TtsError) return `${error.code} ${error.check ?? ''}`
      throw error
    }
  }
  return { has, keys, pass: (seconds: number) => void (at += seconds * 1000) }
}

/** Sets what the site publishes; answers how often it was asked since. */
function publish(change: Partial<Site['published']>): () => number {
  Object.assign(site.published, { keys: [first], status: 200, hang: false, ...change })
  const before = site.published.asked
  return () => site.published.asked - before
}

describe('by http', () => {
  test('are fetched once, and again after 15 minutes: a key that is gone signs no more', async () => {
    const asked = publish({})
    const { has, pass } = keysAt(`${site.url}/jwk`)
    expect([await has('one'), await has('one'), asked()]).toEqual(['found', 'found', 1])
    publish({ keys: [second] })
    pass(899)
    expect(await has('one')).toBe('found')
    pass(2)
    expect([await has('one'), await has('two'), asked()]).toEqual(['unknown', 'found', 2])
  })

  test('after 15 minutes also if the clock was set back', async () => {
    publish({})
    const { has, pass } = keysAt(`${site.url}/jwk`)
    expect(await has('one')).toBe('found')
    publish({ keys: [second] })
    pass(-3600)
    passSteadyTime(901_000)
    expect(await has('one')).toBe('unknown')
  })

  test('an unknown key makes it look again, and a flood of them does not', async () => {
    const asked = publish({})
    const { has, pass } = keysAt(`${site.url}/jwk`)
    await has('one')
    publish({ keys: [first, second] })
    expect([await has('two'), asked()]).toEqual(['unknown', 1])
    pass(31)
    expect([await has('two'), asked()]).toEqual(['found', 2])
    const none = await Promise.all(Array.from({ length: 50 }, (_, index) => has(`no-${index}`)))
    expect([new Set(none), asked()]).toEqual([new Set(['unknown']), 2])
  })

  test('outlive an outage of the site, for four hours', async () => {
    publish({})
    const { has, pass } = keysAt(`${site.url}/jwk`)
    await has('one')
    publish({ status: 500 })
    pass(14_390)
    expect(await has('one')).toBe('found')
    pass(20)
    expect(await has('one')).toBe('provider_unavailable keys')
    publish({})
    pass(6)
    expect(await has('one')).toBe('found')
  })

  test.for([
    { name: 'nothing there', change: { status: 404 } },
    { name: 'a redirect', change: { status: 302 } },
    { name: 'no answer in time', change: { hang: true } },
    { name: 'too many', change: { keys: Array.from({ length: 700 }, () => first) } },
  ])('$name: it says so', async ({ change }) => {
    publish(change)
    expect(await keysAt(`${site.url}/jwk`, 0.1).has('one')).toBe('provider_unavailable keys')
  })

  test('end with the service', async () => {
    publish({ hang: true })
    const { has, keys } = keysAt(`${site.url}/jwk`, 60)
    const waiting = has('one')
    await new Promise((resolve) => setImmediate(resolve))
    keys.close()
    expect(await waiting).toBe('provider_unavailable keys')
  })
})

describe('in a file', () => {
  test('are read, and again; what is no file of keys says so', async () => {
    const path = join(directory, 'keys.json')
    const { has, pass } = keysAt(pathToFileURL(path).href)
    expect(await has('one')).toBe('provider_unavailable keys')
    const large = JSON.stringify(jwkSet([first])) + ' '.repeat(300_000)
    for (const text of ['nonsense', '{"keys":{}}', large]) {
      await writeFile(path, text)
      pass(6)
      expect(await has('one')).toBe('provider_unavailable keys')
    }
    await writeFile(path, JSON.stringify(jwkSet([first])))
    pass(6)
    expect(await has('one')).toBe('found')
    await writeFile(path, JSON.stringify(jwkSet([second])))
    pass(901)
    expect([await has('one'), await has('two')]).toEqual(['unknown', 'found'])
  })
})
