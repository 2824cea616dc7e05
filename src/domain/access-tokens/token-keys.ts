/**
 * The keys that sign access tokens: P-256, made by the service, encrypted in the records, so that all replicas and a
 * restored backup have the same ones. They are replaced by themselves, see `key-plan.ts`.
 */
import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import { calculateJwkThumbprint, exportJWK, type JWK, type JWTPayload, SignJWT } from 'jose'
import { createSingleFlight } from '../../base/async.ts'
import { TtsError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { Store } from '../store.ts'
import { operatorRecord } from '../operator-audit.ts'
import type { Origin } from '../records.ts'
import { planKeys, PUBLISHED_AHEAD_MS } from './key-plan.ts'
import type { TokenKey } from './records.ts'

/** Accepted by jose, scitokens-cpp, dCache and StoRM; forty times quicker than RSA-2048. */
export const TOKEN_ALGORITHM = 'ES256'

/** A JSON Web Key Set (RFC 7517 section 5). */
export interface TokenKeySet {
  readonly keys: readonly JWK[]
}

export interface TokenKeys {
  /**
   * The public keys. The same object until they change; the last ones while the database is away.
   *
   * @throws {TtsError} `store_unavailable`, `overloaded`
   */
  keySet(): Promise<TokenKeySet>
  /** Signs a token. @throws {TtsError} `store_unavailable`, `overloaded` */
  sign(claims: JWTPayload): Promise<string>
}

export interface TokenKeysDependencies {
  readonly store: Pick<Store, 'tokenKeys' | 'exclusively'>
  readonly now: () => Date
  readonly log: Log
  /** Monotonic clock in milliseconds. Default: that of the process. */
  readonly nowMs?: () => number
}

interface Opened {
  readonly signing: { readonly id: string; readonly privateKey: KeyObject }
  readonly keySet: TokenKeySet
}

/** Replicas follow a key that an operator, or another replica, made or removed. */
const READ_AGAIN_MS = 60_000
const LOCK_WAIT_MS = 10_000
const makeKeyPair = promisify(generateKeyPair)

export function createTokenKeys(dependencies: TokenKeysDependencies): TokenKeys {
  const { nowMs = () => performance.now() } = dependencies
  const reading = createSingleFlight<Opened>()
  let latest: { readonly atMs: number; readonly ids: string; readonly opened: Opened } | undefined

  async function read(): Promise<Opened> {
    const atMs = nowMs()
    const { signing, published } = await currentKeys(dependencies)
    const ids = [signing, ...published].map(({ id }) => id).join(' ')
    const opened = latest?.ids === ids ? latest.opened : await open(signing, published)
    latest = { atMs, ids, opened }
    return opened
  }
  async function current(): Promise<Opened> {
    if (latest !== undefined && nowMs() - latest.atMs < READ_AGAIN_MS) return latest.opened
    try {
      return await reading.run(read)
    } catch (error) {
      if (latest === undefined) throw error
      // Verifiers must be able to check tokens while the database is away.
      dependencies.log.warn({ event: 'access_token_key.stale', err: error }, 'could not read keys')
      latest = { ...latest, atMs: nowMs() }
      return latest.opened
    }
  }

  return {
    keySet: async () => (await current()).keySet,
    async sign(claims) {
      const { id, privateKey } = (await current()).signing
      return new SignJWT(claims)
        .setProtectedHeader({ alg: TOKEN_ALGORITHM, typ: 'at+jwt', kid: id })
        .sign(privateKey)
    },
  }
}

/** Returns the keys of now; makes and removes what is due, in one process at a time. */
async function currentKeys(
  dependencies: TokenKeysDependencies,
): Promise<{ readonly signing: TokenKey; readonly published: readonly TokenKey[] }> {
  const { store } = dependencies
  const plan = async () => planKeys(await store.tokenKeys.list(), dependencies.now())
  let found = await plan()
  if (found.needsNewKey || found.obsolete.length > 0) {
    const renew = async (): Promise<void> => {
      const { needsNewKey, obsolete } = await plan()
      if (needsNewKey) await makeKey(dependencies)
      if (obsolete.length > 0) await store.tokenKeys.remove(obsolete.map(({ id }) => id))
    }
    await store.exclusively('access-token-keys', renew, LOCK_WAIT_MS)
    found = await plan()
  }
  const { signing, published } = found
  if (signing === undefined) throw new TtsError('internal', 'there is no key for access tokens')
  return { signing, published }
}

async function makeKey({ store, now, log }: TokenKeysDependencies): Promise<void> {
  const key = await newKey(now())
  await store.tokenKeys.add(key)
  log.info({ event: 'access_token_key.made', key: key.id }, 'created a key for access tokens')
}

async function newKey(createdAt: Date): Promise<TokenKey> {
  const { privateKey, publicKey } = await makeKeyPair('ec', { namedCurve: 'P-256' })
  const id = await calculateJwkThumbprint(await exportJWK(publicKey))
  return { id, createdAt, privateKeyDer: privateKey.export({ type: 'pkcs8', format: 'der' }) }
}

/**
 * Replaces all keys by a new one that signs at once: for keys that somebody else may have. Running services follow
 * within a minute; verifiers refuse the old tokens as soon as they fetch the key set again.
 *
 * @returns the id of the new key
 */
export async function replaceTokenKeys(
  { tokenKeys }: Pick<Store, 'tokenKeys'>,
  { now, origin }: { readonly now: Date; readonly origin: Origin },
): Promise<string> {
  // As if it had been published for long enough.
  const key = await newKey(new Date(now.getTime() - PUBLISHED_AHEAD_MS))
  const event = 'access_token_key.replaced'
  await tokenKeys.replaceAll(key, operatorRecord({ at: now, event, origin, detail: key.id }))
  return key.id
}

async function open(signing: TokenKey, published: readonly TokenKey[]): Promise<Opened> {
  const privateKeyOf = ({ privateKeyDer }: TokenKey): KeyObject =>
    createPrivateKey({ key: privateKeyDer, format: 'der', type: 'pkcs8' })
  const keys = published.map(async (key): Promise<JWK> => {
    const jwk = await exportJWK(createPublicKey(privateKeyOf(key)))
    return { ...jwk, kid: key.id, alg: TOKEN_ALGORITHM, use: 'sig' }
  })
  return {
    signing: { id: signing.id, privateKey: privateKeyOf(signing) },
    keySet: { keys: await Promise.all(keys) },
  }
}
