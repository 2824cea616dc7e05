/** A TLS server with a public name before a plain one, which does not know that name: its answers are rewritten. */
import { createServer } from 'node:https'
import { request } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface TlsFront {
  readonly port: number
  stop(): Promise<void>
}

export interface TlsFrontOptions {
  readonly key: Buffer
  readonly cert: Buffer
  /** Origin of the plain server, `http://127.0.0.1:PORT`. */
  readonly target: string
  /** Its public origin, `https://NAME`. */
  readonly origin: string
}

export async function startTlsFront(options: TlsFrontOptions): Promise<TlsFront> {
  const { key, cert, target, origin } = options
  const server = createServer({ key, cert }, (incoming, outgoing) => {
    const headers = { ...incoming.headers, host: new URL(target).host }
    const { method } = incoming
    const onward = request(new URL(incoming.url ?? '/', target), { method, headers }, (answer) => {
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => chunks.push(chunk))
      answer.on('end', () => {
        const body = Buffer.concat(chunks).toString().replaceAll(target, origin)
        const { 'content-length': _, 'transfer-encoding': __, ...kept } = answer.headers
        outgoing.writeHead(answer.statusCode ?? 502, kept).end(body)
      })
    })
    onward.on('error', () => outgoing.destroy())
    incoming.pipe(onward)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
