/** Prepares the response for each proxy once, so that a request costs almost nothing. */
import { keyBelongsTo, parseProxyFile } from '../../../ca/proxy-file.ts'
import { describeProxy } from '../../../ca/proxy-info.ts'
import type { Log } from '../../base/log.ts'
import type { HeldProxy, ProxyEngine } from '../proxy-engine.ts'
import { requiredLifetimeSeconds } from '../status.ts'

/** The prepared response to `GET /get_proxy`. */
export interface ServedProxy {
  readonly held: HeldProxy
  /** Alternating names and values: the fastest form for `writeHead`. */
  readonly headers: readonly string[]
  /** The same with a warning, for a proxy with little remaining lifetime. */
  readonly warningHeaders: readonly string[]
  /** The file as latin1 text, which Node sends in one piece with the headers. */
  readonly body: string
  readonly notAfterMs: number
  readonly warnFromMs: number
  readonly endEntityNotAfter: Date | undefined
}

export interface ResponseCache {
  /** Returns the response for this proxy; undefined if there is no complete, valid proxy. */
  current(name: string, nowMs: number): ServedProxy | undefined
}

export interface ResponseCacheOptions {
  readonly engine: Pick<ProxyEngine, 'current'>
  readonly warnBelowSeconds: () => number
  readonly now: () => Date
  readonly log: Log
}

/** Caches one prepared response for each name. */
export function createResponseCache(parts: ResponseCacheOptions): ResponseCache {
  const prepared = new Map<string, { pem: Buffer; served: ServedProxy | undefined }>()
  return {
    current: (name, nowMs) => {
      const held = parts.engine.current(name)
      if (held === undefined) return undefined
      let entry = prepared.get(name)
      if (entry?.pem !== held.pem) {
        entry = { pem: held.pem, served: prepare(held, parts) }
        prepared.set(name, entry)
      }
      return entry.served && nowMs < entry.served.notAfterMs ? entry.served : undefined
    },
  }
}

/** Checks the file a last time. Returns undefined if it is not a complete proxy with its key. */
function prepare(held: HeldProxy, parts: ResponseCacheOptions): ServedProxy | undefined {
  const now = parts.now()
  const facts = examine(held.pem, now)
  if (typeof facts === 'string') {
    const fields = { event: 'proxy.not-served', proxy: held.name, why: facts }
    parts.log.error(fields, 'the proxy is incomplete and is not served')
    return undefined
  }
  const notAfter = new Date(Math.min(facts.notAfter.getTime(), held.notAfter.getTime()))
  const requiredSeconds = requiredLifetimeSeconds({ ...held, notAfter }, parts.warnBelowSeconds())
  const headers = Object.entries({
    'Content-Type': 'application/octet-stream',
    'Content-Length': String(held.pem.length),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    'TTS-Not-After': notAfter.toISOString(),
  }).flat()
  const warning = 'renewal is late: this proxy expires soon'
  return {
    held,
    headers,
    warningHeaders: [...headers, 'TTS-Warning', warning],
    body: held.pem.toString('latin1'),
    notAfterMs: notAfter.getTime(),
    warnFromMs: notAfter.getTime() - requiredSeconds * 1000,
    endEntityNotAfter: facts.endEntityNotAfter,
  }
}

/** Returns the facts of a complete proxy file, or what is wrong with it. */
function examine(
  pem: Buffer,
  now: Date,
): string | { readonly notAfter: Date; readonly endEntityNotAfter: Date | undefined } {
  try {
    const file = parseProxyFile(pem.toString('latin1'))
    const [proxy] = file.certificates
    if (file.certificates.length < 2 || proxy === undefined) return 'the EEC is missing'
    if (!file.privateKey) return 'the private key is missing'
    if (!keyBelongsTo(file.privateKey, proxy)) return 'the private key does not match the proxy'
    const { notAfter, certificates } = describeProxy(file, { now, path: '' })
    const endEntity = certificates.find(({ kind }) => kind === 'end entity')
    return { notAfter, endEntityNotAfter: endEntity?.notAfter }
  } catch {
    return 'it cannot be read'
  }
}
