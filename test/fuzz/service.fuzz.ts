/**
 * The service beneath generators of bad input: nothing ends it, nothing is answered with 500, nothing is granted that
 * must not be, and somebody else gets proxies all the while.
 *
 * `npm run test:fuzz`. TTS_FUZZ_INPUTS: how many in all (100,000); TTS_FUZZ_SEED: to see the same inputs again.
 */
import { X509Certificate, createPublicKey } from 'node:crypto'
import { Agent, request } from 'node:http'
import { connect } from 'node:net'
import { afterAll, describe, expect, test } from 'vitest'
import { generatePrivateKey } from '../../ca/key.ts'
import { createCsr } from '../../ca/csr.ts'
import { createSigner } from '../../ca/key.ts'
import { readPem } from '../../ca/pem.ts'
import { pause, report, type Target, useTarget, watch } from '../attacks/support.ts'
import { anyJson, changedCsr } from './bad-bodies.ts'
import { anyHttp } from './bad-http.ts'
import { badToken } from './bad-tokens.ts'
import { createRandom, type Random } from './random.ts'

const INPUTS = Number(process.env['TTS_FUZZ_INPUTS'] ?? 100_000)
const SEED = Number(process.env['TTS_FUZZ_SEED'] ?? Date.now() % 2 ** 31)
/** Inputs under way at once. */
const AT_ONCE = 8

const wide = 1_000_000
const target = useTarget({
  limits: {
    key_pool_size: 0,
    requests_per_second_per_address: wide,
    burst_per_address: wide,
    credentials_per_second_per_identity: wide,
    burst_per_identity: wide,
    opaque_tokens_per_second_per_address: 1e5,
    body_timeout_seconds: 1,
  },
})
const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE })
afterAll(() => agent.destroy())

interface Answer {
  readonly status: number
  readonly text: string
}

async function send(
  { url }: Target,
  asked: {
    readonly path: string
    readonly method?: string
    readonly headers: Record<string, string>
    readonly body?: Buffer | string
  },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { path, method = 'POST', headers, body } = asked
    const sent = request(`${url}${path}`, { method, headers, agent, timeout: 30_000 })
    sent.once('timeout', () => sent.destroy(new Error(`no answer from ${path}`)))
    sent.once('error', reject)
    sent.once('response', (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part: string) => (text += part))
      response.once('end', () => resolve({ status: response.statusCode ?? 0, text }))
      response.once('error', reject)
    })
    sent.end(body)
  })
}

/** Runs `one` for each of so many inputs while a bystander asks for proxies. */
async function fuzz(
  name: string,
  share: number,
  one: (random: Random) => Promise<void>,
): Promise<void> {
  const count = Math.ceil(INPUTS * share)
  const quiet = await watch(target(), () => pause(1500))
  let next = 0
  const seen = await watch(target(), async () => {
    const worker = async (): Promise<void> => {
      while (next < count) {
        const seed = SEED + next
        next += 1
        await one(createRandom(seed)).catch((cause: unknown) => {
          throw new Error(`${name}: input of seed ${seed}`, { cause })
        })
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
  })
  report(`${name}, ${count} inputs from seed ${SEED}`, quiet, seen)
  expect(target().isAlive()).toBe(true)
  expect(Object.keys(seen.statuses)).toEqual(['200'])
}

/** What a token says, so that one that was granted something can be understood. */
function shown(token: string): string {
  const parts = token.split('.').map((part) => Buffer.from(part, 'base64url').toString('latin1'))
  return parts.slice(0, 2).join(' ').slice(0, 2000)
}

const withToken = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` })
const json = { 'content-type': 'application/json' }

describe('generators', () => {
  test('bad tokens: nothing is granted', async () => {
    const paths = ['/v1/proxies?key_type=ec-p256', '/v1/delegations', '/v1/proxies']
    await fuzz('bad tokens', 0.4, async (random) => {
      const token = badToken(target(), random)
      // What a header cannot hold is no token for an HTTP client.
      if (!/^[\x21-\x7e]+$/.test(token)) return
      const { status, text } = await send(target(), {
        path: random.pick(paths),
        headers: withToken(token),
      })
      // A signature by no known key may be by a new one, until the keys can be fetched again.
      if (status === 503 && text.includes('"check":"key"')) return
      expect([400, 401, 403, 404, 429, 431], `${text.slice(0, 300)} for ${shown(token)}`).toContain(
        status,
      )
    })
  })

  test('changed CSRs: no certificate for another key', async () => {
    const key = await generatePrivateKey('rsa-2048')
    const pem = await createCsr([], createSigner(key))
    const der = readPem(pem, 'test')[0]?.der ?? Buffer.alloc(0)
    const own = createPublicKey(key).export({ type: 'spki', format: 'der' })
    await fuzz('changed CSRs', 0.2, async (random) => {
      const token = target().token('alice', { sub: `csr ${random.integer(20)}` })
      const body = changedCsr(der, random)
      const form = random.chance(0.5)
      const headers = {
        ...withToken(token),
        ...(form ? { 'content-type': 'application/pkcs10' } : json),
      }
      const sent = form ? body : JSON.stringify({ csr: body.toString() })
      const { status, text } = await send(target(), {
        path: '/v1/certificates',
        headers,
        body: sent,
      })
      expect([200, 400, 413, 415], text).toContain(status)
      if (status !== 200) return
      const made = new X509Certificate(text).publicKey.export({ type: 'spki', format: 'der' })
      expect(made.equals(own)).toBe(true)
    })
  })

  test('any JSON, with a sound token: an answer that says what is wrong', async () => {
    const paths = ['/v1/proxies', '/v1/certificates', '/v1/delegations', '/api/v2/iam/credential']
    await fuzz('JSON', 0.2, async (random) => {
      const token = target().token('alice', { sub: `json ${random.integer(20)}` })
      const path = random.pick(paths)
      // Keys of RSA are refused here: to make them is not what is tried.
      const query = path === '/v1/proxies' ? '?key_type=ec-p256' : ''
      const headers = { ...withToken(token), ...json }
      const { status, text } = await send(target(), {
        path: `${path}${query}`,
        headers,
        body: anyJson(random),
      })
      expect([200, 303, 400, 403, 404, 406, 413, 415, 429], text).toContain(status)
    })
  })

  test('bad HTTP: every connection is answered or ended, and no answer is 500', async () => {
    const { port } = new URL(target().url)
    await fuzz('HTTP', 0.2, async (random) => {
      const sent = anyHttp(random)
      const text = await new Promise<string>((resolve) => {
        const socket = connect({ host: '127.0.0.1', port: Number(port) })
        let said = ''
        socket.setTimeout(200, () => socket.destroy())
        socket.on('data', (part) => (said += part.toString('latin1')))
        socket.on('error', () => socket.destroy())
        socket.once('close', () => resolve(said))
        socket.write(sent)
      })
      const asked = `answer to ${JSON.stringify(sent.toString('latin1'))}`
      expect(text, asked).not.toMatch(/HTTP\/1\.1 5(?!03)/)
      // With its dashes: the OpenAPI document names the formats of keys.
      expect(text, asked).not.toMatch(/-----BEGIN [A-Z ]*PRIVATE KEY-----/)
    })
  })
})
