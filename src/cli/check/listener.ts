/** The checks of the listeners: TLS files, and whether the addresses can be used. */
import type { X509Certificate } from 'node:crypto'
import { createServer, isIP } from 'node:net'
import { dirname, resolve } from 'node:path'
import { listenError, systemErrorCode } from '../../base/system-error.ts'
import type { LoadedConfiguration } from '../../config/load.ts'
import { readTlsFiles } from '../../http/tls-files.ts'
import { timeLeft } from '../terminal.ts'
import { type Check, failure } from './check.ts'

const DAY_MS = 86_400_000
/** Let's Encrypt renews 30 days before the end. */
const WARN_DAYS = 21

/** Checks TLS files and addresses. An address that is in use is in order: the service may be running. */
export async function listenerChecks(loaded: LoadedConfiguration, now: Date): Promise<Check[]> {
  const { listen, myproxy, voms } = loaded.configuration
  const { host, port, plain } = listen
  const { listen: vomsHost } = voms
  const vomsAddresses =
    vomsHost === undefined
      ? []
      : Object.entries(voms.vos).map(([vo, settings]) => ({
          name: `VOMS server of ${vo}`,
          host: vomsHost,
          port: settings.port,
        }))
  const addresses = [
    { name: 'listener', host, port },
    ...(plain === undefined
      ? []
      : [{ name: 'plain listener', host: plain.host, port: plain.port }]),
    ...vomsAddresses,
    ...(myproxy.listen === undefined
      ? []
      : [{ name: 'MyProxy server', host: myproxy.listen, port: myproxy.port }]),
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

interface Address {
  readonly name: string
  readonly host: string
  readonly port: number
}

async function addressCheck(address: Address): Promise<Check[]> {
  const cause = await bindProblem(address)
  return cause === undefined ? [] : listenChecks(address, cause)
}

/** @param cause why this process could not listen there */
export function listenChecks({ name, host, port }: Address, cause: unknown): Check[] {
  const code = systemErrorCode(cause)
  // In use: probably by the service itself.
  if (code === 'EADDRINUSE') return []
  // systemd gives the capability to the service, not to the user who runs the check.
  if (code === 'EACCES' && port < FIRST_FREE_PORT)
    return [
      {
        check: name,
        state: 'warning',
        detail: `this user may not listen on port ${port}; whether the service may, this check cannot see`,
        remedy: `Give the service the capability for low ports (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE), if it does not have it, or choose a port from ${FIRST_FREE_PORT}.`,
      },
    ]
  const { detail, remedy, state } = failure(name, listenError(`${host} port ${port}`, cause))
  return [
    {
      check: name,
      state,
      detail,
      remedy: remedy ?? 'Check the address and the port in the configuration.',
    },
  ]
}

/** Lower ports need a capability. */
const FIRST_FREE_PORT = 1024

/** Listens for a moment. */
async function bindProblem({ host, port }: Address): Promise<unknown> {
  const server = createServer()
  return new Promise((done) => {
    server.once('error', done)
    server.listen({ host, port }, () => server.close(() => done(undefined)))
  })
}
