/** An HTTP proxy on loopback that knows only CONNECT, as sites put one between their hosts and the Internet. */
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'

export interface ConnectProxy {
  readonly port: number
  /** The targets that were asked for, as `host:port`. */
  readonly targets: string[]
  stop(): Promise<void>
}

export interface ConnectProxyOptions {
  /** Ports on 127.0.0.1 by target. Every other target is refused with 403. */
  readonly ports: Readonly<Record<string, number>>
  /** `user:password` that is required. Default: none. */
  readonly credentials?: string
}

/** Starts a proxy; end it with `stop`. */
export async function startConnectProxy(options: ConnectProxyOptions): Promise<ConnectProxy> {
  const { ports, credentials } = options
  const targets: string[] = []
  const sockets = new Set<Socket>()
  const expected = credentials && `Basic ${Buffer.from(credentials).toString('base64')}`
  const server = createServer((_request, response) => response.writeHead(405).end())
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket))
  })
  server.on('connect', (request, client: Socket) => {
    const target = request.url ?? ''
    targets.push(target)
    const refuse = (status: string): void =>
      void client.end(`HTTP/1.1 ${status}\r\ncontent-length: 0\r\n\r\n`)
    if (expected !== undefined && request.headers['proxy-authorization'] !== expected)
      return refuse('407 Proxy Authentication Required')
    const port = ports[target]
    if (port === undefined) return refuse('403 Forbidden')
    const onward = connect(port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      onward.pipe(client).pipe(onward)
    })
    onward.on('error', () => client.destroy())
    client.on('close', () => onward.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    targets,
    stop: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
