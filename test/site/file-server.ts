/** A web server of files, as plain as the site's host may be. */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join, normalize } from 'node:path'

export interface FileServer {
  readonly url: string
  close(): Promise<void>
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.json': 'application/json',
}

/** Serves the files of a directory on a free port of 127.0.0.1. */
export async function serveFiles(directory: string): Promise<FileServer> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://host')
    // Browsers ask for this by themselves when they show a file that is no page.
    if (pathname === '/favicon.ico') return void response.writeHead(204).end()
    const name = pathname.endsWith('/') ? `${pathname}index.html` : pathname
    readFile(join(directory, normalize(decodeURIComponent(name)))).then(
      (content) =>
        response
          .writeHead(200, { 'content-type': TYPES[extname(name)] ?? 'text/plain; charset=utf-8' })
          .end(content),
      () => response.writeHead(404).end(),
    )
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
