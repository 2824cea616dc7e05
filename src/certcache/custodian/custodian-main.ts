/**
 * The program that a custodian runs: the order comes as JSON on standard input, the answer goes as JSON to standard output.
 * Nothing secret stands in its arguments or its environment. When the order is cut short (certcache was killed while it
 * wrote) nothing is done. Signals that ask programs to end are ignored: the work is short, and its result must be written.
 */
import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { tellError } from '../../told-error.ts'
import { type CustodianAnswer, type CustodianOrder, doCustodianWork } from './custodian-work.ts'

/** The file to be run; compiled, it can be. */
export const custodianProgram = fileURLToPath(import.meta.url)
/** Its one argument, which also tells people who list processes what it is. */
export const CUSTODIAN_WORD = 'certcache-custodian'

async function main(): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGPIPE'] as const)
    process.on(signal, () => undefined)
  // Whoever asked may be gone by the time of the answer.
  process.stdout.on('error', () => undefined)
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
  const answer = await work(Buffer.concat(chunks).toString('utf8'))
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}

async function work(text: string): Promise<CustodianAnswer> {
  try {
    const order = JSON.parse(text) as CustodianOrder
    const { access, metadata } = await doCustodianWork(order, () => new Date())
    return {
      access: { token: access.token, expires_at: access.expiresAt.toISOString() },
      metadata,
    }
  } catch (error) {
    return { error: tellError(error) }
  }
}

if (process.argv[2] === CUSTODIAN_WORD && isThisFile(process.argv[1])) await main()

function isThisFile(path: string | undefined): boolean {
  return path !== undefined && realpathSync(path) === realpathSync(custodianProgram)
}
