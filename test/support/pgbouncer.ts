/** A real PgBouncer in front of a cluster of the tests. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from './free-port.ts'
import { type PostgresCluster, unprivilegedAccount } from './postgres.ts'

const PROGRAM = '/usr/sbin/pgbouncer'

/** The Debian package that is missing, or undefined when PgBouncer can be run. */
export const missingPgBouncer = existsSync(PROGRAM) ? undefined : 'pgbouncer'

export interface PgBouncer {
  /** Connection string for a database of the cluster. */
  url(database: string): string
  stop(): Promise<void>
}

/** Starts PgBouncer with the settings of its package, but for what is given here. */
export async function startPgBouncer(
  cluster: PostgresCluster,
  poolMode: 'session' | 'transaction' | 'statement',
): Promise<PgBouncer> {
  const account = unprivilegedAccount()
  const directory = mkdtempSync('/tmp/tts-pgb-')
  const port = await freePort()
  writeFileSync(join(directory, 'users'), '"tts" ""\n')
  writeFileSync(
    join(directory, 'pgbouncer.ini'),
    `[databases]
* = host=${cluster.directory}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${directory}/users
pool_mode = ${poolMode}
`,
  )
  if (account !== undefined)
    for (const path of ['', 'users', 'pgbouncer.ini'])
      chownSync(join(directory, path), account.uid, account.gid)
  const child = spawn(PROGRAM, ['-q', join(directory, 'pgbouncer.ini')], {
    ...account,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let text = ''
  child.stderr.on('data', (chunk: Buffer) => {
    text += chunk.toString()
  })
  const ended = once(child, 'close')
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended
    rmSync(directory, { recursive: true, force: true })
  }
  for (let attempt = 0; !(await accepts(port)); attempt += 1) {
    if (attempt > 200 || child.exitCode !== null) {
      await stop()
      throw new Error(`PgBouncer does not start:\n${text}`)
    }
    await sleep(25)
  }
  return { url: (database) => `postgres://tts@127.0.0.1:${port}/${database}`, stop }
}

async function accepts(port: number): Promise<boolean> {
  const { connect } = await import('node:net')
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
