/** Makes the threads that sign proxies and make keys. */
import { availableParallelism } from 'node:os'
import type { LoadedConfiguration } from '../config/load.ts'
import { createKeyPool, type KeyPool } from '../domain/issuing/key-pool.ts'
import type { RequestsInFlight } from '../http/requests-in-flight.ts'
import { partOf } from '../limits/shares.ts'
import { createKeyThreads } from '../signing/key-threads.ts'
import {
  createSigningPool,
  type SigningPool,
  type SigningPoolOptions,
} from '../signing/signing-pool.ts'

/** The event loop submits no more work than this many threads do, except with the largest RSA keys. */
const MAX_SIGNING_THREADS = 4

export function signingPoolOf(parts: Pick<SigningPoolOptions, 'log' | 'onSigned'>): SigningPool {
  return createSigningPool({ log: parts.log, onSigned: parts.onSigned, threads: signingThreads() })
}

/**
 * As many as cores: the event loop needs only a part of one. With one thread less, two cores issue a quarter less, and
 * the 99th percentile of the latency is the same.
 */
function signingThreads(): number {
  return Math.min(MAX_SIGNING_THREADS, availableParallelism())
}

export function keyPoolOf(
  loaded: Pick<LoadedConfiguration, 'configuration'>,
  inFlight: RequestsInFlight,
): KeyPool {
  const { ca, limits } = loaded.configuration
  const cores = availableParallelism()
  return createKeyPool({
    size: limits.key_pool_size,
    queue: limits.key_queue,
    queuePerIdentity: partOf(limits.key_queue, limits.identity_share),
    kinds: ['rsa-2048', ca.end_entity_key_kind],
    cores,
    // At most one core works for a request.
    idleCores: () => cores - inFlight.count,
    threads: createKeyThreads(),
  })
}
