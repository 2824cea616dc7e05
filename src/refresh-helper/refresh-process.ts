/**
 * The program of the refresh helper, started by `helper-process.ts`. It makes requests to token endpoints and writes
 * each answer to disk before it reports it. It survives its parent. Its arguments and its environment hold no secret.
 *
 * It reads lines on standard input: first the network, then requests. For each it takes a lock and disk space, says
 * `ready`, and gets the order. So whoever finds no lock knows that nothing was sent and nothing will be, even if the
 * parent was killed. An order that was cut off is none. When the input ends, the helper completes its work and ends.
 * Signals to terminate are ignored: the work is short, and its result must be written. It has no access to the database
 * or the master key.
 */
import { rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { type FileLock, tryFileLock } from '../files/file-lock.ts'
import { applyNetwork, type Network } from '../network/network.ts'
import {
  performOrder,
  type RequestOrder,
  type RequestOutcome,
  type SpoolFile,
  spoolFile,
} from './request.ts'
import { lockPath } from './spool.ts'

/** A line of the input, as JSON, about the request with this number. The first line is a `Network`. */
export type HelperInput = { readonly id: number } & (
  | {
      /** Path of the spool file for the answer. */
      readonly prepare: string
    }
  | { readonly order: RequestOrder }
  /** The parent has stored the answer. */
  | { readonly stored: true }
)

/** A line of the output, as JSON. `ended` is the last one about a request, once nothing is left to do for it. */
export type HelperLine = { readonly id: number } & (
  | { readonly ready: true }
  | { readonly refused: string }
  | { readonly outcome: RequestOutcome }
  | { readonly ended: true }
)

const print = (line: HelperLine): void => void process.stdout.write(`${JSON.stringify(line)}\n`)

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGPIPE'] as const)
  process.on(signal, () => undefined)
process.stdout.on('error', () => undefined)
process.umask(0o077)

/** A request that has its lock and its disk space. */
interface Prepared {
  readonly spool: SpoolFile
  readonly lock: FileLock
  readonly lockFile: string
  isOrdered: boolean
  isStored: boolean
}

const requests = new Map<number, Prepared>()
let hasNetwork = false
let hasEnded = false

createInterface(process.stdin)
  .on('line', (text) => {
    const line = parsed(text)
    if (line === undefined) return
    if (hasNetwork) read(line as HelperInput)
    else useOrderedNetwork(line as Network)
    hasNetwork = true
  })
  .on('close', () => {
    hasEnded = true
    // What is under way keeps the process alive.
    for (const [id, request] of requests) if (!request.isOrdered) end(id, request)
  })

function read(line: HelperInput): void {
  if ('prepare' in line) void prepare(line.id, line.prepare)
  const request = requests.get(line.id)
  if (request === undefined) return
  if ('stored' in line) request.isStored = true
  if ('order' in line) void perform(line.id, { request, order: line.order })
}

/** Nothing may be sent without the lock, nor before there is disk space for the answer of the provider. */
async function prepare(id: number, path: string): Promise<void> {
  const spool = spoolFile(path)
  const lockFile = lockPath(path)
  let lock: FileLock | undefined
  try {
    lock = tryFileLock(lockFile)
    if (lock === undefined) throw new Error('another helper holds the lock')
    await spool.reserve()
    if (hasEnded) throw new Error('there will be no order')
    requests.set(id, { spool, lock, lockFile, isOrdered: false, isStored: false })
    print({ id, ready: true })
  } catch (error) {
    if (lock !== undefined) release({ spool, lock, lockFile })
    print({ id, refused: error instanceof Error ? error.message : 'not an error' })
    print({ id, ended: true })
  }
}

async function perform(
  id: number,
  { request, order }: { readonly request: Prepared; readonly order: RequestOrder },
): Promise<void> {
  request.isOrdered = true
  await performOrder(order, request.spool, {
    tell: (outcome) => print({ id, outcome }),
    isStored: () => request.isStored,
  })
  end(id, request)
}

function end(id: number, request: Prepared): void {
  requests.delete(id)
  release(request)
  print({ id, ended: true })
}

function release({ spool, lock, lockFile }: Pick<Prepared, 'spool' | 'lock' | 'lockFile'>): void {
  try {
    spool.release()
    rmSync(lockFile, { force: true })
  } finally {
    lock.release()
  }
}

/**
 * Uses the proxy and CAs of the parent. If a CA file has gone since the parent read it, requests are made without it,
 * and their failures say that the provider is not trusted.
 */
function useOrderedNetwork(network: Network): void {
  const authorities = network.authorities.map((source) => ({ ...source, required: false }))
  applyNetwork({ ...network, authorities }, () => undefined)
}

/** Undefined for a line that was cut off. */
function parsed(line: string): HelperInput | Network | undefined {
  try {
    return JSON.parse(line) as HelperInput | Network
  } catch {
    return undefined
  }
}
