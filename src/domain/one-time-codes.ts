/**
 * One-time codes: short passphrases that a logged-in user types in place of the access token, where a client or a
 * person cannot pass a whole token.
 */
import { createHash } from 'node:crypto'
import type { Pickup } from './records.ts'
import type { Store } from './store.ts'

export interface OneTimeCodes {
  /** Makes a code for the token. It ends after some minutes, or with the token. */
  make(token: { readonly text: string; readonly expiresAt: Date }): Promise<OneTimeCode>
  /** Returns the token of a code, once; undefined when the code is unknown, used or expired. */
  take(code: string): Promise<string | undefined>
}

export interface OneTimeCode {
  /** Twelve characters in three groups, such as `7K3M-QX0A-99ZD`. */
  readonly code: string
  readonly endsAt: Date
}

export interface OneTimeCodeDependencies {
  readonly store: Pick<Store, 'pickups'>
  readonly now: () => Date
  readonly randomBytes: (size: number) => Buffer
  readonly lifetimeSeconds: number
}

/** Crockford's base 32: no I, L, O and U, which are mistaken for others. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
/**
 * 12 characters are 60 bits. At the default rate of 50 requests a second, an address guesses one of a thousand codes
 * within their five minutes with a probability of 1 to 10^11.
 */
const LENGTH = 12
const GROUP_LENGTH = 4

export function createOneTimeCodes(dependencies: OneTimeCodeDependencies): OneTimeCodes {
  const { store, now, randomBytes, lifetimeSeconds } = dependencies
  return {
    async make({ text, expiresAt }) {
      // 256 is a multiple of 32, so each character is as likely as any other.
      const characters = [...randomBytes(LENGTH)].map((byte) => ALPHABET[byte % ALPHABET.length])
      const plain = characters.join('')
      const endMs = Math.min(now().getTime() + lifetimeSeconds * 1000, expiresAt.getTime())
      const endsAt = new Date(endMs)
      await store.pickups.keep(pickupOf(plain), text, endsAt)
      return { code: grouped(plain), endsAt }
    },
    take: async (code) => store.pickups.take(pickupOf(plainCode(code)), now()),
  }
}

/** Whether a passphrase can be a code. No access token is that short. */
export function isOneTimeCode(passphrase: string): boolean {
  const plain = plainCode(passphrase)
  return plain.length === LENGTH && [...plain].every((character) => ALPHABET.includes(character))
}

/** The code as it was made, whatever its user made of case, hyphens and letters that look alike. */
function plainCode(typed: string): string {
  return typed.toUpperCase().replace(/[-\s]/g, '').replaceAll('O', '0').replace(/[IL]/g, '1')
}

function grouped(plain: string): string {
  return (plain.match(new RegExp(`.{${GROUP_LENGTH}}`, 'g')) ?? []).join('-')
}

/** There is no owner to check: who has the code may use it. */
function pickupOf(plain: string): Pickup {
  return { idDigest: digest(`one-time code\0${plain}`), ownerDigest: digest('one-time code') }
}

function digest(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex')
}
