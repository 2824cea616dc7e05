/**
 * The code of a signing thread and its messages; `signing-pool.ts` is the other end. Bytes are sent as "binary
 * strings", because sending a small Buffer would copy the whole pool that it is a part of.
 */
import type { KeyObject } from 'node:crypto'
import { parentPort } from 'node:worker_threads'
import { readCertificate } from '../../ca/certificate.ts'
import { CaError, type CaErrorCode, type CaErrorDetails } from '../../ca/errors.ts'
import { createSigner } from '../../ca/key.ts'
import type { EndEntity } from '../../ca/proxy.ts'
import { createRecentValues } from '../base/recent-values.ts'
import { type ProxyJob, type SignedProxy, signProxyForCsr } from './proxy-job.ts'

/** A job. It names the EEC by serial number; certificate and key are included only if the thread does not know them. */
export interface SigningQuestion {
  readonly id: number
  readonly endEntity: string
  readonly key?: { readonly certificate: string; readonly privateKey: KeyObject }
  readonly job: Omit<ProxyJob, 'serial'> & { readonly serial: string }
}

/** The result of a job. Messages between threads lose the class of an error, so its code is sent separately. */
export interface SigningAnswer {
  readonly id: number
  readonly signed?: Omit<SignedProxy, 'der'> & { readonly der: string }
  readonly unknownEndEntity?: true
  readonly error?: {
    /** Code and details of a `CaError`. */
    readonly refusal?: CaErrorDetails & { readonly code: CaErrorCode }
    readonly message: string
    readonly cause?: string
  }
}

/** Number of cached EECs; the key of a dropped one is requested again. */
const MAX_END_ENTITIES = 10_000

const endEntities = createRecentValues<EndEntity>(MAX_END_ENTITIES)

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
    const request = { ...job, serial: Buffer.from(job.serial, 'hex') }
    const signed = await signProxyForCsr(endEntity, request)
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
  // One after another, in the order of arrival: they share this thread.
  // oxlint-disable-next-line no-await-in-loop
  for (const question of questions) answers.push(await answer(question))
  parentPort?.postMessage(answers)
}

parentPort?.on('message', (questions: readonly SigningQuestion[]) => void answerAll(questions))
