/**
 * The body of a signing thread, with the messages that it takes and gives; `signing-pool.ts` is the other end. Bytes go as
 * "binary strings": the copy of a small Buffer would be that of the whole pool that it lies in.
 */
import type { KeyObject } from 'node:crypto'
import { parentPort } from 'node:worker_threads'
import { LRUCache } from 'lru-cache'
import { readCertificate } from '../../ca/certificate.ts'
import { CaError, type CaErrorCode, type CaErrorDetails } from '../../ca/errors.ts'
import { createSigner } from '../../ca/key.ts'
import type { EndEntity } from '../../ca/proxy.ts'
import { type ProxyJob, type SignedProxy, signProxyForCsr } from './proxy-job.ts'

/** A job. The EEC is named by its serial number, and sent only when the thread does not know it. */
export interface SigningQuestion {
  readonly id: number
  readonly endEntity: string
  readonly key?: { readonly certificate: string; readonly privateKey: KeyObject }
  readonly job: Omit<ProxyJob, 'serial'> & { readonly serial: string }
}

/** What came of it. An error's class does not survive the way between threads, its code must. */
export interface SigningAnswer {
  readonly id: number
  readonly signed?: Omit<SignedProxy, 'der'> & { readonly der: string }
  readonly unknownEndEntity?: true
  readonly error?: {
    /** Of a `CaError`. */
    readonly refusal?: CaErrorDetails & { readonly code: CaErrorCode }
    readonly message: string
    readonly cause?: string
  }
}

/** EECs known at once; of one that was dropped the key is asked for again. */
const MAX_END_ENTITIES = 10_000

const endEntities = new LRUCache<string, EndEntity>({ max: MAX_END_ENTITIES })

function endEntityOf({ endEntity: serial, key }: SigningQuestion): EndEntity | undefined {
  if (key === undefined) return endEntities.get(serial)
  const endEntity = {
    certificate: readCertificate(Buffer.from(key.certificate, 'latin1')),
    signer: createSigner(key.privateKey, 'calling-thread'),
  }
  endEntities.set(serial, endEntity)
  return endEntity
}

async function answer(question: SigningQuestion): Promise<SigningAnswer> {
  const { id, job } = question
  try {
    const endEntity = endEntityOf(question)
    if (endEntity === undefined) return { id, unknownEndEntity: true }
    const wanted = { ...job, serial: Buffer.from(job.serial, 'hex') }
    const signed = await signProxyForCsr(endEntity, wanted)
    return { id, signed: { ...signed, der: signed.der.toString('latin1') } }
  } catch (error) {
    return { id, error: describe(error) }
  }
}

function describe(error: unknown): NonNullable<SigningAnswer['error']> {
  if (!(error instanceof Error)) return { message: String(error) }
  return {
    message: error.message,
    ...(error instanceof CaError ? { refusal: { ...error.details, code: error.code } } : {}),
    ...(error.cause instanceof Error ? { cause: error.cause.message } : {}),
  }
}

async function answerAll(questions: readonly SigningQuestion[]): Promise<void> {
  const answers: SigningAnswer[] = []
  // One after another: they share this thread, and the first to be wanted is the first that was asked.
  // oxlint-disable-next-line no-await-in-loop
  for (const question of questions) answers.push(await answer(question))
  parentPort?.postMessage(answers)
}

parentPort?.on('message', (questions: readonly SigningQuestion[]) => void answerAll(questions))
