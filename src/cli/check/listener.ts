/** The checks of the listeners: TLS files, and whether the addresses can be used. */
import type { X509Certificate } from 'node:crypto'
import { createServer, isIP } from 'node:net'
import { dirname, resolve } from 'node:path'
import type { LoadedConfiguration } from '../../config/load.ts'
import { readTlsFiles } from '../../http/tls-files.ts'
import { timeLeft } from '../terminal.ts'
import { type Check, failure } from './check.ts'

const DAY_MS = 86_400_000
/** Let's Encrypt renews 30 days before the end. */
const WARN_DAYS = 21

/** Checks TLS files and addresses. An address that is in use is in order: the service may be running. */
export async function listenerChecks(loaded: LoadedConfiguration, now: Date): Promise<Check[]> {
  const { host, port, plain } = loaded.configuration.listen
  const addresses = [
    { name: 'listener', host, port },
    ...(plain === undefined
      ? []
      : [{ name: 'plain listener', host: plain.host, port: plain.port }]),
  ]
  const checks = await Promise.all(addresses.map(addressCheck))
  return [...tlsChecks(loaded, now), ...checks.flat()]
}

function tlsChecks({ configuration, path }: LoadedConfiguration, now: Date): Check[] {
  const {
    tls_certificate_file: certificateFile,
    tls_key_file: keyFile,
    public_url: publicUrl,
  } = configuration.listen
  if (certificateFile === undefined || keyFile === undefined) return []
  const base = path === undefined ? '.' : dirname(path)
  const check = 'tls'
  try {
    const files = {
      certificateFile: resolve(base, certificateFile),
      keyFile: resolve(base, keyFile),
    }
    const { certificate } = readTlsFiles(files)
    return [validityCheck(certificate, now), ...hostChecks(certificate, publicUrl)]
  } catch (error) {
    return [failure(check, error)]
  }
}

function validityCheck(
  { validFromDate: from, validToDate: until }: X509Certificate,
  now: Date,
): Check {
  const remedy = 'Renew the TLS certificate; the service reads the new files within ten seconds.'
  const check = 'tls'
  if (now < from)
    return {
      check,
      state: 'failed',
      detail: `the certificate is not valid before ${from.toISOString()}`,
      remedy: 'Check the clock of this machine.',
    }
  const left = until.getTime() - now.getTime()
  if (left <= 0)
    return {
      check,
      state: 'failed',
      detail: `the certificate expired on ${until.toISOString()}`,
      remedy,
    }
  const state = left < WARN_DAYS * DAY_MS ? 'warning' : 'ok'
  return { check, state, detail: `certificate and key fit, ${timeLeft(until, now)}`, remedy }
}

function hostChecks(certificate: X509Certificate, publicUrl: string | undefined): Check[] {
  if (!publicUrl?.startsWith('https:')) return []
  const { hostname } = new URL(publicUrl)
  const name = hostname.replace(/^\[|\]$/g, '')
  const isFor = isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name)
  if (isFor !== undefined) return []
  return [
    {
      check: 'tls host',
      state: 'warning',
      detail: `the certificate is not for ${hostname}, the host of listen.public_url`,
      remedy: `Get a certificate for ${hostname}, unless a reverse proxy in front has one.`,
    },
  ]
}

async function addressCheck(address: {
  readonly name: string
  readonly host: string
  readonly port: number
}): Promise<Check[]> {
  const { name, host, port } = address
  const code = await bindProblem(host, port)
  const problems: Readonly<Record<string, readonly [string, string]>> = {
    EACCES: [
      `this user must not listen on port ${port}`,
      'Use a port of 1024 or above, or give the service CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities).',
    ],
    EADDRNOTAVAIL: [
      `this machine does not have the address ${host}`,
      'Set listen.host to an address of this machine.',
    ],
    ENOTFOUND: [
      `the host name ${host} does not exist`,
      'Set listen.host to an address of this machine.',
    ],
  }
  // In use: probably by the service itself.
  if (code === undefined || code === 'EADDRINUSE') return []
  const [detail, remedy] = problems[code] ?? [
    `cannot listen on ${host} port ${port}: ${code}`,
    'Check listen.host and listen.port.',
  ]
  return [{ check: name, state: 'failed', detail, remedy }]
}

/** Listens for a moment. */
async function bindProblem(host: string, port: number): Promise<string | undefined> {
  const server = createServer()
  return new Promise((done) => {
    server.once('error', ({ code = 'unknown error' }: NodeJS.ErrnoException) => done(code))
    server.listen({ host, port }, () => server.close(() => done(undefined)))
  })
}
