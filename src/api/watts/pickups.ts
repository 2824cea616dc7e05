/** Stores results until the caller who requested them picks them up, once. */
import { createHash } from 'node:crypto'
import type { CredentialEntry } from '../../../plugins/plugin.ts'
import type { Pickup } from '../../domain/records.ts'
import type { Store } from '../../domain/store.ts'
import { TtsError } from '../../base/errors.ts'
import { wattsMessages } from './answers.ts'

/** A stored result. */
export type WaitingAnswer =
  | {
      readonly kind: 'credential'
      readonly id: string
      readonly entries: readonly CredentialEntry[]
    }
  | {
      readonly kind: 'login'
      readonly provider: string
      readonly url: string
      readonly msg: string
    }

type Owner = { readonly issuer: string; readonly sub: string }

export interface PickupDesk {
  /** Stores a result and returns the id in its URL. */
  keep(owner: Owner, answer: WaitingAnswer): Promise<string>
  /** Removes and returns a result. @throws {TtsError} `not_found` (not the owner, too late, or picked up before) */
  take(owner: Owner, id: string): Promise<WaitingAnswer>
}

/** 128 bits, 22 characters: an attacker cannot guess an id, least of all within its lifetime of a few seconds. */
const ID_BYTES = 16

export function createPickupDesk(dependencies: {
  readonly store: Pick<Store, 'pickups'>
  readonly now: () => Date
  readonly randomBytes: (size: number) => Buffer
  readonly timeoutSeconds: number
}): PickupDesk {
  const { store, now, randomBytes, timeoutSeconds } = dependencies
  return {
    async keep(owner, answer) {
      const id = randomBytes(ID_BYTES).toString('base64url')
      const expiresAt = new Date(now().getTime() + timeoutSeconds * 1000)
      await store.pickups.keep(pickupKey(owner, id), JSON.stringify(answer), expiresAt)
      return id
    },
    async take(owner, id) {
      const content = await store.pickups.take(pickupKey(owner, id), now())
      if (content !== undefined) return JSON.parse(content) as WaitingAnswer
      throw new TtsError('not_found', wattsMessages.notFound, { check: 'pickup' })
    },
  }
}

function pickupKey({ issuer, sub }: Owner, id: string): Pickup {
  return { idDigest: digest(id), ownerDigest: digest(JSON.stringify([issuer, sub])) }
}

function digest(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex')
}
