/**
 * The request of a refresh helper. It is sent once, and its encrypted answer is on disk before it is reported,
 * because a provider that rotates refresh tokens without a grace period invalidates the old one when it answers.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { writePrivateFile } from '../files/private-file.ts'
import { roomPath, sealAnswer, type TokenAnswer } from './spool.ts'

/** The order that a helper reads from standard input. All of it is secret. */
export interface RequestOrder {
  /** The provider's token endpoint. */
  readonly url: string
  readonly headers: readonly (readonly [string, string])[]
  /** The form, as `application/x-www-form-urlencoded`. */
  readonly body: string
  /** Deadline of the request, in milliseconds. Nothing else aborts it, because that could lose a token. */
  readonly timeout_ms: number
  /** Key that encrypts the answer; 32 bytes, base64url. */
  readonly key: string
}

/** How the request ended: an answer, or the innermost cause of the failure of `fetch`. */
export type RequestOutcome =
  | { readonly answer: TokenAnswer }
  | { readonly failure: { readonly name: string; readonly code: string; readonly message: string } }

/** Token answers are far smaller. */
export const MAX_ANSWER_BYTES = 256 * 1024
/** How long to retry writing the answer to disk. */
const RETRY_FOR_MS = 600_000
const RETRY_PAUSE_MS = 250

/** The file for the answer, and disk space reserved for it before the request is sent. */
export interface SpoolFile {
  readonly path: string
  /** Reserves the space. @throws the system's error */
  reserve(): Promise<void>
  release(): void
}

/** @param path path of the spool file; the space is reserved by another file in the same directory */
export function spoolFile(path: string): SpoolFile {
  const reserved = roomPath(path)
  return {
    path,
    // A slow disk must not stop the event loop: deadlines of other requests would pass before their answers are read.
    reserve: async () => {
      const file = await open(reserved, 'w', 0o600)
      try {
        await file.writeFile(Buffer.alloc(MAX_ANSWER_BYTES / 4))
        await file.sync()
      } finally {
        await file.close()
      }
    },
    release: () => rmSync(reserved, { force: true }),
  }
}

/**
 * Sends the request and writes a successful answer to the spool. Never throws: failures are part of the outcome.
 *
 * @param tell called once with the outcome, after a successful answer was written or the first attempt to write it
 * failed
 * @param isStored whether the parent has stored the answer
 */
export async function performOrder(
  order: RequestOrder,
  spool: SpoolFile,
  { tell, isStored }: { tell: (outcome: RequestOutcome) => void; isStored: () => boolean },
): Promise<void> {
  const outcome = await send(order)
  spool.release()
  // Other answers hold no tokens.
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
      // A connection of its own: one that the provider just closes would leave open whether the token was used.
      headers: [
        ...order.headers.map(([name, value]): [string, string] => [name, value]),
        ['connection', 'close'],
      ],
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

/** Returns the innermost cause: its code shows whether anything was sent, unlike the message "fetch failed". */
function innermost(error: unknown): { name: string; code: string; message: string } {
  let found = error
  while (found instanceof Error && found.cause instanceof Error) found = found.cause
  if (!(found instanceof Error)) return { name: 'Error', code: '', message: 'not an error' }
  const code = 'code' in found && typeof found.code === 'string' ? found.code : ''
  return { name: found.name, code, message: found.message }
}
