/**
 * Bans an identity or a group: from then on nothing is issued to them, what is out is revoked, and their delegations
 * end. It holds on all replicas and needs no restart.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { RevocationReason } from '../../../ca/crl-entries.ts'
import { withoutTrailingSlash } from '../../config/provider-schema.ts'
import { operatorRecord } from '../operator-audit.ts'
import type { AuditRecord, CredentialView, Identity, Origin } from '../records.ts'
import type { Store } from '../store.ts'
import type { Delegation } from '../delegations/records.ts'
import type { Ban, BanTarget } from './records.ts'

export interface BanDependencies {
  readonly store: Pick<Store, 'bans' | 'listCredentials' | 'delegations'>
  readonly now: () => Date
  /** Revokes a credential without making a CRL. */
  readonly revokeCredential: (credential: CredentialView, reason: RevocationReason) => Promise<void>
  /** Ends a delegation, here and at its provider. */
  readonly endDelegation: (delegation: Delegation, reason: string) => Promise<void>
  /** Makes the CRL with all revocations. */
  readonly publish: () => Promise<void>
  /** Waits; replaced in tests. Default: a timer. */
  readonly wait?: (milliseconds: number) => Promise<void>
}

/** What a ban has ended. */
export interface BanResult {
  readonly ban: Ban
  readonly identities: number
  readonly credentials: number
  readonly delegations: number
  /** What failed, also at the second try: each with its cause. */
  readonly failures: readonly string[]
}

export interface BanRequest {
  readonly target: BanTarget
  /** For people: why. */
  readonly reason: string
  readonly createdBy: string
  readonly origin: Origin
}

/** Longest reason of a ban, in characters. */
export const MAX_REASON = 200

/** Whether a text can be the reason of a ban: one line that says something. */
export function isReason(text: string): boolean {
  return text.trim() !== '' && text.length <= MAX_REASON && !/\p{C}/u.test(text)
}

/** Replicas read the bans once a second. What they issued until then is found by a second look. */
const SECOND_LOOK_MS = 3000
const PAGE = 500

/**
 * Stores the ban, revokes what is out, and looks again after three seconds. If it is interrupted, the ban holds, and
 * the command can be repeated.
 *
 * @throws {TtsError} `store_unavailable`
 */
export async function banUsers(
  dependencies: BanDependencies,
  { target, reason, createdBy, origin }: BanRequest,
): Promise<BanResult> {
  const { store, now, wait = delay } = dependencies
  const createdAt = now()
  const ban: Ban = {
    id: randomUUID(),
    target: normalised(target),
    reason,
    createdAt,
    createdBy,
    liftedAt: undefined,
  }
  await store.bans.add(ban, auditOf(ban, { event: 'ban.added', at: createdAt, origin }))
  const ended = { credentials: 0, delegations: 0, failures: new Set<string>() }
  await endAll(dependencies, ban, ended)
  await wait(SECOND_LOOK_MS)
  // What failed is tried again now.
  ended.failures.clear()
  const identities = await endAll(dependencies, ban, ended)
  return { ban, identities, ...ended, failures: [...ended.failures] }
}

/** The records hold issuers without a slash at the end. */
function normalised(target: BanTarget): BanTarget {
  if (target.kind === 'identity') return { ...target, issuer: withoutTrailingSlash(target.issuer) }
  const { issuer } = target
  return { ...target, issuer: issuer === undefined ? undefined : withoutTrailingSlash(issuer) }
}

/**
 * Lifts a ban. What was revoked stays revoked. Returns false when there is no such ban, or it was lifted before.
 *
 * @throws {TtsError} `store_unavailable`
 */
export async function liftBan(
  { store, now }: { readonly store: Pick<Store, 'bans'>; readonly now: () => Date },
  ban: Ban,
  origin: Origin,
): Promise<boolean> {
  const at = now()
  return store.bans.lift(ban.id, at, auditOf(ban, { event: 'ban.lifted', at, origin }))
}

/** Counts what is ended. */
interface Ended {
  credentials: number
  delegations: number
  readonly failures: Set<string>
}

/** Returns the number of identities. The CRL comes before the delegations: each of them may wait for its provider. */
async function endAll(dependencies: BanDependencies, ban: Ban, ended: Ended): Promise<number> {
  const { store, publish } = dependencies
  const members = await store.bans.sweep(ban)
  for (const identity of members) await revokeCredentials(dependencies, identity, ended)
  await succeeds('the CRL', ended.failures, publish)
  for (const identity of members) await endDelegations(dependencies, identity, { ban, ended })
  return members.length
}

async function endDelegations(
  { store, endDelegation }: BanDependencies,
  identity: Identity,
  { ban, ended }: { readonly ban: Ban; readonly ended: Ended },
): Promise<void> {
  const active = await store.delegations.list({
    identityId: identity.id,
    state: 'active',
    limit: 1000,
  })
  for (const delegation of active)
    if (
      await succeeds(`delegation ${delegation.id}`, ended.failures, async () =>
        endDelegation(delegation, `banned: ${ban.reason}`),
      )
    )
      ended.delegations += 1
}

async function revokeCredentials(
  { store, revokeCredential, now }: BanDependencies,
  identity: Identity,
  ended: Ended,
): Promise<void> {
  const revokedSerials = new Set<string>()
  let after: string | undefined
  for (;;) {
    const page = await store.listCredentials({
      identityId: identity.id,
      activeAt: now(),
      limit: PAGE,
      ...(after !== undefined && { after }),
    })
    for (const credential of page) {
      const { id, endEntitySerial: serial } = credential
      const isRevoked =
        // Revoking an EEC revokes all credentials under it.
        (serial !== undefined && revokedSerials.has(serial)) ||
        (await succeeds(`credential ${id}`, ended.failures, async () =>
          revokeCredential(credential, 'privilegeWithdrawn'),
        ))
      if (!isRevoked) continue
      ended.credentials += 1
      if (serial !== undefined) revokedSerials.add(serial)
    }
    after = page.at(-1)?.id
    if (page.length < PAGE) return
  }
}

/** One failure must not keep the others from being revoked. */
async function succeeds(
  name: string,
  failures: Set<string>,
  work: () => Promise<void>,
): Promise<boolean> {
  try {
    await work()
    return true
  } catch (error) {
    failures.add(`${name}: ${error instanceof Error ? error.message : 'unknown error'}`)
    return false
  }
}

function auditOf(
  { id, target, reason }: Ban,
  { event, at, origin }: { readonly event: string; readonly at: Date; readonly origin: Origin },
): AuditRecord {
  const isIdentity = target.kind === 'identity'
  return operatorRecord({
    at,
    event,
    origin,
    user: { issuer: target.issuer, sub: isIdentity ? target.sub : undefined },
    detail: `ban ${id}${isIdentity ? '' : ` of the group ${target.group}`}: ${reason}`,
  })
}
