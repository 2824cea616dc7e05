/**
 * The one request of a refresh helper: sent once, its answer sealed and on the disk before anybody is told of it. A
 * provider that rotates refresh tokens without grace forgets the old one the moment it answers.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { closeSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { writePrivateFile } from '../files/private-file.ts'
import { roomPath, sealAnswer, type TokenAnswer } from './spool.ts'

/** What a helper is told by its standard input; all of it is secret. */
export interface RequestOrder {
  /** The provider's token endpoint. */
  readonly url: string
  readonly headers: readonly (readonly [string, string])[]
  /** The form, as `application/x-www-form-urlencoded`. */
  readonly body: string
  /** Deadline of the request in milliseconds: nothing else ends it, because an answer cut off is a token lost. */
  readonly timeout_ms: number
  /** 32 bytes, base64url: the answer is sealed under it. */
  readonly key: string
}

/** How the request ended: an answer, or the innermost error beneath the failure of `fetch`. */
export type RequestOutcome =
  | { readonly answer: TokenAnswer }
  | { readonly failure: { readonly name: string; readonly code: string; readonly message: string } }

/** Token answers are far smaller. */
export const MAX_ANSWER_BYTES = 256 * 1024
/** How long an answer is offered to a disk that does not take it. */
const RETRY_FOR_MS = 600_000
const RETRY_PAUSE_MS = 250

/** Where the answer goes, and room kept for it from before the request is sent. */
export interface SpoolFile {
  readonly path: string
  /** @throws the system's error when there is no room */
  reserve(): void
  release(): void
}

/** @param path of the spool file; the room is a file beside it */
export function spoolFile(path: string): SpoolFile {
  const reserved = roomPath(path)
  return {
    path,
    reserve: () => {
      const file = openSync(reserved, 'w', 0o600)
      try {
        writeSync(file, Buffer.alloc(MAX_ANSWER_BYTES / 4))
        fsyncSync(file)
      } finally {
        closeSync(file)
      }
    },
    release: () => rmSync(reserved, { force: true }),
  }
}

/**
 * Sends the request and writes a successful answer into the spool. Never throws: what went wrong is the outcome.
 *
 * @param tell called once with the outcome, when a successful answer is durable or cannot be made so at once
 * @param isStored true once whoever asked has stored the answer itself
 */
export async function performOrder(
  order: RequestOrder,
  spool: SpoolFile,
  { tell, isStored }: { tell: (outcome: RequestOutcome) => void; isStored: () => boolean },
): Promise<void> {
  const outcome = await send(order)
  spool.release()
  // Other answers hold no token.
  if (!('answer' in outcome) || outcome.answer.status !== 200) {
    tell(outcome)
    return
  }
  const content = { answer: outcome.answer, at: new Date().toISOString(), body: order.body }
  const sealed = sealAnswer(order.key, content)
  if (await isWritten(spool.path, sealed)) {
    tell(outcome)
    return
  }
  tell(outcome)
  const end = performance.now() + RETRY_FOR_MS
  while (!isStored() && performance.now() < end && !(await isWritten(spool.path, sealed)))
    await delay(RETRY_PAUSE_MS)
}

async function isWritten(path: string, sealed: Uint8Array): Promise<boolean> {
  return writePrivateFile(path, sealed).then(
    () => true,
    () => false,
  )
}

async function send(order: RequestOrder): Promise<RequestOutcome> {
  try {
    const response = await fetch(order.url, {
      method: 'POST',
      headers: order.headers.map(([name, value]): [string, string] => [name, value]),
      body: order.body,
      redirect: 'manual',
      signal: AbortSignal.timeout(order.timeout_ms),
    })
    const body = await boundedText(response)
    return { answer: { status: response.status, headers: [...response.headers], body } }
  } catch (error) {
    return { failure: innermost(error) }
  }
}

async function boundedText({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of (body ?? []) as AsyncIterable<Uint8Array>) {
    length += chunk.length
    if (length > MAX_ANSWER_BYTES) throw new Error('the answer is too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** `fetch failed` says nothing; the error beneath it has a code, which tells whether anything was sent. */
function innermost(error: unknown): { name: string; code: string; message: string } {
  let found = error
  while (found instanceof Error && found.cause instanceof Error) found = found.cause
  if (!(found instanceof Error)) return { name: 'Error', code: '', message: 'not an error' }
  const code = 'code' in found && typeof found.code === 'string' ? found.code : ''
  return { name: found.name, code, message: found.message }
}
