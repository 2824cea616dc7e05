/**
 * The program that a custodian runs (`custodian.ts` starts it). Nothing secret stands in its arguments or its environment.
 * Signals that ask programs to end are ignored: it ends when its standard input does, after it has finished and stored
 * what it had begun. The end of the input also tells that the service was killed.
 */
import { fileURLToPath } from 'node:url'
import { type DetachedProgram, endOnlyByItself, isRunning } from '../detached-process.ts'
import { type Log, serializeError } from '../log.ts'
import { tellError } from '../told-error.ts'
import {
  type CustodianOrder,
  type LogLevel,
  type Message,
  onLines,
  type Question,
} from './protocol.ts'
import { openWork, type Work } from './work.ts'

export const custodianProgram: DetachedProgram = {
  file: fileURLToPath(import.meta.url),
  word: 'tts-delegation-custodian',
}

async function main(): Promise<void> {
  endOnlyByItself()
  process.umask(0o077)
  let work: Promise<Work> | undefined
  const underWay = new Set<Promise<void>>()
  onLines(process.stdin, (line) => {
    if (work === undefined) {
      work = open(line)
      return
    }
    const answering = answer(work, line)
    underWay.add(answering)
    void answering.finally(() => underWay.delete(answering))
  })
  await new Promise((resolve) => process.stdin.once('end', resolve).once('close', resolve))
  await Promise.allSettled(underWay)
  await (await work)?.finish()
  // Connections that are kept alive for a next request would keep it for seconds.
  process.exit(0)
}

function say(message: Message): void {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}

async function open(line: string): Promise<Work> {
  try {
    const order = JSON.parse(line) as CustodianOrder
    // oxlint-disable-next-line node/no-process-env -- where PostgreSQL's library looks; what the system shows of us stays as it was
    Object.assign(process.env, order.environment)
    return await openWork(order, { now: () => new Date(), log: custodianLog() })
  } catch (error) {
    // Nothing was begun yet.
    say({ failed: tellError(error) })
    process.exit(1)
  }
}

async function answer(work: Promise<Work>, line: string): Promise<void> {
  const { id, ...question } = JSON.parse(line) as Question & { readonly id: number }
  try {
    say({ id, answer: await (await work).answer(question) })
  } catch (error) {
    say({ id, answer: { error: tellError(error) } })
  }
}

/** The service's log, as long as there is one to read it. */
function custodianLog(): Log {
  const logAt =
    (level: LogLevel) =>
    ({ err, ...fields }: { readonly err?: unknown }, message: string): void =>
      say({
        log: {
          level,
          fields: err === undefined ? fields : { ...fields, error: serializeError(err) },
          message,
        },
      })
  const levels = ['debug', 'info', 'warn', 'error', 'fatal'] as const
  return Object.fromEntries(levels.map((level) => [level, logAt(level)])) as unknown as Log
}

if (isRunning(custodianProgram)) await main()
