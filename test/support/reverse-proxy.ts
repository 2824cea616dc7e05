/** A reverse proxy on loopback as sites put one before the service: it takes a path off and passes on the rest. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface ReverseProxy {
  readonly port: number
  /** Where it passes requests on to. */
  forwardTo(url: string): void
  stop(): Promise<void>
}

export interface ReverseProxyOptions {
  /** Path that it takes off; what is not under it is 404. Default none. */
  readonly path?: string
  /** The name in its certificate, for https. Default: plain http. */
  readonly tlsName?: string
}

/** Starts one; end it with `stop`. */
export async function startReverseProxy(options: ReverseProxyOptions = {}): Promise<ReverseProxy> {
  const { path = '', tlsName } = options
  let target = ''
  const pass = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const asked = incoming.url ?? '/'
    const rest = asked.slice(path.length)
    if (!asked.startsWith(path) || !/^[/?]/.test(rest)) {
      outgoing.writeHead(404).end('elsewhere')
      return
    }
    const { method, headers } = incoming
    const onward = request(new URL(rest, target), { method, headers, agent: false }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.rawHeaders)
      answer.pipe(outgoing)
    })
    onward.on('error', () => outgoing.destroy())
    incoming.pipe(onward)
  }
  const server =
    tlsName === undefined ? createServer(pass) : createTlsServer(makeCertificate(tlsName), pass)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    forwardTo: (url) => {
      target = url
    },
    stop: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function makeCertificate(name: string): { readonly key: Buffer; readonly cert: Buffer } {
  const directory = mkdtempSync(join(tmpdir(), 'tts-proxy-'))
  try {
    const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')]
    const kind = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2'.split(' ')
    const names = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`]
    const args = ['req', '-x509', ...kind, ...names, '-keyout', key, '-out', cert]
    execFileSync('openssl', args, { stdio: 'pipe' })
    return { key: readFileSync(key), cert: readFileSync(cert) }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
