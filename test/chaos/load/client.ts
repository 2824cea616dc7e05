/** What all clients of the load have in common: they go on until the end, wait as they are told, and note all. */
import { setTimeout as sleep } from 'node:timers/promises'
import { keyBelongsTo, parseProxyFile } from '../../../ca/proxy-file.ts'
import { formatRfc4514 } from '../../../ca/name-text.ts'
import { countAnswer, type Evidence, type Grant, type Installation } from '../evidence.ts'
import { type Received, send, type SentRequest } from '../http.ts'
import type { Random } from '../plan.ts'
import type { ChaosSystem } from '../system.ts'

export interface LoadContext {
  readonly system: ChaosSystem
  readonly evidence: Evidence
  readonly random: Random
  readonly over: AbortSignal
  /** Serials of proxies from certcaches: each is served many times, and is in a file. */
  readonly served: Set<string>
  /** A CSR that many requests share. */
  readonly csr: { readonly pem: string; readonly privateKey: KeyLike }
}

type KeyLike = Parameters<typeof keyBelongsTo>[0]

/** Longest wait between two attempts, whatever an answer says. */
const LONGEST_WAIT_MS = 5000

/** Repeats `turn` until the load is over. What it throws (a broken connection, a deadline) is counted. */
export async function repeat(
  { evidence, over }: LoadContext,
  pauseMs: number,
  turn: (count: number) => Promise<Received | undefined>,
): Promise<void> {
  for (let count = 0; !over.aborted; count += 1) {
    const answer = await turn(count).catch((error: unknown) => {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'other'
      if (code === 'other' && !isDeadline(error)) throw error
      countAnswer(evidence, code === 'other' ? 'deadline' : code)
      return undefined
    })
    if (answer !== undefined) countAnswer(evidence, String(answer.status))
    // Half of it more at random, as our own clients do.
    const seconds = (answer?.retryAfterSeconds ?? 0) * (1 + Math.random() / 2)
    await pause(Math.min(Math.max(seconds * 1000, pauseMs), LONGEST_WAIT_MS), over)
  }
}

const isDeadline = (error: unknown): boolean =>
  error instanceof Error && ['AbortError', 'TimeoutError'].includes(error.name)

/** Ends early when the load is over. */
export async function pause(milliseconds: number, over: AbortSignal): Promise<void> {
  await sleep(milliseconds, undefined, { signal: over }).catch(() => undefined)
}

export interface Expected {
  readonly installation: Installation
  readonly way: string
  readonly sub: string
  readonly lifetimeSeconds: number
  /** Key of the CSR; undefined: the answer has the key. */
  readonly privateKey?: KeyLike
}

/** Sends a request to an installation; a good answer is returned as what was granted. */
export async function sendTo(
  { system }: Pick<LoadContext, 'system'>,
  installation: Installation,
  sent: SentRequest & { readonly path: string },
): Promise<Received> {
  return send(system.targets[installation], sent.path, sent)
}

/** Notes a received credential. Throws if the text is no complete proxy file: that must never be answered. */
export function noteGrant(
  { grants }: Evidence,
  expected: Expected,
  answer: { readonly begunAt: number; readonly id: string | undefined; readonly pem: string },
): Grant {
  const grant = { ...grantOf(answer.pem, expected), begunAt: answer.begunAt, id: answer.id }
  grants.push(grant)
  return grant
}

/** What a proxy file says, with what was asked for. */
function grantOf(pem: string, expected: Expected): Omit<Grant, 'begunAt' | 'id'> {
  const { certificates, privateKey } = parseProxyFile(pem)
  const key = expected.privateKey ?? privateKey
  const [first] = certificates
  const { installation, way, sub, lifetimeSeconds } = expected
  return {
    installation,
    way,
    sub,
    lifetimeSeconds,
    keyFits: key !== undefined && first !== undefined && keyBelongsTo(key, first),
    certificates: certificates.slice(0, 2).map(({ serial, subject, issuer, validity }) => ({
      serial,
      subject: formatRfc4514(subject),
      issuer: formatRfc4514(issuer),
      notBefore: validity.notBefore.getTime(),
      notAfter: validity.notAfter.getTime(),
    })),
  }
}

/** A proxy file that a certcache serves or wrote, noted once for each proxy. */
export function noteServed(
  { evidence, served }: LoadContext,
  expected: Expected,
  pem: string,
): void {
  const grant = grantOf(pem, expected)
  const serial = grant.certificates[0]?.serial ?? ''
  if (served.has(serial)) return
  served.add(serial)
  evidence.grants.push({ ...grant, begunAt: 0, id: undefined })
}
