/** Keys of the library's own kinds, each made once and shared by the tests of a file. */
import type { KeyObject } from 'node:crypto'
import { createSigner, generatePrivateKey, type KeyKind, type Signer } from '../../ca/key.ts'

const keys = new Map<string, Promise<KeyObject>>()

/** The key of this kind; another `owner` has another one. */
export function sharedKey(kind: KeyKind, owner = 'someone'): Promise<KeyObject> {
  const name = `${kind} ${owner}`
  const made = keys.get(name) ?? generatePrivateKey(kind)
  keys.set(name, made)
  return made
}

/** The signer over a shared key. */
export async function sharedSigner(kind: KeyKind, owner?: string): Promise<Signer> {
  return createSigner(await sharedKey(kind, owner))
}

/** Unencrypted PKCS#8 PEM, for openssl. */
export function pkcs8Pem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString()
}
