/**
 * THE path: token in, credential out. The one function that decides that a certificate may be issued; every interface
 * (native HTTP, WaTTS, delegations, command line) calls it.
 */
import { randomUUID } from 'node:crypto'
import type { CredentialEntry } from '../../../plugins/plugin.ts'
import { TtsError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
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
  readonly store: Store
}

/** What is asked for. */
export interface AskedFor {
  /** Undefined by possession: the service of the proxy that is shown. */
  readonly serviceId: string | undefined
  /** What the caller asks of the plugin, unchecked. */
  readonly parameters: unknown
}

/** Who asks for what, and from where. */
export type CredentialRequest = Evidence & {
  /** The service, as far as it is known before `read`; for the record of a refusal. */
  readonly serviceId: string | undefined
  /** Reads what is asked for. Called once the caller is known: until then nothing of a body is read. */
  readonly read: () => AskedFor | Promise<AskedFor>
  readonly origin: Origin
  readonly signal: AbortSignal
  readonly log: Log
}

/** A request of a person who may be sent to a login at another provider; where not, a service that wants one refuses. */
export type InteractiveRequest = CredentialRequest & { readonly canLogIn: boolean }

/** What is answered. */
export interface IssuedCredential {
  readonly kind: 'credential'
  readonly id: string
  readonly identity: Identity
  readonly serviceId: string
  readonly entries: readonly CredentialEntry[]
  /** When it ends by itself; undefined where the plugin does not say. */
  readonly notAfter: Date | undefined
  readonly warnings: readonly string[]
  /** Serial number of the EEC, by whose revocation the credential dies; undefined: it holds no X.509 certificate. */
  readonly endEntitySerial: string | undefined
}

/** A credential that is a certificate or a proxy. */
export interface IssuedCertificate extends IssuedCredential {
  readonly notAfter: Date
  readonly endEntitySerial: string
}

/** The plugin wants a login at another provider first; then the request is to be made again. */
export interface LoginWanted {
  readonly kind: 'login'
  /** Id of the provider, as the plugin says. */
  readonly provider: string
  readonly message: string
}

/**
 * Decides on a request and issues what it asks for. When it answers with a credential, the record is durable; when it
 * throws, the refusal is on record and nothing was issued.
 *
 * @throws {TtsError} `invalid_token`, `insufficient_scope`, `access_denied`, `invalid_request`, `invalid_csr`,
 *   `limit_reached`, `not_found` (no such service), `plugin_failed`, `provider_unavailable`, `store_unavailable`, `overloaded`
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
    // 1. Who is it? Everything that follows rests on what the verifier returned, on nothing else of token or proxy.
    const { signal, origin } = request
    caller = await identifyCaller(dependencies, request, { signal, address: origin.address })
    leave = dependencies.identityShare.enter(caller.key)

    // 2. What do they ask for? Read only now: the bytes of strangers cost us nothing.
    const asked = await request.read()
    request = { ...request, serviceId: asked.serviceId }

    // 3. May they use this service? Default deny.
    const service = requireService(dependencies.services, serviceIdOf(request, caller))
    caller.requireMayUse(service)
    requireEnabled(service)
    dependencies.limiter.check(caller.key)

    // 4. Are the parameters in order? Checked before any key is made or any name is given.
    const parameters = readParameters(service, caller.parameters(asked.parameters))

    // 5. The name that this identity has for ever.
    const identity = await caller.identity(dependencies.subjects)

    // 6. The plugin makes the credential, with tools that keep to the service's limits. 7. It is put on record.
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

/** What was issued where only certificates and proxies are asked for. @throws {TtsError} `internal` */
export function requireCertificate(answer: IssuedCredential): IssuedCertificate {
  const { notAfter, endEntitySerial } = answer
  if (notAfter !== undefined && endEntitySerial !== undefined)
    return { ...answer, notAfter, endEntitySerial }
  throw new TtsError('internal', 'the plugin made no certificate')
}

/** The error of a request that needs a login, where there can be none. WaTTS's clients compare these words. */
function loginWanted(): TtsError {
  return new TtsError('access_denied', 'login is required, please use the web interface', {
    check: 'login',
  })
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
  const credentialId = randomUUID()
  const forPlugin = caller.forPlugin(service)
  const about = { identity, service, origin, caller: forPlugin, credentialId, signal }
  const context = createIssuingContext(dependencies, about)
  const tools = caller.tools(context, { service, now: dependencies.now })
  const answer = await service.plugin.request(tools, grant.parameters)
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
    // The EEC in memory was revoked meanwhile, perhaps by another process: once more under a new one.
    if (!mayRetry || !(error instanceof TtsError) || error.check !== 'end_entity_revoked')
      throw error
    dependencies.endEntities.forget(identity.id)
    return makeAndRecord(dependencies, grant, false)
  }
}

/** What was made, and by which tools. */
interface Made {
  readonly context: BoundIssuingContext
  readonly notAfter: Date | undefined
  readonly state: string | undefined
}

/** Puts a credential on record; answers its id, or that of the one which the plugin means again. */
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
    await dependencies.store.recordCredential(record, audit)
  } catch (error) {
    const isDouble = error instanceof TtsError && error.check === 'duplicate_record'
    if (!isDouble || pluginState === undefined) throw error
    const same = await sameAgain(dependencies, grant, pluginState)
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
      ...(sshSerial === undefined ? {} : { sshSerial }),
      notAfter,
    },
    'credential issued',
  )
  return id
}

/** The id of the credential that has this state already, where the service allows that. */
async function sameAgain(
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
  if (!service)
    throw new TtsError('not_found', 'there is no service of this name', { check: 'service' })
  return service
}

function requireEnabled({ id, enabled, plugin }: Service): void {
  if (enabled) return
  const remedy = plugin.problem?.remedy ?? plugin.problem?.reason
  throw new TtsError('access_denied', 'the service you tried to use is disabled', {
    check: 'enabled',
    remedy: remedy ?? `Set services.${id}.enabled to true.`,
  })
}
