/** A real GridFTP server and client, and one copy up and down between them. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type CredentialFiles,
  type GridServer,
  type GridSite,
  openGridSite,
  startServer,
} from './grid-site.ts'
import { findProgram, runTool } from './grid-tools.ts'

export const gridFtpPackages = ['globus-gridftp-server-progs', 'globus-gass-copy-progs'] as const

/** Copies up and down; answers undefined when the same came back, else what was refused. */
export async function checkGridFtp(credential: CredentialFiles): Promise<string | undefined> {
  const site = await openGridSite(credential)
  const local = await mkdtemp(join(tmpdir(), 'tts-gridftp-'))
  let server: GridServer | undefined
  try {
    server = await startGridFtp(site)
    const content = randomBytes(300_000)
    await writeFile(join(local, 'up'), content)
    const remote = gridFtpUrl(server, join(site.directory, 'data', 'file'))
    const env = { X509_USER_PROXY: credential.proxyPath, X509_CERT_DIR: site.certDir }
    for (const [from, to] of [
      [`file://${join(local, 'up')}`, remote],
      [remote, `file://${join(local, 'down')}`],
    ] as const) {
      const copy = await runTool('globus-url-copy', [from, to], env)
      if (copy.status !== 0) return copy.output || `globus-url-copy exits with ${copy.status}`
    }
    const stored = await readFile(join(site.directory, 'data', 'file'))
    const back = await readFile(join(local, 'down'))
    return stored.equals(content) && back.equals(content) ? undefined : 'other bytes came back'
  } finally {
    await server?.stop()
    await site.close()
    await rm(local, { recursive: true, force: true })
  }
}

/** Starts it on a port of its choice, which it prints. */
export function startGridFtp(site: GridSite): Promise<GridServer> {
  const interfaces = ['-control-interface', '127.0.0.1', '-data-interface', '127.0.0.1']
  return startServer(site, {
    command: [
      findProgram('globus-gridftp-server') ?? '',
      '-s',
      '-p',
      '0',
      ...interfaces,
      '-c',
      '/dev/null',
    ],
    env: {
      X509_CERT_DIR: site.certDir,
      X509_USER_CERT: site.hostCertificate,
      X509_USER_KEY: site.hostKey,
      GRIDMAP: site.gridMap,
    },
    ready: /listening at \S+:\d+/,
  })
}

/** The URL of a file of the server. */
export function gridFtpUrl(server: GridServer, path: string): string {
  const port = /listening at \S+:(\d+)/.exec(server.output())?.[1] ?? ''
  return `gsiftp://localhost:${port}${path}`
}
