/** Proxies as they are served: looked at once, with the answer prepared, so that a request costs next to nothing. */
import { keyBelongsTo, parseProxyFile } from '../../../ca/proxy-file.ts'
import { describeProxy } from '../../../ca/proxy-info.ts'
import type { Log } from '../../base/log.ts'
import type { HeldProxy, ProxyEngine } from '../proxy-engine.ts'
import { enoughSeconds } from '../status.ts'

/** The answer to `GET /get_proxy`. */
export interface ServedProxy {
  readonly held: HeldProxy
  /** Name, value, name, value, as `writeHead` takes them fastest. */
  readonly headers: readonly string[]
  /** The same with a warning, for when little life is left. */
  readonly warningHeaders: readonly string[]
  /** The file; as text of one byte each, which node sends in one piece with the headers. */
  readonly body: string
  readonly notAfterMs: number
  readonly warnFromMs: number
  readonly endEntityNotAfter: Date | undefined
}

export interface ResponseCache {
  /** The proxy of this name; undefined unless it is whole and valid at this time. */
  current(name: string, nowMs: number): ServedProxy | undefined
}

export interface ResponseCacheOptions {
  readonly engine: Pick<ProxyEngine, 'current'>
  readonly warnBelowSeconds: () => number
  readonly now: () => Date
  readonly log: Log
}

/** Keeps one prepared answer for each name. */
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

/** The last look before a file leaves; undefined when it is not a whole proxy with its key. */
function prepare(held: HeldProxy, parts: ResponseCacheOptions): ServedProxy | undefined {
  const now = parts.now()
  const found = examine(held.pem, now)
  if (typeof found === 'string') {
    const fields = { event: 'proxy.not-served', proxy: held.name, why: found }
    parts.log.error(fields, 'what is in hand is not a whole proxy and is not served')
    return undefined
  }
  const notAfter = new Date(Math.min(found.notAfter.getTime(), held.notAfter.getTime()))
  const enough = enoughSeconds({ ...held, notAfter }, parts.warnBelowSeconds())
  const headers = Object.entries({
    'Content-Type': 'application/octet-stream',
    'Content-Length': String(held.pem.length),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    'TTS-Not-After': notAfter.toISOString(),
  }).flat()
  const warning = 'renewal is late: this proxy has little life left'
  return {
    held,
    headers,
    warningHeaders: [...headers, 'TTS-Warning', warning],
    body: held.pem.toString('latin1'),
    notAfterMs: notAfter.getTime(),
    warnFromMs: notAfter.getTime() - enough * 1000,
    endEntityNotAfter: found.endEntityNotAfter,
  }
}

function examine(
  pem: Buffer,
  now: Date,
): string | { readonly notAfter: Date; readonly endEntityNotAfter: Date | undefined } {
  try {
    const file = parseProxyFile(pem.toString('latin1'))
    const [proxy] = file.certificates
    if (file.certificates.length < 2 || proxy === undefined) return 'the EEC is not in it'
    if (!file.privateKey) return 'its private key is not in it'
    if (!keyBelongsTo(file.privateKey, proxy)) return 'the private key in it is another one'
    const { notAfter, certificates } = describeProxy(file, { now, path: '' })
    const endEntity = certificates.find(({ kind }) => kind === 'end entity')
    return { notAfter, endEntityNotAfter: endEntity?.notAfter }
  } catch {
    return 'it cannot be read'
  }
}
