/** An engine that does what a test says, and the HTTP server over it. */
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import { describeProxy } from '../../ca/proxy-info.ts'
import type {
  HeldProxy,
  ProxyEngine,
  RenewalStatus,
  SourceStatus,
} from '../../src/certcache/proxy-engine.ts'
import {
  type CertcacheServer,
  type ServerOptions,
  type ServerSettings,
  startServer,
} from '../../src/certcache/server/server.ts'
import { certcacheSchema } from '../../src/certcache/settings/settings.ts'
import { TtsError } from '../../src/base/errors.ts'
import { createLog } from '../../src/base/log.ts'
import { makeCredential } from '../support/authority.ts'

/** A proxy of 4 days, made by the library; the same keys every time within one file. */
export async function makeHeldProxy(
  options: { readonly name?: string; readonly now?: Date; readonly text?: string } = {},
): Promise<HeldProxy> {
  const { name = 'gwms_proxy', now = new Date() } = options
  const { text } = await makeCredential({ now })
  const facts = describeProxy(parseProxyFile(text), { now, path: '' })
  return {
    name,
    pem: Buffer.from(options.text ?? text),
    subject: facts.subject,
    identity: facts.identity,
    obtainedAt: now,
    notAfter: facts.notAfter,
  }
}

/** What keeps no proxies by itself. */
export interface StandInEngine extends ProxyEngine {
  /** Puts a proxy in hand: who waits gets it. */
  put(proxy: HeldProxy): void
  /** Nothing is in hand any more. */
  drop(name?: string): void
  /** Who waits, and who comes, gets this; undefined: they wait. */
  fail(error: Error | undefined): void
  readonly obtained: { count: number; aborted: number }
  renewal: Partial<RenewalStatus>
  source: SourceStatus
  closed: boolean
}

export function standInEngine(names: readonly string[] = ['gwms_proxy']): StandInEngine {
  const hand = new Map<string, HeldProxy>()
  const waiters = new Set<(end: HeldProxy | Error, name?: string) => void>()
  const obtained = { count: 0, aborted: 0 }
  let failure: Error | undefined
  const first = names[0] ?? ''
  return {
    names,
    obtained,
    renewal: {},
    closed: false,
    source: {
      kind: 'delegation',
      delegationId: 'd-1',
      renewsUntil: undefined,
      advice: 'It renews until its refresh token ends.',
      ended: undefined,
    },
    current: (name = first) => hand.get(name),
    obtain: (name = first, signal) => {
      obtained.count += 1
      const there = hand.get(name)
      if (there) return Promise.resolve(there)
      if (failure) return Promise.reject(failure)
      return new Promise((resolve, reject) => {
        const end = (result: HeldProxy | Error, about?: string): void => {
          if (about !== undefined && about !== name) return
          waiters.delete(end)
          if (result instanceof Error) reject(result)
          else resolve(result)
        }
        waiters.add(end)
        signal.addEventListener('abort', () => {
          if (waiters.has(end)) obtained.aborted += 1
          end(new TtsError('shutting_down', 'nobody waits any more'))
        })
      })
    },
    renewIfDue: async ({ name = first }) => {
      if (failure) throw failure
      const proxy = hand.get(name)
      if (!proxy) throw new TtsError('not_found', 'nothing in hand')
      return { renewed: false, proxy }
    },
    status() {
      return {
        source: this.source,
        proxies: names.map((name) => {
          const proxy = hand.get(name)
          const { pem: _, ...shown } = proxy ?? { pem: undefined }
          return {
            name,
            proxy: proxy && (shown as Omit<HeldProxy, 'pem'>),
            renewing: false,
            nextAttemptAt: undefined,
            lastSuccessAt: proxy?.obtainedAt,
            lastError: undefined,
            attempts: { succeeded: proxy ? 1 : 0, failed: 0 },
            ...this.renewal,
          }
        }),
      }
    },
    close() {
      this.closed = true
      return Promise.resolve()
    },
    put: (proxy) => {
      hand.set(proxy.name, proxy)
      for (const end of waiters) end(proxy, proxy.name)
    },
    drop: (name = first) => void hand.delete(name),
    fail: (error) => {
      failure = error
      if (error) for (const end of waiters) end(error)
    },
  }
}

/** Settings as the program loads them, over defaults: loopback, a free port. */
export function serverSettings(
  changes: {
    readonly listen?: object
    readonly access?: object
    readonly renewal?: object
  } = {},
): ServerSettings {
  return certcacheSchema.parse({ ...changes, listen: { port: 0, ...changes.listen } })
}

export interface TestServer extends CertcacheServer {
  readonly port: number
  readonly logged: string[]
  ask(path: string, options?: AskOptions): Promise<Told>
}

/** Starts the HTTP server over an engine; `close` ends it. */
export async function testServer(
  engine: ProxyEngine,
  parts: Partial<ServerOptions> = {},
): Promise<TestServer> {
  const logged: string[] = []
  const log = createLog({
    level: 'debug',
    name: 'test',
    destination: { write: (line) => void logged.push(line) },
  })
  const settings = parts.settings ?? serverSettings()
  const server = await startServer({
    engine,
    log,
    now: () => new Date(),
    version: '0.0.0-test',
    ...parts,
    settings,
  })
  const port = server.url.startsWith('unix:') ? 0 : Number(new URL(server.url).port)
  return {
    port,
    logged,
    url: server.url,
    reload: (changed) => server.reload(changed),
    close: (timeoutMs) => server.close(timeoutMs),
    ask: (path, options) => ask(server.url, path, options),
  }
}

export interface AskOptions {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly agent?: Agent
  readonly localAddress?: string
  /** For TLS. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string }
}

export interface Told {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  readonly text: string
}

/** One request, headers as they are given. */
export async function ask(url: string, path: string, options: AskOptions = {}): Promise<Told> {
  const { method = 'GET', headers = {}, body, agent, localAddress, tls = {} } = options
  const bySocket = url.startsWith('unix:')
  const base = bySocket ? 'http://localhost' : url
  const send = base.startsWith('https:') ? httpsRequest : httpRequest
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(base)
    const request = send(
      {
        ...(bySocket
          ? { socketPath: url.slice(5) }
          : { hostname: hostname.replace(/[[\]]/g, ''), port }),
        path,
        method,
        headers,
        ...(agent ? { agent } : {}),
        ...(localAddress === undefined ? {} : { localAddress }),
        ...tls,
      },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => {
          const whole = Buffer.concat(chunks)
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: whole,
            text: whole.toString(),
          })
        })
      },
    )
    request.on('error', reject)
    request.end(body)
  })
}
