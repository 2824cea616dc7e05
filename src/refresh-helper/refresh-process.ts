/**
 * The program of a refresh helper, started by `helper.ts`. It makes one request to a token endpoint and writes the
 * answer to disk before it reports it. It survives its parent. Its arguments and its environment hold no secret.
 *
 * It prints `ready` when it holds its lock, and then reads the order, one line on standard input. If the order is cut
 * off because the parent was killed, nothing is sent. Signals to terminate are ignored: the work is short, and its
 * result must be written. It has no access to the database or the master key.
 */
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { tryFileLock } from '../files/file-lock.ts'
import { applyNetwork } from '../network/network.ts'
import { performOrder, type RequestOrder, type RequestOutcome, spoolFile } from './request.ts'
import { lockPath } from './spool.ts'

/** A line of the helper's output, as JSON. */
export type HelperLine = { readonly ready: true } | RequestOutcome

const print = (line: HelperLine): void => void process.stdout.write(`${JSON.stringify(line)}\n`)

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGPIPE'] as const)
  process.on(signal, () => undefined)
process.stdout.on('error', () => undefined)
process.umask(0o077)

const [, , path = ''] = process.argv
const lock = tryFileLock(lockPath(path))
if (lock === undefined) throw new Error('another helper holds the lock')
const spool = spoolFile(path)
try {
  // Makes sure, before the provider changes anything, that there is disk space for its answer.
  spool.reserve()
  print({ ready: true })
  await work()
} finally {
  spool.release()
  rmSync(lockPath(path), { force: true })
  lock.release()
}

/** The first line is the order; a second line says that the parent has stored the answer. */
async function work(): Promise<void> {
  const lines = createInterface(process.stdin)
  let underWay: Promise<void> | undefined
  let isStored = false
  lines.on('line', (line) => {
    isStored = underWay !== undefined
    const order = parsed(line)
    if (isStored || order === undefined) return
    useOrderedNetwork(order)
    underWay = performOrder(order, spool, { tell: print, isStored: () => isStored })
    void underWay.finally(() => lines.close())
  })
  await once(lines, 'close')
  await underWay
  process.stdin.destroy()
}

/**
 * Uses the proxy and CAs of the parent. If a CA file has gone since the parent read it, the request is made without it,
 * and its failure says that the provider is not trusted.
 */
function useOrderedNetwork({ network }: RequestOrder): void {
  const authorities = network.authorities.map((source) => ({ ...source, required: false }))
  applyNetwork({ ...network, authorities }, () => undefined)
}

/** Undefined for an order that was cut off. */
function parsed(line: string): RequestOrder | undefined {
  try {
    return JSON.parse(line) as RequestOrder
  } catch {
    return undefined
  }
}
