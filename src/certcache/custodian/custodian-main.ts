/**
 * The program that a custodian runs: the order comes as JSON on standard input, the answer goes as JSON to standard output.
 * Nothing secret stands in its arguments or its environment. When the order is cut short (certcache was killed while it
 * wrote) nothing is done. Signals that ask programs to end are ignored: the work is short, and its result must be written.
 */
import { fileURLToPath } from 'node:url'
import { type DetachedProgram, endOnlyByItself, isRunning } from '../../detached-process.ts'
import { tellError } from '../../told-error.ts'
import { type CustodianAnswer, type CustodianOrder, doCustodianWork } from './custodian-work.ts'

export const custodianProgram: DetachedProgram = {
  file: fileURLToPath(import.meta.url),
  word: 'certcache-custodian',
}

async function main(): Promise<void> {
  endOnlyByItself()
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

if (isRunning(custodianProgram)) await main()
