import { X509Certificate } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { fingerprint } from '../../ca/certificate.ts'
import { createCsr } from '../../ca/csr.ts'
import { CaError } from '../../ca/errors.ts'
import { serialFrom } from '../../ca/serial.ts'
import { nestedValidity } from '../../ca/validity.ts'
import type { Log } from '../../src/base/log.ts'
import type { CachedEndEntity, ProxyJob } from '../../src/signing/proxy-job.ts'
import {
  createSigningPool,
  type SigningPool,
  type SigningPoolOptions,
} from '../../src/signing/signing-pool.ts'
import { makeAuthority, makeEndEntity, now } from '../support/issuing.ts'
import { sharedKey, sharedSigner } from '../support/keys.ts'
import { programPath } from '../support/programs.ts'
let endEntity: CachedEndEntity
let csr = ''
const pools: SigningPool[] = []
const workers: Worker[] = []
const logged = vi.fn<(fields: object, text: string) => void>()
const log = { error: logged } as unknown as Log

beforeAll(async () => {
  const made = await makeEndEntity(await makeAuthority('rsa-2048'), 'ec-p256')
  endEntity = { ...made, privateKey: await sharedKey('ec-p256', 'user') }
  csr = await createCsr([], await sharedSigner('rsa-2048', 'proxy'))
})
afterEach(async () => {
  logged.mockClear()
  workers.splice(0)
  await Promise.all(pools.splice(0).map(async (pool) => pool.close()))
})

function poolOf(start: () => Worker, options: Partial<SigningPoolOptions> = {}): SigningPool {
  const pool = createSigningPool({
    log,
    threads: 1,
    start: () => {
      const worker = start()
      workers.push(worker)
      return worker
    },
    ...options,
  })
  pools.push(pool)
  return pool
}
const real = (): Worker => new Worker(programPath('src/signing/signing-thread.ts'))
/** A thread whose body is this JavaScript, with `port` at hand. */
const acting = (body: string) => (): Worker =>
  new Worker(`const { parentPort: port } = require('node:worker_threads')\n${body}`, { eval: true })

let lastSerial = 0
function jobOf(changes: Partial<ProxyJob> = {}): ProxyJob {
  lastSerial += 1
  return {
    csr,
    type: 'impersonation',
    pathLength: undefined,
    validity: nestedValidity(now, 43_200, endEntity.certificate.validity),
    serial: serialFrom((size) => Buffer.alloc(size, lastSerial), 9),
    ...changes,
  }
}

const open = (): SigningPool => poolOf(real)

describe('the signing pool', () => {
  test('signs a proxy that OpenSSL verifies', async () => {
    const { der, fingerprint: digest, keyKind } = await open().proxy(endEntity, jobOf())
    const proxy = new X509Certificate(der)
    expect(proxy.verify(new X509Certificate(endEntity.certificate.der).publicKey)).toBe(true)
    expect(digest).toBe(fingerprint(der))
    expect(keyKind).toBe('rsa-2048')
  })

  test('a refusal of the library stays one, with code and details', async () => {
    const pool = open()
    const forged = Buffer.from(csr.replace(/-----[^-]+-----|\s/g, ''), 'base64')
    forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1
    const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${forged.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`
    const refusals = await Promise.allSettled([
      pool.proxy(endEntity, jobOf({ csr: pem })),
      pool.proxy(endEntity, jobOf({ csr: 'no request' })),
      pool.proxy(
        endEntity,
        jobOf({
          validity: {
            notBefore: now,
            notAfter: new Date(endEntity.certificate.validity.notAfter.getTime() + 1000),
          },
        }),
      ),
    ])
    const reasons = refusals.map((refusal) =>
      refusal.status === 'rejected' ? (refusal.reason as CaError) : undefined,
    )
    expect(reasons.every((reason) => reason instanceof CaError)).toBe(true)
    expect(reasons.map((reason) => reason?.code)).toEqual([
      'bad_signature',
      'malformed',
      'bad_lifetime',
    ])
    expect(reasons.map((reason) => reason?.details)).toEqual([
      { field: 'CSR signature', reason: 'not_verified' },
      { field: 'CSR', reason: 'missing' },
      { field: 'validity', reason: 'not_nested' },
    ])
    expect(reasons[0]?.message).toBe('the signature of the CSR does not match its public key')
  })
})

test('many at once: each gets its own proxy, and the key goes over as often as it must', async () => {
  const pool = poolOf(real, { threads: 2 })
  const jobs = Array.from({ length: 20 }, () => jobOf())
  const proxies = await Promise.all(jobs.map((job) => pool.proxy(endEntity, job)))
  const serials = proxies.map(({ der }) => new X509Certificate(der).serialNumber.toLowerCase())
  expect(serials).toEqual(jobs.map(({ serial }) => serial.toString('hex')))
  expect(workers).toHaveLength(2)
})

test('what is asked in one turn travels together, in messages of eight at most', async () => {
  const pool = poolOf(
    acting(
      `port.on('message', (jobs) => port.postMessage(jobs.map(({ id }) => ({ id, error: { message: String(jobs.length) } }))))`,
    ),
  )
  const asked = Array.from({ length: 20 }, () => pool.proxy(endEntity, jobOf()))
  const sizes = (await Promise.allSettled(asked)).map((outcome) =>
    outcome.status === 'rejected' ? (outcome.reason as Error).message : 'signed',
  )
  expect(sizes).toEqual([...Array<string>(16).fill('8'), ...Array<string>(4).fill('4')])
})

test('an error that is none of the library stays an error with its text', async () => {
  const pool = poolOf(
    acting(
      `port.on('message', ([{ id }]) => port.postMessage([{ id, error: { message: 'odd' } }]))`,
    ),
  )
  const failure = await pool.proxy(endEntity, jobOf()).catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(Error)
  expect(failure).not.toBeInstanceOf(CaError)
  expect(failure).toMatchObject({ message: 'odd' })
})

test('a thread that dies refuses its jobs, is logged, and another one takes its place', async () => {
  let starts = 0
  const dying = acting(`port.on('message', () => { throw new Error('no memory left') })`)
  const pool = poolOf(() => (starts++ === 0 ? dying() : real()))
  const lost = await Promise.allSettled([
    pool.proxy(endEntity, jobOf()),
    pool.proxy(endEntity, jobOf()),
  ])
  for (const outcome of lost) {
    expect(outcome).toMatchObject({
      status: 'rejected',
      reason: { code: 'overloaded', check: 'signing', retryAfterSeconds: 1 },
    })
  }
  expect(logged).toHaveBeenCalledOnce()
  expect(logged.mock.calls[0]?.[0]).toMatchObject({ event: 'signing.thread-ended', jobs: 2 })
  expect((await pool.proxy(endEntity, jobOf())).keyKind).toBe('rsa-2048')
  expect(starts).toBe(2)
})

test('a thread that answers nothing is ended after its time', async () => {
  const pool = poolOf(acting(`port.on('message', () => undefined)`), { stallMs: 20 })
  await expect(pool.proxy(endEntity, jobOf())).rejects.toMatchObject({ code: 'overloaded' })
})

test('what waits is bounded; what comes beyond is refused at once', async () => {
  const pool = poolOf(acting(`port.on('message', () => undefined)`), { maxWaiting: 2, threads: 2 })
  const waiting = [pool.proxy(endEntity, jobOf()), pool.proxy(endEntity, jobOf())]
  const outcomes = Promise.allSettled(waiting)
  await expect(pool.proxy(endEntity, jobOf())).rejects.toMatchObject({
    code: 'overloaded',
    check: 'signing',
  })
  await pool.close()
  expect((await outcomes).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
})

test('a closed pool refuses, and may be closed again', async () => {
  const pool = poolOf(real)
  await pool.proxy(endEntity, jobOf())
  await pool.close()
  await pool.close()
  await expect(pool.proxy(endEntity, jobOf())).rejects.toMatchObject({ code: 'shutting_down' })
})
