/** A real OpenSSH server on loopback, into which the user who runs the tests may log in, and logins to it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { formatSshPublicKey, sshPublicKeyOf } from '../../ca/ssh/public-key.ts'
import { freePort } from './grid-site.ts'
import { findProgram, runTool, type ToolRun } from './grid-tools.ts'
import { openSshPrivateKey } from './ssh-keys.ts'

export const sshPackages = ['openssh-server', 'openssh-client'] as const

/** Ends by itself after this long, should the tests end without stopping it. */
const MAX_LIFE_SECONDS = 180

export interface Sshd {
  readonly port: number
  /** Who can log in: who runs the tests. */
  readonly user: string
  /** For files that the server reads; private, removed when it stops. */
  readonly directory: string
  /** For UserKnownHostsFile. */
  readonly knownHosts: string
  /** All that the server logged until now, at level VERBOSE. */
  log(): string
  stop(): Promise<void>
}

export interface SshdOptions {
  /** Lines of sshd_config, which win over our own; `%DIRECTORY%` becomes `directory`. */
  readonly config?: readonly string[]
  /** Files of `directory`, by name, that are there before the server starts. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>
}

/** Starts a server that lets nobody in but by the lines that are given. As root it needs /run/sshd, and makes it. */
export async function startSshd({ config = [], files = {} }: SshdOptions = {}): Promise<Sshd> {
  const directory = await mkdtemp(join(tmpdir(), 'tts-sshd-'))
  try {
    for (const [name, content] of Object.entries(files))
      await writeFile(join(directory, name), content, { mode: 0o600 })
    const hostKey = generateKeyPairSync('ed25519')
    await writeFile(join(directory, 'host_key'), openSshPrivateKey(hostKey.privateKey), {
      mode: 0o600,
    })
    if (process.getuid?.() === 0) await mkdir('/run/sshd', { recursive: true, mode: 0o755 })
    const port = await freePort()
    await writeFile(
      join(directory, 'sshd_config'),
      [...config, ...ownLines(port)]
        .map((line) => `${line.replaceAll('%DIRECTORY%', directory)}\n`)
        .join(''),
    )
    const knownHosts = join(directory, 'known_hosts')
    const hostLine = formatSshPublicKey(sshPublicKeyOf(hostKey.publicKey), 'test')
    await writeFile(knownHosts, `[127.0.0.1]:${port} ${hostLine}`)
    const { child, log } = await launch(directory)
    return {
      port,
      user: userInfo().username,
      directory,
      knownHosts,
      log,
      async stop() {
        await stopGroup(child)
        await rm(directory, { recursive: true, force: true })
      },
    }
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    throw error
  }
}

function ownLines(port: number): readonly string[] {
  return [
    'ListenAddress 127.0.0.1',
    `Port ${port}`,
    'HostKey %DIRECTORY%/host_key',
    'PidFile none',
    'AuthorizedKeysFile none',
    'AuthenticationMethods publickey',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'PermitRootLogin yes',
    'UsePAM no',
    // The temporary directory of a machine may be anyone's.
    'StrictModes no',
    'UseDNS no',
    'PrintMotd no',
    'PrintLastLog no',
    'LoginGraceTime 10',
    'LogLevel VERBOSE',
  ]
}

async function launch(directory: string) {
  // sshd starts itself anew for each connection and so wants its full path.
  const server = [findProgram('sshd') ?? '', '-D', '-e', '-f', join(directory, 'sshd_config')]
  const child = spawn('timeout', ['-k', '2', String(MAX_LIFE_SECONDS), ...server], {
    cwd: directory,
    env: { PATH: '/usr/bin:/bin:/usr/sbin:/sbin', LC_ALL: 'C' },
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  })
  let output = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text))
  const deadline = Date.now() + 15_000
  while (!/Server listening on/.test(output)) {
    if (child.exitCode !== null || Date.now() > deadline) {
      await stopGroup(child)
      throw new Error(`sshd did not start: ${output.slice(-2000)}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return { child, log: () => output }
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

export interface SshLogin {
  /** Path of the private key, mode 0600. */
  readonly identity: string
  /** Path of the certificate for it. */
  readonly certificate?: string
  /** Default: the server's `user`. */
  readonly user?: string
  readonly options?: readonly string[]
  readonly command: string
}

/** Runs a command over ssh, with nothing of the user's own configuration, keys or agent. */
export function sshRun(server: Sshd, login: SshLogin): Promise<ToolRun> {
  const settings = [
    'BatchMode=yes',
    'IdentitiesOnly=yes',
    'IdentityAgent=none',
    `IdentityFile=${login.identity}`,
    ...(login.certificate === undefined ? [] : [`CertificateFile=${login.certificate}`]),
    'PreferredAuthentications=publickey',
    `UserKnownHostsFile=${server.knownHosts}`,
    'GlobalKnownHostsFile=/dev/null',
    'StrictHostKeyChecking=yes',
    'ConnectTimeout=10',
    ...(login.options ?? []),
  ]
  return runTool('ssh', [
    '-F',
    'none',
    ...settings.flatMap((setting) => ['-o', setting]),
    '-p',
    String(server.port),
    `${login.user ?? server.user}@127.0.0.1`,
    login.command,
  ])
}
