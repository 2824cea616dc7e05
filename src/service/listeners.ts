/** The listeners of the service: HTTP(S), plain HTTP for public paths, a VOMS server for each VO, and MyProxy. */
import { join, resolve } from 'node:path'
import { problemsUrl } from '../api/error-codes.ts'
import { listenMyProxy, type MyProxyListening } from '../api/myproxy/listen.ts'
import { legacyProtocol, unknownProtocolAnswer } from '../api/voms/legacy.ts'
import type { LoadedConfiguration } from '../config/load.ts'
import type { Log } from '../base/log.ts'
import type { ConnectionLimits } from '../http/connections.ts'
import { listen, type Listening, type ListenOptions } from '../http/server.ts'
import { trustedProxies } from '../http/trusted-proxies.ts'
import { addressKey } from '../limits/address-key.ts'
import { createSampler } from '../limits/sampler.ts'
import { partOf } from '../limits/shares.ts'
import type { RequestListener } from 'node:http'
import type { Instance } from './instance.ts'
import type { Metrics } from './metrics.ts'

export interface Listeners {
  readonly url: string
  readonly plainUrl: string | undefined
  readonly use: (instance: Instance) => void
  readonly tlsEnd: () => Date | undefined
  close(timeoutMs: number): Promise<void>
}

export interface Observers {
  readonly log: Log
  readonly metrics: Metrics
  readonly current: () => Instance
}

export async function openListeners(
  loaded: LoadedConfiguration,
  observers: Observers,
): Promise<Listeners> {
  const first = observers.current()
  const listening = await listen(first.app, {
    ...listenOptions(loaded, observers.log),
    ...connectionOptions(loaded, observers),
  })
  const open: Pick<Listening, 'close'>[] = [listening]
  try {
    const plain = await listenPlain(first.publicApp, loaded, observers)
    if (plain !== undefined) open.push(plain)
    const voms = new Map<string, Listening>()
    for (const vo of vomsServers(loaded)) {
      const server = await listenVoms(vo, loaded, observers)
      open.push(server)
      voms.set(vo, server)
    }
    const myproxy = await openMyProxy(loaded, observers)
    if (myproxy !== undefined) open.push(myproxy)
    return {
      url: listening.url,
      plainUrl: plain?.url,
      tlsEnd: () => listening.tlsEnd,
      use({ app, publicApp, vomsApp }) {
        listening.use(app)
        plain?.use(publicApp)
        for (const [vo, server] of voms) server.use(vomsApp(vo))
      },
      async close(timeoutMs) {
        await Promise.all(open.map((one) => one.close(timeoutMs)))
      },
    }
  } catch (error) {
    // If a listener fails, those before it must not stay open.
    await Promise.all(open.map((one) => one.close(0)))
    throw error
  }
}

/** The VOs whose VOMS servers listen. */
function vomsServers({ configuration: { voms } }: LoadedConfiguration): readonly string[] {
  return voms.listen === undefined ? [] : Object.keys(voms.vos)
}

/** Starts the VOMS server of one VO. */
async function listenVoms(
  vo: string,
  loaded: LoadedConfiguration,
  observers: Observers,
): Promise<Listening> {
  const { current, log } = observers
  const { voms, limits } = loaded.configuration
  return listen(current().vomsApp(vo), {
    ...connectionOptions(loaded, observers),
    host: voms.listen ?? '',
    port: voms.vos[vo]?.port ?? 0,
    tls: { current: async () => current().service.voms.tls.current() },
    askClientCertificate: true,
    forGsiClients: legacyProtocol,
    malformedAnswer: unknownProtocolAnswer,
    requestTimeoutMs: limits.request_timeout_seconds * 1000,
    log,
  })
}

/** Starts the MyProxy server. */
async function openMyProxy(
  loaded: LoadedConfiguration,
  observers: Observers,
): Promise<MyProxyListening | undefined> {
  const { current, log } = observers
  const { myproxy, limits } = loaded.configuration
  if (myproxy.listen === undefined) return undefined
  return listenMyProxy({
    connections: connectionOptions(loaded, observers).connections,
    host: myproxy.listen,
    port: myproxy.port,
    tls: { current: async () => current().service.voms.tlsWithRoot.current() },
    app: () => current().myproxyApp,
    maxRequestBytes: limits.token_bytes + OTHER_FIELDS_BYTES,
    log,
  })
}

/** Names the settings of the listeners that a reload cannot change. */
export function warnAboutListener(
  before: LoadedConfiguration,
  after: LoadedConfiguration,
  log: Log,
): void {
  const settingsOf = ({
    configuration: {
      listen: settings,
      limits,
      delegations,
      voms,
      myproxy,
      access_tokens: accessTokens,
    },
  }: LoadedConfiguration) => ({
    'listen.host': settings.host,
    'listen.port': settings.port,
    'listen.plain': settings.plain,
    'listen.tls_certificate_file': settings.tls_certificate_file,
    'listen.tls_key_file': settings.tls_key_file,
    'listen.trusted_proxies': settings.trusted_proxies,
    'voms.listen': voms.listen,
    'voms.host': voms.host,
    'voms.vos (names and ports)': Object.entries(voms.vos).map(([vo, { port }]) => [vo, port]),
    'myproxy.listen': myproxy.listen,
    'myproxy.port': myproxy.port,
    'limits.connections': limits.connections,
    'limits.token_bytes': limits.token_bytes,
    'limits.address_share': limits.address_share,
    'limits.request_timeout_seconds': limits.request_timeout_seconds,
    'delegations.renewal_by_possession.enabled': delegations.renewal_by_possession.enabled,
    'access_tokens.enabled': accessTokens.enabled,
  })
  const now: Readonly<Record<string, unknown>> = settingsOf(after)
  const changed = Object.entries(settingsOf(before))
    .filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(now[name]))
    .map(([name]) => name)
  if (changed.length === 0) return
  log.warn(
    { event: 'service.restart-needed', settings: changed },
    'these settings of the listener take effect at the next restart',
  )
}

/** Starts the second listener: plain HTTP, for public paths only. */
async function listenPlain(
  app: RequestListener,
  loaded: LoadedConfiguration,
  observers: Observers,
): Promise<Listening | undefined> {
  const { configuration } = loaded
  const { plain } = configuration.listen
  if (plain === undefined) return undefined
  const requestTimeoutMs = configuration.limits.request_timeout_seconds * 1000
  return listen(app, {
    ...plain,
    ...connectionOptions(loaded, observers),
    tls: undefined,
    requestTimeoutMs,
    log: observers.log,
  })
}

const OTHER_HEADERS_BYTES = 16 * 1024
/** Of a MyProxy request, besides its passphrase. */
const OTHER_FIELDS_BYTES = 4 * 1024

/** Returns the limits that apply before a request is parsed. */
function connectionOptions(
  { configuration }: LoadedConfiguration,
  { log, metrics }: Observers,
): Pick<ListenOptions, 'onMalformed' | 'problemsUrl' | 'maxHeaderBytes'> & {
  readonly connections: ConnectionLimits
} {
  const { listen, limits } = configuration
  const isSample = createSampler({ perMinute: 1, nowMs: () => performance.now() })
  return {
    connections: {
      total: limits.connections,
      perAddress: partOf(limits.connections, limits.address_share),
      isTrustedProxy: trustedProxies(listen.trusted_proxies),
      onClosed: (reason) => metrics.connectionClosed(reason),
    },
    problemsUrl: problemsUrl(listen.public_url),
    maxHeaderBytes: limits.token_bytes + OTHER_HEADERS_BYTES,
    onMalformed: (code, address) => {
      metrics.refused('invalid_request', 'http')
      const sample = isSample(`${addressKey(address)} ${code}`)
      if (sample === undefined) return
      const fields = { event: 'http.malformed', code, address, ...sample }
      log.info(fields, 'received a message that is not valid HTTP')
    },
  }
}

function listenOptions({ configuration, path }: LoadedConfiguration, log: Log) {
  const { host, port, tls_certificate_file: certificate, tls_key_file: key } = configuration.listen
  const base = path === undefined ? '.' : join(path, '..')
  const tls =
    certificate === undefined || key === undefined
      ? undefined
      : { certificateFile: resolve(base, certificate), keyFile: resolve(base, key) }
  return {
    host,
    port,
    tls,
    askClientCertificate:
      configuration.delegations.renewal_by_possession.enabled ||
      configuration.access_tokens.enabled,
    requestTimeoutMs: configuration.limits.request_timeout_seconds * 1000,
    log,
  }
}
