/** A service with a MyProxy server, and a client that sends bytes as they are. */
import { once } from 'node:events'
import { connect, type TLSSocket } from 'node:tls'
import { freePort } from './free-port.ts'
import { startTestService, type TestService, type TestServiceOptions } from './service.ts'

export interface MyProxyService extends TestService {
  readonly port: number
}

/** Everybody may use the services. */
export async function startMyProxyService(
  options: Omit<TestServiceOptions, 'configuration'> & {
    readonly configuration?: Record<string, Record<string, unknown>>
  } = {},
): Promise<MyProxyService> {
  const port = await freePort()
  const { configuration = {}, ...more } = options
  const allow = [{ provider: 'iam', claims: { sub: { any: true } } }]
  const service = await startTestService({
    ...more,
    configuration: {
      voms: { host: 'localhost' },
      services: { proxy: { authz: { allow } }, x509: { authz: { allow } } },
      ...configuration,
      myproxy: { listen: '127.0.0.1', port, ...configuration['myproxy'] },
    },
  })
  return { ...service, port }
}

/** One connection. */
export interface MyProxyClient {
  readonly socket: TLSSocket
  send(bytes: string | Buffer): void
  /** All that has come, once there is so much or the server has ended the connection. */
  received(isEnough: (bytes: Buffer) => boolean): Promise<Buffer>
  /** All that came until the server ended the connection. */
  all(): Promise<Buffer>
}

export async function connectMyProxy(
  port: number,
  options: { readonly cert?: string; readonly key?: string } = {},
): Promise<MyProxyClient> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options })
  let bytes = Buffer.alloc(0)
  socket.on('data', (piece: Buffer) => {
    bytes = Buffer.concat([bytes, piece])
    socket.emit('more')
  })
  socket.on('error', () => undefined)
  const closed = once(socket, 'close')
  await once(socket, 'secureConnect')
  return {
    socket,
    send: (sent) => void socket.write(sent),
    async received(isEnough) {
      while (!isEnough(bytes) && !socket.readableEnded && !socket.destroyed)
        await Promise.race([once(socket, 'more'), once(socket, 'end'), closed])
      return bytes
    },
    async all() {
      await closed
      return bytes
    },
  }
}

/** A request as MyProxy's own clients write it, without the flag before it. */
export function myproxyRequest(
  passphrase: string,
  fields: Readonly<Record<string, string>> = {},
): string {
  const all = {
    VERSION: 'MYPROXYv2',
    COMMAND: '0',
    USERNAME: 'me',
    PASSPHRASE: passphrase,
    LIFETIME: '43200',
    ...fields,
  }
  return `${Object.entries(all)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')}\0`
}

export const OK = 'VERSION=MYPROXYv2\nRESPONSE=0\n\0'

/** The response for an error. */
export const refusal = (...lines: readonly string[]): string =>
  `VERSION=MYPROXYv2\nRESPONSE=1\n${lines.map((line) => `ERROR=${line}\n`).join('')}\0`
