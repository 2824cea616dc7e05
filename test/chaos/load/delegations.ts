/** Delegations, and their renewals with a renewal secret. One user is suspended at the provider from time to time. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Holder, Installation } from '../evidence.ts'
import { type Received, send } from '../http.ts'
import type { ChaosSystem } from '../system.ts'
import { renewers } from '../system.ts'
import { type LoadContext, noteGrant, pause, repeat } from './client.ts'

export interface HeldDelegation {
  readonly installation: Installation
  readonly username: string
  readonly id: string
  readonly secret: string
}

const LIFETIME_SECONDS = 3600
/** Longer than another replica's spool is waited for: the limit of the service plus that of the provider. */
const ACCEPTED_WITHIN_MS = 180_000

/** One for each user who has one, made before anything breaks. */
export async function makeDelegations(system: ChaosSystem): Promise<readonly HeldDelegation[]> {
  const made: HeldDelegation[] = []
  for (const installation of ['replicas', 'single'] as const)
    for (const username of renewers[installation]) {
      const token = await system.logIn(username)
      const sent = { method: 'POST', token }
      const answer = await send(system.targets[installation], '/v1/delegations', sent)
      if (answer.status !== 201) throw new Error(`no delegation for ${username}: ${answer.body}`)
      const { id, renewal_secret: secret } = JSON.parse(answer.body) as Record<string, string>
      made.push({ installation, username, id: id ?? '', secret: secret ?? '' })
    }
  return made
}

/** One renewal. A proxy that comes is noted. */
export async function renewOnce(
  { system, evidence, csr }: Pick<LoadContext, 'system' | 'evidence' | 'csr'>,
  { installation, username, id, secret }: HeldDelegation,
  timeoutMs = 30_000,
): Promise<Received> {
  const begunAt = Date.now()
  const path = `/v1/delegations/${id}/proxies?lifetime_seconds=${LIFETIME_SECONDS}`
  const answer = await send(system.targets[installation], path, {
    method: 'POST',
    token: secret,
    headers: { 'content-type': 'application/pkcs10', accept: 'application/json' },
    body: csr.pem,
    timeoutMs,
  })
  if (answer.status === 200) {
    const { id: credential, pem } = JSON.parse(answer.body) as { id: string; pem: string }
    const { privateKey } = csr
    const common = { installation, way: 'delegation', sub: `sub-${username}`, privateKey }
    const expected = { ...common, lifetimeSeconds: LIFETIME_SECONDS }
    noteGrant(evidence, expected, { begunAt, id: credential, pem })
  }
  return answer
}

/** Renews again and again, as a worker without a certcache would. */
export async function renewingClient(context: LoadContext, held: HeldDelegation): Promise<void> {
  context.evidence.secrets.add(held.secret)
  await repeat(context, 5000, async () => renewOnce(context, held))
}

/** A request may join a refresh that the provider answered before; no client waits longer than 30 seconds. */
const SUSPENSION = { beforeMs: 15_000, joinedMs: 10_000, judgedMs: 8000, answeredMs: 32_000 }

/** Suspends the user at the provider from time to time: renewals in that time must be refused. */
export async function suspendingProvider({ system, evidence, over }: LoadContext): Promise<void> {
  const user = system.watched.provider.user('suspended')
  const refusal = { installation: 'replicas', sub: user.sub, why: 'the user is suspended' } as const
  while (!over.aborted) {
    await pause(SUSPENSION.beforeMs, over)
    user.suspended = true
    await pause(SUSPENSION.joinedMs, over)
    const from = Date.now()
    await pause(SUSPENSION.judgedMs, over)
    const until = Date.now()
    await pause(SUSPENSION.answeredMs, over)
    if (!over.aborted) evidence.refusals.push({ ...refusal, from, until })
    user.suspended = false
  }
}

/** Whether the provider still takes the refresh token: by a renewal, when nothing is broken any more. */
export async function heldAtEnd(
  context: Pick<LoadContext, 'system' | 'evidence' | 'csr'>,
  held: HeldDelegation,
): Promise<Holder> {
  const name = `delegation of ${held.username} (${held.installation})`
  const end = performance.now() + ACCEPTED_WITHIN_MS
  for (;;) {
    const answer = await renewOnce(context, held).catch((error: unknown) => ({
      status: 0,
      body: String(error),
    }))
    const detail = `${answer.status} ${answer.body.slice(0, 300)}`
    if (answer.status === 200) return { name, accepted: true, endedOnPurpose: false, detail }
    if (performance.now() > end) return { name, accepted: false, endedOnPurpose: false, detail }
    await sleep(1000)
  }
}
