/** Which HTTP proxy the environment names, and for which hosts it is used. */
import { TtsError } from '../base/errors.ts'
import type { Environment } from '../config/settings-tree.ts'

/** An HTTP proxy for https URLs. */
export interface HttpProxy {
  /** URL of the proxy. It may contain a password: never show it. */
  readonly url: string
  /** Host and port, for messages. */
  readonly shown: string
  /** Hosts that are reached without the proxy. */
  readonly exceptions: readonly ProxyException[]
}

/** One entry of NO_PROXY. */
export interface ProxyException {
  /** Host name or address, in lower case, without brackets. It includes all names under it. */
  readonly host: string
  /** Undefined: every port. */
  readonly port: string | undefined
}

/** The proxy of an environment, and warnings for its user. */
export interface ProxyReading {
  /** Undefined: all connections are direct. */
  readonly proxy: HttpProxy | undefined
  readonly warnings: readonly string[]
}

/** The machine itself is never reached through a proxy. */
const loopback: readonly ProxyException[] = ['localhost', '127.0.0.1', '::1'].map((host) => ({
  host,
  port: undefined,
}))

/**
 * Reads HTTPS_PROXY and NO_PROXY. As for curl, the names in lower case come first, and a proxy URL without a scheme is
 * an http URL.
 *
 * @throws {TtsError} `configuration` (the value is not the URL of an HTTP proxy)
 */
export function readHttpProxy(environment: Environment): ProxyReading {
  const name = environment['https_proxy'] ? 'https_proxy' : 'HTTPS_PROXY'
  const value = environment[name]?.trim()
  if (!value) return { proxy: undefined, warnings: [] }
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.hostname === '')
    // The value is not shown, because it may contain a password.
    throw new TtsError(
      'configuration',
      `${name}: must be the URL of an HTTP proxy, such as http://proxy.example.org:3128`,
    )
  const list = environment['no_proxy'] || environment['NO_PROXY'] || ''
  const entries = list.split(/[\s,]+/).filter((entry) => entry !== '')
  if (entries.includes('*')) return { proxy: undefined, warnings: [] }
  const networks = entries.filter((entry) => entry.includes('/'))
  const exceptions = entries.filter((entry) => !entry.includes('/')).map(parseException)
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  return {
    proxy: {
      url: url.href,
      shown: `${url.hostname}:${port}`,
      exceptions: [...loopback, ...exceptions],
    },
    warnings: networks.map(
      (entry) =>
        `NO_PROXY: ${entry} is ignored, because networks are not supported; name hosts or domains`,
    ),
  }
}

/** Reads `host`, `.domain`, `*.domain`, `host:port`, `[address]:port` or an address. */
function parseException(entry: string): ProxyException {
  const [, bracketed, afterBracket] = /^\[([^\]]*)\](?::(\d+))?$/.exec(entry) ?? []
  if (bracketed !== undefined) return { host: bracketed.toLowerCase(), port: afterBracket }
  // With more than one colon it is an IPv6 address.
  const [, name = entry, port] = /^([^:]*):(\d+)$/.exec(entry) ?? []
  return { host: name.toLowerCase().replace(/^\*?\./, ''), port }
}

/** Returns whether a URL is reached through the proxy. Plain http never is. */
export function usesProxy({ exceptions }: HttpProxy, { protocol, hostname, port }: URL): boolean {
  if (protocol !== 'https:') return false
  const host = hostname.toLowerCase().replace(/^\[|\]$/g, '')
  return !exceptions.some(
    (one) =>
      (one.port === undefined || one.port === (port || '443')) &&
      (host === one.host || host.endsWith(`.${one.host}`)),
  )
}

/** Formats the exceptions for Node's `fetch`, in which a name includes the names under it, as here. */
export function formatExceptions(exceptions: readonly ProxyException[]): string {
  return exceptions
    .map(({ host, port }) => {
      const name = host.includes(':') ? `[${host}]` : host
      return port === undefined ? name : `${name}:${port}`
    })
    .join(',')
}
