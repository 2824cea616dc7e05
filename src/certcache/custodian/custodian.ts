/**
 * The custodian: the only one who uses our refresh token, under a lock of its own, for one use.
 *
 * A provider that rotates refresh tokens without grace (IAM as it comes) forgets the old one the moment it answers. Whoever
 * is killed between that answer and the write of the new token has lost the right to renew. So `certcache` lets this work be
 * done by a short-lived process of its own (`custodian-process.ts`), which goes on when certcache is killed: it takes the
 * lock, writes durably what it got, and only then answers. A certcache that starts meanwhile has its own custodian wait for
 * the lock; that one then finds the new token, and an access token that still lives, in the state.
 *
 * What remains: the machine, or the whole container, dies between the answer and the write. The state then tells that an
 * answer is missing (`attemptBegunAt`), and the error says so.
 */
import { setTimeout as realSleep } from 'node:timers/promises'
import { decodeJwt } from 'jose'
import { TtsError } from '../../errors.ts'
import { type CustodyStore, refreshHeld, startCustody } from '../../grants/custody.ts'
import type { GrantClient, Granted } from '../../grants/grant.ts'
import {
  type CustodyRecord,
  digestOf,
  readState,
  withDigest,
  writeState,
} from '../state/state-records.ts'
import type { StateLock, StateStore } from '../state/state-store.ts'

/** What the first refresh token is got from, when the state has none that works. */
export type CustodyStart =
  | { readonly kind: 'exchange'; readonly token: string }
  | { readonly kind: 'refresh_token'; readonly token: string }
  /** A login takes the place of whatever there is, once. */
  | {
      readonly kind: 'login'
      readonly id: string
      readonly token: string
      readonly granted_at: string
      readonly refresh_expires_at?: string | undefined
      readonly access?: { readonly token: string; readonly expires_at: string } | undefined
    }

/** One piece of work: an access token is wanted. */
export interface CustodianTask {
  readonly issuer: string
  readonly client_id: string
  readonly audience: string | undefined
  readonly scopes: readonly string[]
  readonly start: CustodyStart | undefined
  /** An access token in the state serves when it lives for longer. */
  readonly fresh_for_seconds: number
  /** Digest of an access token that was refused: it does not serve. */
  readonly refused: string | undefined
  /** How long another custodian at work is waited for. */
  readonly lock_wait_ms: number
  /** How long a token is kept in memory while the state cannot be written. */
  readonly stubborn_ms: number
}

/** An access token. */
export interface AccessToken {
  readonly token: string
  readonly expiresAt: Date
}

export interface CustodianParts {
  readonly store: StateStore
  readonly client: GrantClient
  readonly now: () => Date
}

const LOCK_POLL_MS = 100
const STUBBORN_PAUSE_MS = 250
/** For tokens that do not tell their end. */
const UNKNOWN_LIFE_MS = 300_000

/**
 * Answers an access token that lives for a while: the one in the state, or one got by refresh or from the start.
 *
 * @throws {TtsError} `delegation_ended` when there is nothing to renew with; `grant_refused`, `provider_unavailable`,
 * `overloaded` (another custodian is at work), `configuration`, `store_unavailable`
 */
export async function runCustodian(
  parts: CustodianParts,
  task: CustodianTask,
): Promise<AccessToken> {
  const custody = new Custody(parts, task, await lockCustody(parts, task))
  try {
    return await custody.accessToken()
  } finally {
    await custody.release()
  }
}

async function lockCustody({ store }: CustodianParts, task: CustodianTask): Promise<StateLock> {
  const end = performance.now() + task.lock_wait_ms
  for (;;) {
    const lock = await store.tryLock('custodian')
    if (lock !== undefined) return lock
    if (performance.now() > end)
      throw new TtsError('overloaded', 'another refresh of this token is under way', {
        check: 'custodian_busy',
        retryAfterSeconds: 5,
      })
    await realSleep(LOCK_POLL_MS)
  }
}

/** The record of custody while its lock is held. */
class Custody {
  readonly #parts: CustodianParts
  readonly #task: CustodianTask
  #lock: StateLock
  #record: CustodyRecord | undefined

  constructor(parts: CustodianParts, task: CustodianTask, lock: StateLock) {
    this.#parts = parts
    this.#task = task
    this.#lock = lock
  }

  async release(): Promise<void> {
    await this.#lock.release()
  }

  async accessToken(): Promise<AccessToken> {
    await this.#load()
    const { start } = this.#task
    if (start?.kind === 'login') await this.#takeLogin(start)
    else if (!this.#isAlive()) {
      const granted = await this.#begin(start)
      if (granted !== undefined) return granted
    }
    const known = this.#record?.access
    if (known !== undefined && this.#serves(known.token, known.expires_at))
      return { token: known.token, expiresAt: known.expires_at }
    return this.#refresh()
  }

  /** What another client was given is nothing to us, and showing it there would be its end. */
  async #load(): Promise<void> {
    const record = await readState(this.#parts.store, 'custody')
    const { issuer, client_id: clientId } = this.#task
    const ours = record?.issuer === issuer && record.client_id === clientId
    this.#record = ours ? record : undefined
  }

  #isAlive(): boolean {
    return this.#record !== undefined && this.#record.ended === undefined
  }

  #serves(token: string, expiresAt: Date): boolean {
    const leftMs = expiresAt.getTime() - this.#parts.now().getTime()
    return leftMs > this.#task.fresh_for_seconds * 1000 && digestOf(token) !== this.#task.refused
  }

  async #takeLogin(login: CustodyStart & { readonly kind: 'login' }): Promise<void> {
    if (this.#record?.login === login.id) return
    const { issuer, client_id: clientId } = this.#task
    const { access } = login
    const grantedAt = new Date(login.granted_at)
    const end = login.refresh_expires_at
    await this.#write({
      issuer,
      client_id: clientId,
      held: {
        current: login.token,
        grantedAt,
        renewedAt: grantedAt,
        ...(end === undefined ? {} : { refreshExpiresAt: new Date(end) }),
      },
      ...(access && { access: { token: access.token, expires_at: new Date(access.expires_at) } }),
      login: login.id,
      used: this.#record?.used ?? [],
    })
  }

  /** The first refresh token. An exchange brings an access token with it. */
  async #begin(start: CustodyStart | undefined): Promise<AccessToken | undefined> {
    const digest = start && digestOf(start.token)
    const used = this.#record?.used ?? []
    if (start === undefined || digest === undefined || used.includes(digest)) throw this.#over()
    const { issuer, client_id: clientId } = this.#task
    const identity = { issuer, client_id: clientId, used: withDigest(used, digest) }
    const now = this.#parts.now()
    if (start.kind === 'refresh_token') {
      const held = { current: start.token, grantedAt: now, renewedAt: now }
      await this.#write({ ...identity, held })
      return undefined
    }
    const { audience, scopes } = this.#task
    const granted = await this.#parts.client.exchange({
      subjectToken: start.token,
      audience,
      scopes,
      signal: new AbortController().signal,
    })
    const access = accessOf(granted, now)
    await this.#writeSurely({
      ...identity,
      held: startCustody(granted, now),
      access: { token: access.token, expires_at: access.expiresAt },
    })
    return access
  }

  async #refresh(): Promise<AccessToken> {
    const { client, now } = this.#parts
    const at = now()
    try {
      const granted = await refreshHeld({
        client,
        store: this.#custodyStore(),
        audience: this.#task.audience,
        now,
        signal: new AbortController().signal,
      })
      const access = accessOf(granted, at)
      await this.#change({ access: { token: access.token, expires_at: access.expiresAt } })
      return access
    } catch (error) {
      if (error instanceof TtsError && error.code === 'delegation_ended')
        await this.#change({ ended: { at: now(), reason: error.message }, access: undefined })
      throw error
    }
  }

  /** The record as `refreshHeld` sees it. A new token is written surely: nobody else has it. */
  #custodyStore(): CustodyStore {
    return {
      load: async () => {
        await this.#load()
        const held = this.#record?.held
        if (held === undefined) return undefined
        const { previous, rotates, attemptBegunAt } = held
        return { ...held, previous, rotates, attemptBegunAt }
      },
      save: async (held) => {
        const record = this.#record
        if (record === undefined) throw this.#over()
        const isNew = held.current !== record.held.current
        const changed = { ...record, held: { ...held } }
        await (isNew ? this.#writeSurely(changed) : this.#write(changed))
      },
    }
  }

  async #change(changes: Partial<CustodyRecord>): Promise<void> {
    if (this.#record !== undefined) await this.#write({ ...this.#record, ...changes })
  }

  async #write(record: CustodyRecord): Promise<void> {
    await writeState(this.#lock, 'custody', record)
    this.#record = record
  }

  /** A full disk or a database that is away: the token is kept in memory and offered to the state until it takes it. */
  async #writeSurely(record: CustodyRecord): Promise<void> {
    const end = performance.now() + this.#task.stubborn_ms
    for (;;) {
      try {
        await this.#write(record)
        return
      } catch (error) {
        if (performance.now() > end) throw error
      }
      await realSleep(STUBBORN_PAUSE_MS)
      // In a database the lock went with the connection.
      if (this.#lock.lost.aborted)
        this.#lock =
          (await this.#parts.store.tryLock('custodian').catch(() => undefined)) ?? this.#lock
    }
  }

  #over(): TtsError {
    const reason = this.#record?.ended?.reason
    return new TtsError(
      'delegation_ended',
      reason ?? 'there is no refresh token to renew with, and no token to get one from',
      {
        check: 'start_token_wanted',
        remedy:
          'give a new access token (source.token_file), or log in by device: `certcache login`',
      },
    )
  }
}

function accessOf({ accessToken, expiresAt }: Granted, at: Date): AccessToken {
  const end = expiresAt ?? expiryOf(accessToken) ?? new Date(at.getTime() + UNKNOWN_LIFE_MS)
  return { token: accessToken, expiresAt: end }
}

/** The end of a JWT by its own words, unverified: only to know when it is of no use any more. */
export function expiryOf(token: string): Date | undefined {
  try {
    const { exp } = decodeJwt(token)
    return typeof exp === 'number' ? new Date(exp * 1000) : undefined
  } catch {
    return undefined
  }
}
