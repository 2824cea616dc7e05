/**
 * Bans an identity or a group: from then on nothing is issued to them, what is out is revoked, and their delegations
 * end. It holds on all replicas and needs no restart.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { RevocationReason } from '../../../ca/crl-entries.ts'
import { withoutTrailingSlash } from '../../config/provider-schema.ts'
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
  /** What could not be revoked; try again with `tts credential revoke`. */
  readonly failures: readonly string[]
}

export interface BanRequest {
  readonly target: BanTarget
  /** For people: why. */
  readonly reason: string
  readonly createdBy: string
  readonly origin: Origin
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
  const { store, now, publish, wait = delay } = dependencies
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
  const first = await endAll(dependencies, ban)
  await publish()
  await wait(SECOND_LOOK_MS)
  const second = await endAll(dependencies, ban)
  if (second.credentials > 0) await publish()
  return {
    ban,
    identities: second.identities,
    credentials: first.credentials + second.credentials,
    delegations: first.delegations + second.delegations,
    failures: [...new Set([...first.failures, ...second.failures])],
  }
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

type Ended = Omit<BanResult, 'ban'>

async function endAll(dependencies: BanDependencies, ban: Ban): Promise<Ended> {
  const members = await dependencies.store.bans.sweep(ban)
  const failures: string[] = []
  let [credentials, delegations] = [0, 0]
  for (const identity of members) {
    delegations += await endDelegations(dependencies, identity, { ban, failures })
    credentials += await revokeAll(dependencies, identity, failures)
  }
  return { identities: members.length, credentials, delegations, failures }
}

async function endDelegations(
  { store, endDelegation }: BanDependencies,
  identity: Identity,
  { ban, failures }: { readonly ban: Ban; readonly failures: string[] },
): Promise<number> {
  const active = await store.delegations.list({
    identityId: identity.id,
    state: 'active',
    limit: 1000,
  })
  let ended = 0
  for (const delegation of active)
    ended += await attempt(`delegation ${delegation.id}`, failures, async () =>
      endDelegation(delegation, `banned: ${ban.reason}`),
    )
  return ended
}

async function revokeAll(
  { store, revokeCredential, now }: BanDependencies,
  identity: Identity,
  failures: string[],
): Promise<number> {
  let revoked = 0
  let after: string | undefined
  const done = new Set<string>()
  for (;;) {
    const page = await store.listCredentials({
      identityId: identity.id,
      activeAt: now(),
      limit: PAGE,
      ...(after !== undefined && { after }),
    })
    for (const credential of page) {
      const { id, endEntitySerial } = credential
      // Revoking an EEC revokes all credentials under it.
      if (endEntitySerial !== undefined && done.has(endEntitySerial)) revoked += 1
      else
        revoked += await attempt(`credential ${id}`, failures, async () =>
          revokeCredential(credential, 'privilegeWithdrawn'),
        )
      if (endEntitySerial !== undefined) done.add(endEntitySerial)
    }
    const last = page.at(-1)
    if (last === undefined || page.length < PAGE) return revoked
    after = last.id
  }
}

/** One failure must not keep the others from being revoked. Returns 1 if the work succeeded, otherwise 0. */
async function attempt(
  name: string,
  failures: string[],
  work: () => Promise<void>,
): Promise<number> {
  try {
    await work()
    return 1
  } catch (error) {
    failures.push(`${name}: ${error instanceof Error ? error.message : 'unknown error'}`)
    return 0
  }
}

function auditOf(
  { id, target, reason }: Ban,
  { event, at, origin }: { readonly event: string; readonly at: Date; readonly origin: Origin },
): AuditRecord {
  const isIdentity = target.kind === 'identity'
  return {
    at,
    event,
    outcome: 'allowed',
    origin,
    issuer: target.issuer,
    sub: isIdentity ? target.sub : undefined,
    serviceId: undefined,
    credentialId: undefined,
    code: undefined,
    check: undefined,
    detail: `ban ${id}${isIdentity ? '' : ` of the group ${target.group}`}: ${reason}`,
  }
}
