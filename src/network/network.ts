/**
 * How this process reaches other hosts: through which HTTP proxy, and which CAs it trusts for TLS. Node keeps both for
 * the whole process (`fetch`, `node:https` and connections to PostgreSQL use them), so `useNetwork` is called once when
 * a program has read its settings. docs/network.md describes the settings.
 */
import http from 'node:http'
import { resolve } from 'node:path'
import tls from 'node:tls'
import { TtsError } from '../base/errors.ts'
import type { Environment } from '../config/settings-tree.ts'
import { formatExceptions, type HttpProxy, readHttpProxy, usesProxy } from './http-proxy.ts'
import { type AuthoritySource, readAuthorities } from './trusted-authorities.ts'

/** The proxy and the sources of trusted CAs. It is plain data, so that it can be sent to a child process. */
export interface Network {
  readonly proxy: HttpProxy | undefined
  readonly authorities: readonly AuthoritySource[]
}

/** What decides about a network. */
export interface NetworkOptions {
  readonly environment: Environment
  /** The section `tls` of a configuration, with absolute paths. */
  readonly tls?: {
    readonly ca_file?: string | undefined
    readonly ca_directory?: string | undefined
  }
  /**
   * Whether to trust the CAs in X509_CERT_DIR. Only for clients of the service: the service itself trusts grid CAs only
   * if its configuration says so, because a CA that can impersonate an identity provider can forge every identity.
   */
  readonly trustGridAuthorities: boolean
  /** Receives warnings, one line each. */
  readonly warn: (line: string) => void
}

let current: Network = { proxy: undefined, authorities: [] }
let nodeAuthorities: string[] | undefined
let restoreDirect: (() => void) | undefined

/** Returns the network that this process uses. */
export const currentNetwork = (): Network => current

/**
 * Reads proxy and CAs from environment and configuration, and uses them in this process from now on.
 *
 * @throws {TtsError} `configuration`
 */
export function useNetwork(options: NetworkOptions): void {
  const { proxy, warnings } = readHttpProxy(options.environment)
  for (const line of warnings) options.warn(line)
  applyNetwork({ proxy, authorities: authoritySources(options) }, options.warn)
}

/**
 * Uses a network in this process.
 *
 * @throws {TtsError} `configuration`
 */
export function applyNetwork(network: Network, warn: (line: string) => void): void {
  const { certificates, warnings } = readAuthorities(network.authorities)
  for (const line of warnings) warn(line)
  applyAuthorities(certificates)
  applyProxy(network.proxy)
  current = network
}

function authoritySources({
  environment,
  tls: settings = {},
  trustGridAuthorities,
}: NetworkOptions): readonly AuthoritySource[] {
  const { ca_file: file, ca_directory: directory } = settings
  const named = (setting: string, kind: AuthoritySource['kind']): readonly AuthoritySource[] => {
    const value = environment[setting] ?? ''
    // OpenSSL reads SSL_CERT_DIR as a list.
    const paths = kind === 'directory' ? value.split(':') : [value]
    return paths
      .filter((path) => path !== '')
      .map((path) => ({ kind, path: resolve(path), setting, required: false }))
  }
  return [
    ...(file === undefined
      ? []
      : [{ kind: 'file' as const, path: file, setting: 'tls.ca_file', required: true }]),
    ...(directory === undefined
      ? []
      : [
          {
            kind: 'directory' as const,
            path: directory,
            setting: 'tls.ca_directory',
            required: true,
          },
        ]),
    ...named('SSL_CERT_FILE', 'file'),
    ...named('SSL_CERT_DIR', 'directory'),
    ...(trustGridAuthorities ? named('X509_CERT_DIR', 'directory') : []),
  ]
}

/** Adds the certificates to those of Node. It costs some 20 ms of CPU, so it is skipped if there are none. */
function applyAuthorities(certificates: readonly string[]): void {
  if (certificates.length === 0 && nodeAuthorities === undefined) return
  if (typeof tls.setDefaultCACertificates !== 'function')
    throw tooOld('additional CA certificates', '24.5')
  nodeAuthorities ??= tls.getCACertificates('default')
  tls.setDefaultCACertificates([...nodeAuthorities, ...certificates])
}

function applyProxy(proxy: HttpProxy | undefined): void {
  restoreDirect?.()
  restoreDirect = undefined
  if (proxy === undefined) return
  if (typeof http.setGlobalProxyFromEnv !== 'function') throw tooOld('HTTPS_PROXY', '24.14')
  restoreDirect = withoutHttpProxy(() =>
    http.setGlobalProxyFromEnv({
      https_proxy: proxy.url,
      no_proxy: formatExceptions(proxy.exceptions),
    }),
  )
}

/** Hides HTTP_PROXY, which `fetch` would otherwise use for plain http: that is only used for this machine. */
function withoutHttpProxy<Result>(work: () => Result): Result {
  const names = ['http_proxy', 'HTTP_PROXY']
  // oxlint-disable-next-line node/no-process-env -- Node reads it there, whatever it is given
  const { env } = process
  const hidden = names.flatMap((name) => {
    const value = env[name]
    return value === undefined ? [] : [[name, value] as const]
  })
  try {
    for (const [name] of hidden) Reflect.deleteProperty(env, name)
    return work()
  } finally {
    Object.assign(env, Object.fromEntries(hidden))
  }
}

const tooOld = (what: string, version: string): TtsError =>
  new TtsError(
    'configuration',
    `${what} cannot be used with Node ${process.versions.node}; Node ${version} or later is needed`,
  )

/** Why a connection through the proxy failed. */
export interface ProxyFailure {
  readonly reason: string
  /** A full sentence. */
  readonly remedy: string
}

/** Codes of failed connections. For a URL that uses the proxy, they are about the connection to the proxy. */
const noConnection: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refuses connections',
  ENOTFOUND: 'does not exist',
  EAI_AGAIN: 'has a name that cannot be resolved at the moment',
  EHOSTUNREACH: 'cannot be reached',
  ENETUNREACH: 'cannot be reached',
  ETIMEDOUT: 'cannot be reached',
  UND_ERR_CONNECT_TIMEOUT: 'cannot be reached',
}

/**
 * Returns why the proxy did not connect to the host of this URL; undefined if the error has another cause. If it
 * returns a failure, nothing was sent to the host.
 */
export function findProxyFailure(url: string | URL, error: unknown): ProxyFailure | undefined {
  const { proxy } = current
  const target = new URL(url)
  if (proxy === undefined || !usesProxy(proxy, target)) return undefined
  const { code, message } = innermost(error)
  const shown = `the proxy ${proxy.shown}`
  const broken = noConnection[code]
  if (broken !== undefined)
    return {
      reason: `${shown} ${broken}`,
      remedy: `Check HTTPS_PROXY and the proxy, or add ${target.hostname} to NO_PROXY to connect without it.`,
    }
  const status = tunnelStatus(code, message)
  if (status === undefined) return undefined
  return {
    reason: `${shown} does not connect to ${target.host} (${status === '' ? 'it closed the connection' : `HTTP ${status}`})`,
    remedy:
      // tinyproxy answers 401 to a wrong password, which RFC 9110 section 15.5.8 answers with 407.
      status === '407' || status === '401'
        ? 'Put the right user and password of the proxy into HTTPS_PROXY (docs/network.md).'
        : `Allow ${target.host} in the proxy, or add ${target.hostname} to NO_PROXY to connect without it.`,
  }
}

/** Returns the status of the answer to CONNECT, or an empty string if the proxy gave no answer. */
function tunnelStatus(code: string, message: string): string | undefined {
  // node:https says "… HTTP/1.1 403 Forbidden", fetch says "Proxy response (403) !== 200 …".
  if (code === 'ERR_PROXY_TUNNEL') return /HTTP\/1\.\d (\d{3})/.exec(message)?.[1] ?? ''
  return code === 'UND_ERR_ABORTED' ? /^Proxy response \((\d{3})\)/.exec(message)?.[1] : undefined
}

function innermost(error: unknown): { readonly code: string; readonly message: string } {
  let found = error
  while (found instanceof Error && found.cause instanceof Error) found = found.cause
  if (!(found instanceof Error)) return { code: '', message: '' }
  const code = 'code' in found && typeof found.code === 'string' ? found.code : found.name
  return { code, message: found.message }
}
