/** Converts the settings of the server itself: listener, name and certificate. */
import { isAbsolute } from 'node:path'
import type { Tree } from '../config/settings-tree.ts'
import type { Reading } from './reading.ts'

/** The converted settings of the server. */
export interface ImportedServer {
  readonly listen: Tree
  readonly log: Tree | undefined
  readonly publicUrl: string
}

const anyPort = { least: 1, most: 65_535 }
/** The defaults of WaTTS. */
const defaults = {
  hostname: 'localhost',
  port: 8080,
  certificate: '/etc/watts/watts.crt',
  key: '/etc/watts/watts.key',
}

/** Converts the settings of the server. */
export function importServer(reading: Reading): ImportedServer {
  const tls = reading.boolean('ssl', 'listen.public_url') ?? true
  const ipv6 = reading.boolean('enable_ipv6', 'listen.host') ?? false
  const hostname = reading.text('hostname', 'listen.public_url') ?? defaults.hostname
  const port = importPort(reading, tls)
  const listenPort = importListenPort(reading) ?? port
  const publicUrl = publicUrlOf({ tls, hostname, port, path: importPath(reading) })
  // Without TLS, WaTTS listened only on loopback and for Tor; so does this service.
  const everywhere = ipv6 ? '::' : '0.0.0.0'
  const listen: Tree = {
    host: tls ? everywhere : '127.0.0.1',
    port: listenPort,
    public_url: publicUrl,
    ...importCertificate(reading, tls),
  }
  const name = reading.find('hostname')
  if (name !== undefined && !tls && hostname !== 'localhost' && !hostname.endsWith('.onion'))
    reading.problem(
      name,
      'without ssl, WaTTS accepted only localhost and .onion; configure TLS or a reverse proxy in listen',
    )
  const debug = reading.boolean('debug_mode', 'log.level') ?? false
  return { listen, log: debug ? { level: 'debug' } : undefined, publicUrl }
}

function importPort(reading: Reading, tls: boolean): number {
  const setting = reading.find('port')
  if (setting?.value === 'default') {
    reading.carried(setting, 'listen.public_url')
    return tls ? 443 : 80
  }
  return reading.integer('port', 'listen.public_url', anyPort) ?? defaults.port
}

function importListenPort(reading: Reading): number | undefined {
  const setting = reading.find('listen_port')
  if (setting?.value !== 'port') return reading.integer('listen_port', 'listen.port', anyPort)
  reading.carried(setting, 'listen.port')
  return undefined
}

function importPath(reading: Reading): string {
  const path = reading.text('main_path', 'listen.public_url') ?? '/'
  const setting = reading.find('main_path')
  if (setting === undefined || path === '/') return ''
  reading.changed(
    setting,
    'listen.public_url',
    'the service answers only at /: let a reverse proxy remove this path, and add the proxy to listen.trusted_proxies',
  )
  return `/${path.replace(/^\/+/, '').replace(/\/+$/, '')}`
}

interface Address {
  readonly tls: boolean
  readonly hostname: string
  readonly port: number
  readonly path: string
}

function publicUrlOf({ tls, hostname, port, path }: Address): string {
  const shown = port === (tls ? 443 : 80) ? '' : `:${port}`
  return `${tls ? 'https' : 'http'}://${hostname}${shown}${path}`
}

function importCertificate(reading: Reading, tls: boolean): Tree {
  const certificate = reading.text('cert_file', 'listen.tls_certificate_file')
  const key = reading.text('key_file', 'listen.tls_key_file')
  for (const name of ['cert_file', 'key_file']) {
    const setting = reading.find(name)
    if (setting === undefined) continue
    if (!tls) reading.dropped(setting, 'not used by WaTTS, because ssl is false')
    else if (!isAbsolute(setting.value))
      reading.changed(
        setting,
        `listen.tls_${name === 'key_file' ? 'key' : 'certificate'}_file`,
        'this path is relative: write an absolute one',
      )
  }
  const chain = reading.find('cachain_file')
  if (!tls) return {}
  if (chain !== undefined)
    reading.problem(
      chain,
      'certificate and chain must be in one file: combine them (cat CERT_FILE CACHAIN_FILE), and set listen.tls_certificate_file to it',
    )
  if (certificate === undefined || key === undefined)
    reading.remark(
      'changed',
      'cert_file, key_file',
      `not both are set, so WaTTS used the defaults ${defaults.certificate} and ${defaults.key}; check that the files exist`,
    )
  return {
    tls_certificate_file: certificate ?? defaults.certificate,
    tls_key_file: key ?? defaults.key,
  }
}
