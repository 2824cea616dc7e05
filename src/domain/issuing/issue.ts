/**
 * The issuance path: token in, credential out. `issue` is the only function that decides to issue a credential. Every
 * interface (native HTTP, WaTTS, delegations, command line) calls it.
 */
import type { CredentialEntry } from '../../../plugins/plugin.ts'
import { TtsError } from '../../base/errors.ts'
import { withSpan } from '../../base/spans.ts'
import { orderedUuid } from '../../base/ordered-uuid.ts'
import type { Log } from '../../base/log.ts'
import type { BanList } from '../bans/ban-list.ts'
import type { Sampler } from '../../limits/sampler.ts'
import { type Caller, type CallerDependencies, type Evidence, identifyCaller } from './callers.ts'
import { type CredentialCounts, withinCredentialLimit } from './credential-limit.ts'
import { auditLine, recordRefusal, serviceIdOf } from './issue-audit.ts'
import { issueError } from './issue-errors.ts'
import { readParameters } from './issue-parameters.ts'
import type { IdentityShare } from './identity-share.ts'
import type { IdentityLimiter } from './identity-limiter.ts'
import type { Identity, Origin } from '../records.ts'
import type { Store } from '../store.ts'
import type { Service } from './service.ts'
import type { Subjects } from './subject.ts'
import type { GroupMemory } from '../voms/known-groups.ts'
import {
  type BoundIssuingContext,
  createIssuingContext,
  type IssuingDependencies,
} from './issuing-context.ts'

export interface IssueDependencies extends IssuingDependencies, CallerDependencies {
  readonly services: ReadonlyMap<string, Service>
  readonly subjects: Subjects
  readonly limiter: IdentityLimiter
  readonly identityShare: IdentityShare
  readonly credentialCounts: CredentialCounts
  readonly sampleRefusal: Sampler
  readonly bans: BanList
  readonly groupMemory: GroupMemory
  readonly store: Store
}

/** What the caller requests. */
export interface AskedFor {
  /** Undefined for renewal by possession: the service of the presented proxy is used. */
  readonly serviceId: string | undefined
  /** Parameters for the plugin, not yet checked. */
  readonly parameters: unknown
}

/** A request for a credential. */
export type CredentialRequest = Evidence & {
  /** The service if it is known before `read`; recorded with a refusal. */
  readonly serviceId: string | undefined
  /**
   * Reads the request's body. Called only after the caller is identified, so that strangers cannot make us read bodies.
   *
   * @param shown the service of the proxy that the caller has shown; undefined for callers with a token
   */
  readonly read: (shown: string | undefined) => AskedFor | Promise<AskedFor>
  readonly origin: Origin
  readonly signal: AbortSignal
  readonly log: Log
}

/**
 * A request that may be answered with a login at another provider. Without `canLogIn` such an answer becomes a refusal.
 */
export type InteractiveRequest = CredentialRequest & { readonly canLogIn: boolean }

/** An issued credential. */
export interface IssuedCredential {
  readonly kind: 'credential'
  readonly id: string
  readonly identity: Identity
  readonly serviceId: string
  readonly entries: readonly CredentialEntry[]
  /** When the credential expires; undefined when the plugin does not say. */
  readonly notAfter: Date | undefined
  readonly warnings: readonly string[]
  /**
   * Serial number of the EEC whose revocation invalidates the credential; undefined when it holds no X.509 certificate.
   */
  readonly endEntitySerial: string | undefined
}

/** A credential that is a certificate or a proxy. */
export interface IssuedCertificate extends IssuedCredential {
  readonly notAfter: Date
  readonly endEntitySerial: string
}

/** The plugin requires a login at another provider, after which the request must be repeated. */
export interface LoginWanted {
  readonly kind: 'login'
  /** Id of the provider that the plugin named. */
  readonly provider: string
  readonly message: string
}

/**
 * Decides on a request and issues the credential. When the promise is fulfilled with a credential, its record is
 * durable. When it is rejected, nothing was issued and the refusal is recorded (refusals of unverified callers are
 * sampled).
 *
 * @throws {TtsError} `invalid_token`, `insufficient_scope`, `provider_unavailable` (the token cannot be verified)
 * @throws {TtsError} `not_found`, check `service`; `access_denied` (rules, disabled service, plugin, or a required
 * login)
 * @throws {TtsError} `invalid_request`, `invalid_csr`, `payload_too_large` (parameters)
 * @throws {TtsError} `limit_reached`, `overloaded` (rates, credential limit, queues)
 * @throws {TtsError} `plugin_failed`, `store_unavailable`, `shutting_down`, `internal`
 */
export async function issue(
  dependencies: IssueDependencies,
  given: InteractiveRequest,
): Promise<IssuedCredential | LoginWanted>
export async function issue(
  dependencies: IssueDependencies,
  given: CredentialRequest,
): Promise<IssuedCredential>
export async function issue(
  dependencies: IssueDependencies,
  given: CredentialRequest & { readonly canLogIn?: boolean },
): Promise<IssuedCredential | LoginWanted> {
  let caller: Caller | undefined
  let request = given
  let leave: (() => void) | undefined
  try {
    // 1. Identify the caller. All later steps use only what the verifier returned, never the raw token or proxy.
    const { signal, origin } = request
    const from = { signal, address: origin.address }
    caller = await withSpan('verify', () => identifyCaller(dependencies, given, from))
    leave = dependencies.identityShare.enter(caller.key)
    await requireNotBanned(dependencies.bans, caller)

    // 2. Read the request. Only now: strangers must not make us read bodies.
    const asked = await request.read(caller.serviceId)
    request = { ...request, serviceId: asked.serviceId }

    // 3. Check that the caller may use the service. The default is to refuse.
    const known = caller
    const service = requireService(dependencies.services, serviceIdOf(request, known))
    await withSpan('authorise', () => authorise(dependencies, known, service), {
      'tts.service': service.id,
    })

    // 4. Check the parameters, before a key is made or a name is assigned.
    const parameters = readParameters(service, caller.parameters(asked.parameters))

    // 5. Get the identity with its permanent subject name; the first request assigns the name.
    const identity = await caller.identity(dependencies.subjects)
    await requireNotBanned(dependencies.bans, caller, identity.id)
    const { key, claims } = caller
    await dependencies.bans.rememberGroups({ ...key, claims }, identity.id)
    await dependencies.groupMemory.remember({ ...key, claims }, identity.id)

    // 6. The plugin makes the credential, with tools that enforce the service's limits. 7. Record it before answering.
    const grant = { request, caller, service, parameters, identity }
    const answer = await withinCredentialLimit(dependencies, grant, () =>
      makeAndRecord(dependencies, grant),
    )
    if (answer.kind === 'login' && given.canLogIn !== true) throw loginWanted()
    return answer
  } catch (error) {
    const refusal = issueError(error)
    await recordRefusal(dependencies, { request, caller, refusal })
    throw refusal
  } finally {
    leave?.()
  }
}

/** Narrows a credential to one with an X.509 certificate. @throws {TtsError} `internal` (it has none) */
export function requireCertificate(answer: IssuedCredential): IssuedCertificate {
  const { notAfter, endEntitySerial } = answer
  if (notAfter !== undefined && endEntitySerial !== undefined)
    return { ...answer, notAfter, endEntitySerial }
  throw new TtsError('internal', 'the plugin made no certificate')
}

/**
 * Returns the error for a required login that cannot be made here. Clients of WaTTS compare its message, so it must
 * not change.
 */
function loginWanted(): TtsError {
  return new TtsError('access_denied', 'login is required, please use the web interface', {
    check: 'login',
  })
}

/** Checks that the caller may use the service, now. */
async function authorise(
  dependencies: IssueDependencies,
  caller: Caller,
  service: Service,
): Promise<void> {
  await requireMayUse(dependencies, caller, service)
  requireEnabled(service)
  dependencies.limiter.check(caller.key)
}

/** A token that allows nothing any more still says which groups its holder has left. */
async function requireMayUse(
  { groupMemory, store }: IssueDependencies,
  caller: Caller,
  service: Service,
): Promise<void> {
  try {
    caller.requireMayUse(service)
  } catch (error) {
    const { key, claims } = caller
    const known = claims && (await store.findIdentity(key))
    if (known !== undefined) await groupMemory.remember({ ...key, claims }, known.id)
    throw error
  }
}

/** None of the caller's logins may be banned: a plugin gets them all. */
async function requireNotBanned(
  bans: BanList,
  { key, claims, additionalLogins }: Caller,
  identityId?: string,
): Promise<void> {
  await bans.requireNotBanned({ ...key, claims }, identityId)
  for (const login of additionalLogins) await bans.requireNotBanned(login)
}

interface Grant {
  readonly request: CredentialRequest
  readonly caller: Caller
  readonly service: Service
  readonly parameters: unknown
  readonly identity: Identity
}

async function makeAndRecord(
  dependencies: IssueDependencies,
  grant: Grant,
  mayRetry = true,
): Promise<IssuedCredential | LoginWanted> {
  const { request, caller, service, identity } = grant
  const { origin, signal } = request
  const credentialId = orderedUuid(dependencies.now())
  const forPlugin = caller.forPlugin(service)
  const { claims, presented } = caller
  const holder = { identity, claims, presented }
  const about = { ...holder, service, origin, caller: forPlugin, credentialId, signal }
  const context = createIssuingContext(dependencies, about)
  const tools = caller.tools(context, { service, now: dependencies.now })
  const answer = await withSpan('issue', () => service.plugin.request(tools, grant.parameters), {
    'tts.service': service.id,
  })
  if (answer.kind === 'login') return answer
  const { endEntitySerial, sshSerial } = context
  if (service.lifetimes !== undefined && endEntitySerial === undefined && sshSerial === undefined)
    throw new TtsError('internal', 'the plugin made no certificate')
  const { entries, notAfter, warnings, state } = answer
  const issued = { entries, notAfter, warnings, identity, serviceId: service.id, endEntitySerial }
  try {
    const id = await recordCredential(dependencies, grant, { context, notAfter, state })
    return { ...issued, kind: 'credential', id }
  } catch (error) {
    // The cached EEC was revoked meanwhile, perhaps by another process: retry once with a new EEC.
    if (!mayRetry || !(error instanceof TtsError) || error.check !== 'end_entity_revoked')
      throw error
    dependencies.endEntities.forget(identity.id)
    return makeAndRecord(dependencies, grant, false)
  }
}

/** What the plugin made, and the issuing context that it used. */
interface Made {
  readonly context: BoundIssuingContext
  readonly notAfter: Date | undefined
  readonly state: string | undefined
}

/** Records a credential. Returns its id, or that of the existing credential if the plugin returned its state again. */
async function recordCredential(
  dependencies: IssueDependencies,
  grant: Grant,
  made: Made,
): Promise<string> {
  const { request, caller, service, identity } = grant
  const { notAfter, state: pluginState } = made
  const { credentialId: id, endEntitySerial, sshSerial, made: certificates } = made.context
  const issuedAt = dependencies.now()
  const line = { outcome: 'allowed', at: issuedAt } as const
  const record = {
    id,
    identityId: identity.id,
    serviceId: service.id,
    certificates,
    endEntitySerial,
    sshSerial,
    pluginState,
    issuedAt,
    notAfter,
    clientId: caller.clientId,
    origin: request.origin,
    ...caller.ancestry,
  }
  const audit = auditLine(grant, { ...line, event: 'credential.issued', credentialId: id })
  try {
    // Again: a plugin may have taken long. For known identities the store looks, too, in the same transaction.
    await requireNotBanned(dependencies.bans, caller, identity.id)
    await withSpan('record', () => dependencies.store.recordCredential(record, audit))
  } catch (error) {
    const isDouble = error instanceof TtsError && error.check === 'duplicate_record'
    if (!isDouble || pluginState === undefined) throw error
    const same = await existingCredentialId(dependencies, grant, pluginState)
    const again = { ...line, event: 'credential.given-again', credentialId: same }
    await dependencies.store.recordAudit(auditLine(grant, again))
    return same
  }
  request.log.info(
    {
      event: 'credential.issued',
      credential: id,
      service: service.id,
      subject: identity.subject,
      serials: certificates.map(({ serial }) => serial),
      ...(sshSerial === undefined ? {} : { ssh_serial: sshSerial }),
      not_after: notAfter,
    },
    'credential issued',
  )
  return id
}

/** Returns the id of the credential that already has this state, if the service allows that. */
async function existingCredentialId(
  { store }: IssueDependencies,
  { identity, service }: Grant,
  state: string,
): Promise<string> {
  const key = { identityId: identity.id, serviceId: service.id, state }
  const existing = service.allowsSameState ? await store.findCredentialByState(key) : undefined
  if (existing !== undefined) return existing.id
  throw new TtsError(
    'plugin_failed',
    'the service did not return a unique state, contact the administrator',
    {
      check: 'state',
      remedy: `Set services.${service.id}.executable.allow_same_state if the plugin means the existing credential.`,
    },
  )
}

function requireService(services: ReadonlyMap<string, Service>, id: string): Service {
  const service = services.get(id)
  if (!service) throw new TtsError('not_found', 'no service has this name', { check: 'service' })
  return service
}

function requireEnabled({ id, enabled, plugin }: Service): void {
  if (enabled) return
  const { problem } = plugin
  if (problem?.starting === true)
    throw new TtsError('overloaded', 'the plugin of this service is starting, try again later', {
      check: 'plugin_starting',
      retryAfterSeconds: 5,
    })
  const remedy = problem?.remedy ?? problem?.detail
  throw new TtsError('access_denied', 'the service you tried to use is disabled', {
    check: 'enabled',
    remedy: remedy ?? `Set services.${id}.enabled to true.`,
  })
}
