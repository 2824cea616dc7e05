/** Clients that ask replicas for proxies, and note what they received and what was refused. */
import type { IncomingMessage } from 'node:http'
import { Agent, request } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { createCsr } from '../../ca/csr.ts'
import { createSigner, generatePrivateKey } from '../../ca/key.ts'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import type { IdentityProvider } from '../../demo/identity-provider/server.ts'
import { ask } from './postgres.ts'
import { AUDIENCE } from './service.ts'

/** A whole answer with a proxy. */
export interface Received {
  readonly id: string
  readonly serial: string
  readonly endEntitySerial: string
  /** `performance.now()` when it had arrived. */
  readonly at: number
  readonly sub: string
  readonly token: string
}

/** An answer without a proxy. */
export interface Refused {
  readonly status: number
  readonly retryAfter: string | undefined
  readonly body: string
  readonly at: number
}

export interface Load {
  readonly received: readonly Received[]
  readonly refused: readonly Refused[]
  /** Connections that broke before the answer was there; the client then asks again. */
  readonly broken: readonly string[]
  /** Longest time that an answer took, in milliseconds. */
  slowest(): number
  /** Ends all clients after their current request. */
  end(): Promise<void>
}

export interface LoadOptions {
  readonly url: string
  readonly certificate: string
  readonly provider: IdentityProvider
  readonly clients: number
  /** Pause of a client between two requests. */
  readonly pauseMs: number
}

const REQUEST_TIMEOUT_MS = 20_000

/** Starts clients that each ask again and again; every tenth request is for an identity that is new. */
export async function startLoad(options: LoadOptions): Promise<Load> {
  const { url, certificate, provider, clients, pauseMs } = options
  const csr = await createCsr([], createSigner(await generatePrivateKey('ec-p256')))
  const received: Received[] = []
  const refused: Refused[] = []
  const broken: string[] = []
  let slowest = 0
  const over = new AbortController()

  const client = async (number: number): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: certificate })
    for (let turn = 0; !over.signal.aborted; turn += 1) {
      const sub = turn % 10 === 9 ? `new-${number}-${turn}` : `old-${number}`
      const token = provider.mint({ claims: { sub, groups: ['cms'], aud: AUDIENCE } })
      const begun = performance.now()
      try {
        const { status, retryAfter, body } = await post({ url, agent, token, csr })
        const at = performance.now()
        if (status === 200) received.push({ ...receivedOf(body), at, sub, token })
        else refused.push({ status, retryAfter, body, at })
      } catch (error) {
        broken.push(error instanceof Error && 'code' in error ? String(error.code) : String(error))
      }
      slowest = Math.max(slowest, performance.now() - begun)
      await sleep(pauseMs)
    }
    agent.destroy()
  }
  const all = Promise.all(Array.from({ length: clients }, async (_, number) => client(number)))
  return {
    received,
    refused,
    broken,
    slowest: () => slowest,
    end: async () => {
      over.abort()
      await all
    },
  }
}

/**
 * Sends requests of one identity, some at a time, each once. Returns how many answers had each status.
 */
export async function countAnswers(
  { url, certificate, provider }: Pick<LoadOptions, 'url' | 'certificate' | 'provider'>,
  sub: string,
  { requests, atOnce }: { readonly requests: number; readonly atOnce: number },
): Promise<Readonly<Record<number, number>>> {
  const csr = await createCsr([], createSigner(await generatePrivateKey('ec-p256')))
  const token = provider.mint({ claims: { sub, groups: ['cms'], aud: AUDIENCE } })
  const agent = new Agent({ keepAlive: true, maxSockets: atOnce, ca: certificate })
  const counts: Record<number, number> = {}
  await Promise.all(
    Array.from({ length: requests }, async () => {
      const { status } = await post({ url, agent, token, csr })
      counts[status] = (counts[status] ?? 0) + 1
    }),
  )
  agent.destroy()
  return counts
}

export interface Answer {
  readonly status: number
  readonly retryAfter: string | undefined
  readonly body: string
}

/** Sends one request for a proxy. */
export async function post(options: {
  readonly url: string
  readonly agent: Agent
  readonly token: string
  readonly csr: string
  readonly timeoutMs?: number
}): Promise<Answer> {
  const headers = {
    authorization: `Bearer ${options.token}`,
    'content-type': 'application/pkcs10',
    accept: 'application/json',
  }
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const sent = request(`${options.url}/v1/proxies`, {
    method: 'POST',
    agent: options.agent,
    headers,
    signal: AbortSignal.timeout(options.timeoutMs ?? REQUEST_TIMEOUT_MS),
  })
  sent.once('response', resolve)
  sent.once('error', reject)
  sent.end(options.csr)
  const response = await promise
  const parts: Buffer[] = []
  for await (const part of response) parts.push(part as Buffer)
  const { statusCode = 0, headers: answered } = response
  return {
    status: statusCode,
    retryAfter: answered['retry-after'],
    body: Buffer.concat(parts).toString(),
  }
}

function receivedOf(text: string): Pick<Received, 'id' | 'serial' | 'endEntitySerial'> {
  const {
    id,
    pem,
    end_entity_serial: endEntitySerial,
  } = JSON.parse(text) as Record<'id' | 'pem' | 'end_entity_serial', string>
  return { id, serial: parseProxyFile(pem).certificates[0]?.serial ?? '', endEntitySerial }
}

/** What a database lacks of what clients received; all empty if it has everything, once. */
export async function missingRecords(
  database: string,
  received: readonly Received[],
): Promise<{
  readonly credentials: readonly string[]
  readonly certificates: readonly string[]
  readonly audited: readonly string[]
  readonly twice: readonly string[]
}> {
  const column = async (sql: string): Promise<Set<string>> =>
    new Set((await ask(database, sql)).map((row) => Object.values(row as object)[0] as string))
  const credentials = await column('select id from credentials')
  const certificates = await column('select serial from certificates')
  const audited = await column('select credential_id from audit where credential_id is not null')
  const ids = received.map(({ id }) => id)
  const serials = received.map(({ serial }) => serial)
  const needed = received.flatMap(({ serial, endEntitySerial }) => [serial, endEntitySerial])
  return {
    credentials: ids.filter((id) => !credentials.has(id)),
    certificates: needed.filter((serial) => !certificates.has(serial)),
    audited: ids.filter((id) => !audited.has(id)),
    twice: [...repeated(ids), ...repeated(serials)],
  }
}

/** What `missingRecords` returns for a database that lacks nothing. */
export const nothingMissing = { credentials: [], certificates: [], audited: [], twice: [] }

function repeated(values: readonly string[]): readonly string[] {
  return values.filter((value, index) => values.indexOf(value) !== index)
}
