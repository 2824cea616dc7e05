/** A storage that lets in by access tokens only: a real XRootD server with the SciTokens plugin. */
import { execFileSync } from 'node:child_process'
import { chown, copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, type GridServer, serverUser, startServer } from './grid-site.ts'
import { findProgram, runTool, type ToolRun } from './grid-tools.ts'

export const tokenStoragePackages = [
  'bubblewrap',
  'ca-certificates',
  'scitokens-cpp',
  'xrootd-server',
  'xrootd-client',
  'xrootd-scitokens-plugins',
] as const

/** Where libcurl of Debian has its trusted CAs; the environment cannot name others. */
const SYSTEM_BUNDLE = '/etc/ssl/certs/ca-certificates.crt'

/** Returns a command that sees another file of trusted CAs than the rest of the machine. */
export function trustingOnly(
  bundle: string,
  command: readonly [string, ...string[]],
): [string, ...string[]] {
  const places = ['--dev-bind', '/', '/', '--ro-bind', bundle, SYSTEM_BUNDLE]
  return [findProgram('bwrap') ?? 'bwrap', ...places, '--', ...command]
}

/** Whether this machine lets such a command run for the servers' user. */
export function mayTrustOthers(): boolean {
  if (findProgram('bwrap') === undefined) return false
  const [program, ...words] = trustingOnly('/dev/null', ['true'])
  const { uid, gid } = serverUser()
  const account = process.getuid?.() === 0 ? { uid, gid } : {}
  try {
    execFileSync(program, words, { stdio: 'ignore', cwd: '/', ...account })
    return true
  } catch {
    return false
  }
}

export interface TokenStorage {
  /** Reads the file `/cms/file` with a token, or without. */
  read(token: string | undefined): Promise<ToolRun>
  readonly content: string
  output(): string
  close(): Promise<void>
}

/**
 * Starts a storage that trusts one issuer for everything under /.
 *
 * @param trust.bundle PEM file of the CA of the issuer's web server
 */
export async function startTokenStorage(trust: {
  readonly issuer: string
  readonly audience: string
  readonly bundle: string
}): Promise<TokenStorage> {
  const user = serverUser()
  const directory = await mkdtemp(join(tmpdir(), 'tts-token-storage-'))
  const path = (name: string): string => join(directory, name)
  const content = 'read with a token\n'
  for (const name of ['data', 'data/cms', 'admin']) await mkdir(path(name))
  await writeFile(path('data/cms/file'), content, { mode: 0o644 })
  await writeFile(
    path('scitokens.cfg'),
    [
      '[Global]',
      `audience = ${trust.audience}`,
      '[Issuer TTS]',
      `issuer = ${trust.issuer}`,
      'base_path = /',
      '',
    ].join('\n'),
  )
  await copyFile(trust.bundle, path('bundle.pem'))
  const port = await freePort()
  await writeFile(path('xrootd.cf'), configuration(directory, port))
  for (const name of ['', 'data', 'data/cms', 'admin', 'xrootd.cf', 'scitokens.cfg', 'bundle.pem'])
    await chown(path(name), user.uid, user.gid)
  const xrootd = findProgram('xrootd') ?? ''
  let server: GridServer | undefined
  try {
    server = await startServer(
      { directory, user },
      {
        command: trustingOnly(path('bundle.pem'), [xrootd, '-c', path('xrootd.cf'), '-I', 'v4']),
        env: { XDG_CACHE_HOME: path('admin') },
        ready: /xrootd anon@\S+ initialization completed|initialization completed\./,
      },
    )
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    throw error
  }
  const { output, stop } = server
  return {
    content,
    output,
    read: (token) => {
      const authorization = token === undefined ? '' : `?authz=Bearer%20${token}`
      const url = `root://localhost:${port}//cms/file${authorization}`
      return runTool('xrdcp', ['--nopbar', '--silent', url, '-'], {
        XRD_CONNECTIONRETRY: '1',
        XRD_CONNECTIONWINDOW: '5',
        XRD_REQUESTTIMEOUT: '10',
      })
    },
    close: async () => {
      await stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

function configuration(directory: string, port: number): string {
  return [
    `xrd.port ${port}`,
    `all.adminpath ${join(directory, 'admin')}`,
    `all.pidpath ${join(directory, 'admin')}`,
    'all.export /',
    `oss.localroot ${join(directory, 'data')}`,
    'ofs.authorize 1',
    `ofs.authlib libXrdAccSciTokens.so config=${join(directory, 'scitokens.cfg')}`,
    'scitokens.trace all',
    '',
  ].join('\n')
}
