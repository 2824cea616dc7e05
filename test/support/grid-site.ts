/** A grid site for tests: a trust directory with one host CA more, a host certificate, and a user for the servers. */
import { type ChildProcess, spawn } from 'node:child_process'
import { chown, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { sequence, implicitPrimitive, oid } from '../../ca/asn1.ts'
import { withCommonName } from '../../ca/name.ts'
import { parseSlashDn } from '../../ca/name-text.ts'
import { toPem } from '../../ca/pem.ts'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import { describeProxy } from '../../ca/proxy-info.ts'
import { trustAnchorFiles } from '../../ca/trust-anchors.ts'
import { writeTrustAnchorDirectory } from '../../src/files/trust-anchor-directory.ts'
import { buildChain } from './certificate-builder.ts'
import { anyExtension } from './extensions.ts'

/** What all checks of a credential take. */
export interface CredentialFiles {
  readonly proxyPath: string
  readonly trustAnchorDir: string
  /** Slash-DN of the person; read from the proxy file when undefined. */
  readonly identity?: string
  /** The attribute authorities that the site trusts. */
  readonly vomsDir?: string
}

export interface GridSite {
  /** Where servers keep their files; theirs. */
  readonly directory: string
  /** The credential's trust anchors and the host CA's. */
  readonly certDir: string
  /** Empty unless the credential has one. */
  readonly vomsDir: string
  readonly hostCertificate: string
  readonly hostKey: string
  /** Maps the proxy's person to `user`. */
  readonly gridMap: string
  /** Who servers run as: never root, which they refuse. */
  readonly user: { readonly name: string; readonly uid: number; readonly gid: number }
  close(): Promise<void>
}

const hostBase = parseSlashDn('/O=TTS test hosts')

/** Prepares a site that trusts the credential's CA and knows its person. */
export async function openGridSite(credential: CredentialFiles): Promise<GridSite> {
  const { trustAnchorDir } = credential
  const directory = await mkdtemp(join(tmpdir(), 'tts-site-'))
  const path = (name: string): string => join(directory, name)
  const user = serverUser()
  await cp(trustAnchorDir, path('certificates'), { recursive: true, verbatimSymlinks: true })
  await (credential.vomsDir === undefined
    ? mkdir(path('vomsdir'))
    : cp(credential.vomsDir, path('vomsdir'), { recursive: true }))
  const host = await hostCredential()
  await writeTrustAnchorDirectory(path('certificates'), host.anchors)
  await writeFile(path('hostcert.pem'), host.certificate, { mode: 0o644 })
  await writeFile(path('hostkey.pem'), host.key, { mode: 0o400 })
  const identity = credential.identity ?? (await identityOf(credential.proxyPath))
  await writeFile(path('grid-mapfile'), `"${identity}" ${user.name}\n`)
  await mkdir(path('data'))
  for (const name of ['', 'hostcert.pem', 'hostkey.pem', 'data', 'grid-mapfile'])
    await chown(path(name), user.uid, user.gid)
  return {
    directory,
    certDir: path('certificates'),
    vomsDir: path('vomsdir'),
    hostCertificate: path('hostcert.pem'),
    hostKey: path('hostkey.pem'),
    gridMap: path('grid-mapfile'),
    user,
    close: () => rm(directory, { recursive: true, force: true }),
  }
}

async function identityOf(path: string): Promise<string> {
  const { certificates } = parseProxyFile(await readFile(path, 'utf8'))
  return describeProxy({ certificates }, { now: new Date(), path }).identity
}

/** Who servers run as: they refuse root. */
export function serverUser(): GridSite['user'] {
  const { username, uid, gid } = userInfo()
  return uid === 0 ? { name: 'nobody', uid: 65_534, gid: 65_534 } : { name: username, uid, gid }
}

async function hostCredential() {
  const dnsName = sequence(implicitPrimitive(2, Buffer.from('localhost')))
  const purposes = sequence(oid('1.3.6.1.5.5.7.3.1'), oid('1.3.6.1.5.5.7.3.2'))
  const chain = await buildChain({
    now: new Date(),
    authority: { subject: withCommonName(hostBase, 'Host CA') },
    endEntity: {
      subject: withCommonName(hostBase, 'localhost'),
      extensions: {
        subjectAltName: anyExtension('2.5.29.17', dnsName),
        extKeyUsage: anyExtension('2.5.29.37', purposes),
      },
    },
    proxies: [],
  })
  const { certificate, privateKey } = chain.endEntity
  return {
    certificate: toPem('CERTIFICATE', certificate.der),
    key: toPem('PRIVATE KEY', privateKey.export({ type: 'pkcs8', format: 'der' })),
    anchors: trustAnchorFiles({
      certificates: [chain.authority.certificate],
      crls: [],
      alias: 'test-hosts',
      crlUrl: undefined,
      userNamespace: hostBase,
    }),
  }
}

/** A port that was free a moment ago, for servers that cannot be asked to choose one. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

export interface GridServer {
  /** All that it said until now. */
  output(): string
  stop(): Promise<void>
}

/** Starts a server as the site's user and waits until it says that it is ready. */
export async function startServer(
  site: Pick<GridSite, 'directory' | 'user'>,
  request: {
    readonly command: readonly [string, ...string[]]
    readonly env: Readonly<Record<string, string>>
    readonly ready: RegExp
  },
): Promise<GridServer> {
  const [program, ...args] = request.command
  const child = spawn(program, args, {
    cwd: join(site.directory, 'data'),
    env: {
      PATH: '/usr/bin:/bin:/usr/sbin:/sbin',
      HOME: site.directory,
      LC_ALL: 'C',
      ...request.env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own: GridFTP starts a process for each connection, and all must end.
    detached: true,
    ...(process.getuid?.() === 0 ? { uid: site.user.uid, gid: site.user.gid } : {}),
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const server = { output: () => output, stop: () => stopGroup(child) }
  const deadline = Date.now() + 15_000
  while (!request.ready.test(output)) {
    if (child.exitCode !== null || Date.now() > deadline) {
      await server.stop()
      throw new Error(`${program} did not start: ${output.slice(-2000)}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return server
}

async function stopGroup(child: ChildProcess): Promise<void> {
  const ended =
    child.exitCode === null && child.signalCode === null
      ? new Promise((resolve) => child.once('exit', resolve))
      : undefined
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  } catch {
    // The group has ended already.
  }
  await ended
}
