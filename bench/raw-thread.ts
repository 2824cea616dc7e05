/** A thread that does one kind of work again and again, for `raw.ts`. */
import { generateKeyPairSync, sign } from 'node:crypto'
import { parentPort } from 'node:worker_threads'
import type { RawOrder, RawCount, RawWork } from './raw.ts'

const rsaKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
const ecKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
/** About the size of the signed part of a proxy. */
const data = Buffer.alloc(800, 7)

const work: Readonly<Record<RawWork, () => unknown>> = {
  'rsa-2048 signature': () => sign('sha256', data, rsaKey),
  'ec-p256 signature': () => sign('sha256', data, ecKey),
  'rsa-2048 key pair': () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
}

function repeat({ kind, seconds }: RawOrder): RawCount {
  const cpuBefore = process.threadCpuUsage()
  const started = performance.now()
  let count = 0
  while (performance.now() - started < seconds * 1000) {
    work[kind]()
    count += 1
  }
  const elapsedSeconds = (performance.now() - started) / 1000
  const { user, system } = process.threadCpuUsage(cpuBefore)
  return { count, elapsedSeconds, cpuSeconds: (user + system) / 1e6 }
}

parentPort?.on('message', (order: RawOrder) => parentPort?.postMessage(repeat(order)))
