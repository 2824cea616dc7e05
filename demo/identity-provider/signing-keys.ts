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

/** The fixed key id of IAM, the same at each instance and after each change of the key. */
const IAM_KEY_ID = 'rsa1'

/**
 * The keys of a provider. Access tokens and ID tokens are signed with RSA keys that can be replaced. oidc-provider
 * keeps the first one, because it gets its keys at construction; see `installIdTokenFormat`.
 */
export class SigningKeys {
  #current: SigningKey
  #retired: SigningKey[] = []
  readonly #first: SigningKey

  constructor(first: SigningKey) {
    this.#current = first
    this.#first = first
  }

  static async create(): Promise<SigningKeys> {
    return new SigningKeys({ ...(await newRsaKey()), kid: IAM_KEY_ID })
  }

  /** The key that signs tokens now. */
  get current(): SigningKey {
    return this.#current
  }

  /** Private JWK for oidc-provider. */
  firstJwk(): JWK {
    return { ...jwk(this.#first), ...this.#first.privateKey.export({ format: 'jwk' }) }
  }

  /** Replaces the signing key by one with another id. The old public key stays published only with `keepOld`. */
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
    return { keys: [this.#current, ...this.#retired].map((key) => jwk(key)) }
  }
}

function jwk(key: SigningKey): JWK {
  return {
    ...(key.publicKey.export({ format: 'jwk' }) as JWK),
    kid: key.kid,
    alg: 'RS256',
    use: 'sig',
  }
}
