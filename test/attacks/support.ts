/**
 * A service under attack, in a process of its own with a small heap, and a bystander: another address and another
 * identity, who asks for proxies all the while. Everything is on loopback, and bounded in number and time.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { stringify } from 'yaml'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { soundCsr } from '../api/support.ts'
import { isFull } from '../support/full.ts'
import { programPath } from '../support/programs.ts'
import { AUDIENCE, testConfiguration } from '../support/service.ts'

/** Heap of the service in MiB: what fits a small container. */
const HEAP_MIB = 192
/** One for each attack: who sends floods of chunks is shut out for a while. */
let attackers = 2
const BYSTANDER = '127.0.0.2'

export interface Target {
  readonly url: string
  readonly provider: IdentityProvider
  token(username?: string, claims?: Record<string, unknown>): string
  /** Bytes of heap and buffers in use, after a collection. */
  memory(): Promise<number>
  /** False once the process has ended. */
  isAlive(): boolean
}

/** One service for a test file. */
export function useTarget(
  configuration: Record<string, Record<string, unknown>> = {},
): () => Target {
  let provider: IdentityProvider | undefined
  let child: ChildProcess | undefined
  let target: Target | undefined
  const directory = mkdtempSync(join(tmpdir(), 'tts-attack-'))
  beforeAll(async () => {
    provider = await startIdentityProvider()
    const defaults = testConfiguration(provider)
    const ca = { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' }
    const path = join(directory, 'tts.yaml')
    const data = { data_dir: join(directory, 'data') }
    writeFileSync(path, stringify({ ...data, ...defaults, ca, ...configuration }))
    const flags = ['--expose-gc', `--max-old-space-size=${HEAP_MIB}`]
    child = spawn(process.execPath, [...flags, programPath('test/attacks/entry.ts'), path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    target = await targetOf(child, provider)
  })
  afterAll(async () => {
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM')
      await once(child, 'close')
    }
    await provider?.close()
    rmSync(directory, { recursive: true, force: true })
  })
  return () => {
    if (target === undefined) throw new Error('the target has not started')
    return target
  }
}

async function targetOf(child: ChildProcess, provider: IdentityProvider): Promise<Target> {
  let said = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const says = async (pattern: RegExp): Promise<string> => {
    for (;;) {
      const found = pattern.exec(said)?.[1]
      if (found !== undefined) return found
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error('the service has ended')
      await Promise.race([once(child.stdout ?? child, 'data'), once(child, 'exit')])
    }
  }
  const url = await says(/listening (\S+)\n/)
  const isAlive = (): boolean => child.exitCode === null && child.signalCode === null
  return {
    url,
    provider,
    isAlive,
    token: (username = 'alice', claims = {}) => {
      const user = provider.user(username)
      const own = { sub: user.sub, groups: user.groups, aud: AUDIENCE }
      return provider.mint({ claims: { ...own, ...claims } })
    },
    memory: async () => {
      said = ''
      child.kill('SIGUSR2')
      return Number(await says(/memory (\d+)\n/))
    },
  }
}

/**
 * Connections of the attacker that send what they are told and are then held open; `end` closes them all.
 *
 * @param reads false: what is answered stays unread
 */
export async function hold(
  { url }: Target,
  count: number,
  send: (index: number) => string,
  reads = true,
): Promise<{ readonly end: () => void; readonly open: () => number; readonly text: () => string }> {
  const { port } = new URL(url)
  attackers += 1
  const attacker = `127.0.0.${attackers}`
  const sockets: Socket[] = []
  let text = ''
  for (let index = 0; index < count; index += 1) {
    const socket = connect({ host: '127.0.0.1', port: Number(port), localAddress: attacker })
    socket.on('error', () => socket.destroy())
    if (reads) socket.on('data', (data) => (text += data.toString('latin1')))
    socket.write(send(index))
    sockets.push(socket)
    // A few at a time: the bystander asks by the same event loop, whose own work must not be taken for the service's.
    if (index % 10 === 9) await pause(isFull ? 50 : 5)
  }
  return {
    end: () => {
      for (const socket of sockets) socket.destroy()
    },
    open: () => sockets.filter((socket) => !socket.destroyed).length,
    text: () => text,
  }
}

export const pause = async (ms: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, ms))

export interface Watched {
  /** Statuses of the bystander's requests, counted; 0 for one that failed without an answer. */
  readonly statuses: Readonly<Record<string, number>>
  readonly p99Ms: number
}

/** The bystander asks for proxies one after another, each with a fresh token, while `during` runs. */
export async function watch(
  target: Pick<Target, 'url' | 'token'>,
  during: () => Promise<void>,
): Promise<Watched> {
  const csr = await soundCsr()
  const statuses: Record<string, number> = {}
  const times: number[] = []
  const over = new AbortController()
  const asking = (async () => {
    while (!over.signal.aborted) {
      const started = performance.now()
      const token = target.token('alice', { sub: 'bystander', jti: String(started) })
      const status = await askForProxy(target, token, csr).catch(() => 0)
      times.push(performance.now() - started)
      statuses[status] = (statuses[status] ?? 0) + 1
      await pause(25)
    }
  })()
  try {
    await during()
  } finally {
    over.abort()
    await asking
  }
  times.sort((a, b) => a - b)
  return { statuses, p99Ms: times[Math.floor(times.length * 0.99)] ?? 0 }
}

async function askForProxy(
  { url }: Pick<Target, 'url'>,
  token: string,
  csr: string,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = request(`${url}/v1/proxies`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/pkcs10' },
      localAddress: BYSTANDER,
      agent: false,
      timeout: 20_000,
    })
    asked.once('timeout', () => asked.destroy(new Error('no answer')))
    asked.once('error', reject)
    asked.once('response', (response) => {
      response.resume()
      response.once('end', () => resolve(response.statusCode ?? 0))
      response.once('error', reject)
    })
    asked.end(csr)
  })
}

/** Prints how the bystander fared beside a quiet time; the figures depend on the machine and are not asserted. */
export function report(name: string, quiet: Watched, attacked: Watched): void {
  const ratio = attacked.p99Ms / quiet.p99Ms
  process.stdout.write(
    `${name}: p99 ${quiet.p99Ms.toFixed(0)} ms quiet, ${attacked.p99Ms.toFixed(0)} ms under attack (x ${ratio.toFixed(1)}), ${JSON.stringify(attacked.statuses)}\n`,
  )
}
