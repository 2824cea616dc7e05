/** The address at which an answer is picked up, once, by who asked for it. */
import { createHash } from 'node:crypto'
import type { CredentialEntry } from '../../../plugins/plugin.ts'
import type { Pickup } from '../../domain/records.ts'
import type { Store } from '../../domain/store.ts'
import { TtsError } from '../../base/errors.ts'
import { wattsMessages } from './answers.ts'

/** What waits. */
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
  /** Keeps an answer; answers the id of its address. */
  keep(owner: Owner, answer: WaitingAnswer): Promise<string>
  /** @throws {TtsError} `not_found` for all but the first who asks in time, and for everybody else than the owner */
  take(owner: Owner, id: string): Promise<WaitingAnswer>
}

/** 128 bits, 22 characters: nobody guesses one in its few seconds, or finds one without them. */
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
      await store.pickups.keep(pickupOf(owner, id), JSON.stringify(answer), expiresAt)
      return id
    },
    async take(owner, id) {
      const content = await store.pickups.take(pickupOf(owner, id), now())
      if (content !== undefined) return JSON.parse(content) as WaitingAnswer
      throw new TtsError('not_found', wattsMessages.notFound, { check: 'pickup' })
    },
  }
}

function pickupOf({ issuer, sub }: Owner, id: string): Pickup {
  return { idDigest: digest(id), ownerDigest: digest(JSON.stringify([issuer, sub])) }
}

function digest(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex')
}
