/**
 * The program of a refresh helper (`helper.ts` starts it): makes one request to a token endpoint, and has the answer on the
 * disk before it tells it. It outlives whoever started it. Its arguments hold nothing secret, and its environment at most the password
 * of an HTTP proxy.
 *
 * `ready` is said once its lock is held; then the order is one line on standard input. When the order is cut short, because
 * the parent was killed, nothing is sent. Signals that ask programs to end are ignored: the work is short, and its result
 * must be written. It knows no database and no master key.
 */
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { tryFileLock } from '../files/file-lock.ts'
import { performOrder, type RequestOrder, type RequestOutcome, spoolFile } from './request.ts'
import { lockPath } from './spool.ts'

/** What a helper says: lines of JSON. */
export type HelperLine = { readonly ready: true } | RequestOutcome

const say = (line: HelperLine): void => void process.stdout.write(`${JSON.stringify(line)}\n`)

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGPIPE'] as const)
  process.on(signal, () => undefined)
process.stdout.on('error', () => undefined)
process.umask(0o077)

const [, , path = ''] = process.argv
const lock = tryFileLock(lockPath(path))
if (lock === undefined) throw new Error('another helper has the lock')
const spool = spoolFile(path)
try {
  // Before the provider changes anything: there is room for its answer.
  spool.reserve()
  say({ ready: true })
  await work()
} finally {
  spool.release()
  rmSync(lockPath(path), { force: true })
  lock.release()
}

/** The first line is the order; a second one says that whoever gave it has stored the answer. */
async function work(): Promise<void> {
  const lines = createInterface(process.stdin)
  let underWay: Promise<void> | undefined
  let isStored = false
  lines.on('line', (line) => {
    isStored = underWay !== undefined
    const order = parsed(line)
    if (isStored || order === undefined) return
    underWay = performOrder(order, spool, { tell: say, isStored: () => isStored })
    void underWay.finally(() => lines.close())
  })
  await once(lines, 'close')
  await underWay
  process.stdin.destroy()
}

/** Undefined for an order that was cut short. */
function parsed(line: string): RequestOrder | undefined {
  try {
    return JSON.parse(line) as RequestOrder
  } catch {
    return undefined
  }
}
