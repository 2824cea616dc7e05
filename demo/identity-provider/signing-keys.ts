import { generateKeyPair, randomUUID, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import type { JWK } from 'jose'

const generate = promisify(generateKeyPair)

/** A signing key of the provider. */
export interface SigningKey {
  readonly kid: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

/** Generates an RSA-2048 key for access tokens. */
export async function newRsaKey(): Promise<SigningKey> {
  return { kid: randomUUID(), ...(await generate('rsa', { modulusLength: 2048 })) }
}

/**
 * The keys of a provider. Access tokens are signed with RSA keys that can be rotated. ID tokens are signed with an EC
 * key that never changes, because oidc-provider gets its keys at construction.
 */
export class SigningKeys {
  #current: SigningKey
  #retired: SigningKey[] = []
  readonly #idToken: SigningKey

  constructor(current: SigningKey, idToken: SigningKey) {
    this.#current = current
    this.#idToken = idToken
  }

  static async create(): Promise<SigningKeys> {
    const idToken = { kid: randomUUID(), ...(await generate('ec', { namedCurve: 'P-256' })) }
    return new SigningKeys(await newRsaKey(), idToken)
  }

  /** The key that signs access tokens now. */
  get current(): SigningKey {
    return this.#current
  }

  /** Private JWK of the ID token key. */
  idTokenJwk(): JWK {
    return { ...jwk(this.#idToken, 'ES256'), ...this.#idToken.privateKey.export({ format: 'jwk' }) }
  }

  /** Replaces the signing key. The old public key stays published only with `keepOld`. */
  async rotate(keepOld = false): Promise<SigningKey> {
    this.#retired = keepOld ? [...this.#retired, this.#current] : []
    this.#current = await newRsaKey()
    return this.#current
  }

  /** Replaces the signing key under its key id, as INDIGO IAM does, whose key id is fixed (`rsa1`). */
  async replace(): Promise<SigningKey> {
    this.#current = { ...(await newRsaKey()), kid: this.#current.kid }
    return this.#current
  }

  /** The public key set (RFC 7517 section 5). */
  publicSet(): { keys: JWK[] } {
    const signing = [this.#current, ...this.#retired].map((key) => jwk(key, 'RS256'))
    return { keys: [...signing, jwk(this.#idToken, 'ES256')] }
  }
}

function jwk(key: SigningKey, alg: string): JWK {
  return { ...(key.publicKey.export({ format: 'jwk' }) as JWK), kid: key.kid, alg, use: 'sig' }
}
