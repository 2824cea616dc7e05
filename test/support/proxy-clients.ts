/** An HTTPS server for clients that present a proxy: it verifies their chains and tells who they are. */
import { constants } from 'node:crypto'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { TLSSocket } from 'node:tls'
import { type Certificate, readCertificate } from '../../ca/certificate.ts'
import { validateChain } from '../../ca/chain.ts'
import { formatSlashDn } from '../../ca/name-text.ts'
import { readPem } from '../../ca/pem.ts'
import type { GridSite } from './grid-site.ts'

/** A client whose chain is valid. */
export interface ProxyClient {
  /** Slash-DN of the person. */
  readonly dn: string
  /** What it presented. */
  readonly proxy: Certificate
}

export interface Answer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string
}

export interface ProxyClientServer {
  readonly url: string
  stop(): Promise<void>
}

/**
 * Starts it with the site's host certificate, for clients of its trust directory. Others are answered 403.
 *
 * @param handle what it throws is answered 500
 */
export async function startProxyClientServer(
  site: GridSite,
  handle: (request: IncomingMessage, client: ProxyClient) => Promise<Answer>,
): Promise<ProxyClientServer> {
  const anchors = await readAnchors(site.certDir)
  const answer = async (request: IncomingMessage): Promise<Answer> => {
    const certificates = presented(request)
    const now = new Date()
    const { ok, identity, problems } = validateChain({
      certificates,
      anchors,
      now,
      allowProxies: true,
    })
    const [proxy] = certificates
    if (!ok || identity === undefined || proxy === undefined)
      return { status: 403, body: problems.map(({ message }) => message).join('; ') }
    return handle(request, { dn: formatSlashDn(identity), proxy })
  }
  const server = createServer(
    {
      cert: await readFile(site.hostCertificate),
      key: await readFile(site.hostKey),
      requestCert: true,
      // OpenSSL inside Node does not know proxies, so `answer` verifies the chain.
      rejectUnauthorized: false,
      // A resumed session has the first certificate only.
      secureOptions: constants.SSL_OP_NO_TICKET,
    },
    (request, response) => void respond(response, answer(request)),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}`,
    stop: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

async function respond(response: ServerResponse, answer: Promise<Answer>): Promise<void> {
  const failed = (error: unknown): Answer => ({ status: 500, body: String(error) })
  const { status, headers, body } = await answer.catch(failed)
  response.writeHead(status, { connection: 'close', ...headers }).end(body)
}

async function readAnchors(directory: string): Promise<readonly Certificate[]> {
  const names = await readdir(directory)
  const texts = names
    .filter((name) => /^[0-9a-f]{8}\.\d$/.test(name))
    .map((name) => readFile(join(directory, name), 'utf8'))
  return (await Promise.all(texts)).flatMap(certificatesOf)
}

export const certificatesOf = (text: string): readonly Certificate[] =>
  readPem(text, 'certificates').map(({ der }) => readCertificate(der))

/** The client's chain as it came in the handshake, leaf first. */
function presented({ socket }: IncomingMessage): readonly Certificate[] {
  const chain: Certificate[] = []
  let next = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined
  while (next !== undefined && chain.length < 10) {
    chain.push(readCertificate(next.raw))
    next = next.issuerCertificate
  }
  return chain
}

/** The body of a request as text. */
export async function bodyOf(request: IncomingMessage): Promise<string> {
  return Buffer.concat((await request.toArray()) as Buffer[]).toString()
}
