/** Sends one request before thousands follow, so that a mistake is shown with its answer. */
import { once } from 'node:events'
import { connect as connectPlain, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

const TIMEOUT_MS = 30_000

/** @throws Error with the start of the answer when it has another status */
export async function probe(url: string, request: Buffer, expectedStatus: number): Promise<void> {
  const socket = open(new URL(url))
  socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error(`no answer from ${url}`)))
  try {
    socket.write(request)
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    const answer = chunk.toString('latin1')
    if (answer.startsWith(`HTTP/1.1 ${expectedStatus} `)) return
    throw new Error(`${url} answered:\n${answer.slice(0, 2000)}`)
  } finally {
    socket.destroy()
  }
}

function open({ protocol, hostname: host, port }: URL): Socket {
  const place = { host, port: Number(port) }
  // A peer on loopback, with a CA of this run.
  return protocol === 'https:'
    ? connectTls({ ...place, rejectUnauthorized: false })
    : connectPlain(place)
}
