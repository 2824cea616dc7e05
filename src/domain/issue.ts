/**
 * THE path: token in, credential out. The one function that decides that a certificate may be issued; every door
 * (native HTTP, WaTTS, delegations, command line) calls it.
 */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { CaError } from '../../ca/errors.ts'
import { type Credential, PluginError } from '../../plugins/plugin.ts'
import { TtsError } from '../errors.ts'
import type { Log } from '../log.ts'
import {
  type Caller,
  type CallerDependencies,
  clientOf,
  type Evidence,
  identifyCaller,
  identityKeyOf,
  identityOf,
  parametersOf,
  requireMayUse,
  toolsFor,
} from './callers.ts'
import type { IdentityLimiter } from './rate-limiter.ts'
import type { AuditRecord, CredentialRecord, Identity, Origin, Store } from './records.ts'
import type { Service } from './service.ts'
import type { Subjects } from './subject.ts'
import { createWorkbench, type WorkbenchDependencies } from './workbench.ts'

export interface IssueDependencies extends WorkbenchDependencies, CallerDependencies {
  readonly services: ReadonlyMap<string, Service>
  readonly subjects: Subjects
  readonly limiter: IdentityLimiter
  readonly store: Store
}

/** Who asks for what, and from where. */
export type CredentialRequest = Evidence & {
  /** Undefined by possession: the service of the proxy that is shown. */
  readonly serviceId: string | undefined
  /** What the caller asks of the plugin, unchecked. */
  readonly parameters: unknown
  readonly origin: Origin
  readonly signal: AbortSignal
  readonly log: Log
}

/** What is answered. */
export interface IssuedCredential extends Credential {
  readonly id: string
  readonly identity: Identity
  readonly serviceId: string
  /** Serial number of the EEC, by whose revocation the credential dies. */
  readonly endEntitySerial: string
}

/**
 * Decides on a request and issues what it asks for. When it answers, the record is durable; when it throws, the refusal is
 * on record and nothing was issued.
 *
 * @throws {TtsError} `invalid_token`, `insufficient_scope`, `access_denied`, `invalid_request`, `invalid_csr`,
 *   `limit_reached`, `not_found` (no such service), `provider_unavailable`, `store_unavailable`, `overloaded`
 */
export async function issueCredential(
  dependencies: IssueDependencies,
  request: CredentialRequest,
): Promise<IssuedCredential> {
  let caller: Caller | undefined
  try {
    // 1. Who is it? Everything that follows rests on what the verifier returned, on nothing else of token or proxy.
    caller = await identifyCaller(dependencies, request, request.signal)

    // 2. May they use this service? Default deny.
    const service = requireService(dependencies.services, serviceIdOf(request, caller))
    requireMayUse(service, caller)
    dependencies.limiter.check(identityKeyOf(caller))

    // 3. What do they ask? Checked before any key is made or any name is given.
    const parameters = readParameters(service, parametersOf(caller, request.parameters))

    // 4. The name that this identity has for ever.
    const identity = await identityOf(dependencies.subjects, caller)

    // 5. The plugin makes the credential, on a workbench that keeps to the service's bounds. 6. It is put on record.
    return await makeAndRecord(dependencies, { request, caller, service, parameters, identity })
  } catch (error) {
    const refusal = asTtsError(error)
    await recordRefusal(dependencies, { request, caller, refusal })
    throw refusal
  }
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
): Promise<IssuedCredential> {
  const { request, caller, service, identity } = grant
  const { origin } = request
  const workbench = createWorkbench(dependencies, { identity, service, origin })
  const tools = toolsFor(caller, workbench, { service, now: dependencies.now })
  const credential = await service.plugin.request(tools, grant.parameters)
  const { endEntitySerial } = workbench
  if (endEntitySerial === undefined)
    throw new TtsError('internal', 'the plugin made no certificate')
  const id = randomUUID()
  const issuedAt = dependencies.now()
  try {
    await dependencies.store.recordCredential(
      {
        id,
        identityId: identity.id,
        serviceId: service.id,
        certificates: workbench.made,
        endEntitySerial,
        issuedAt,
        notAfter: credential.notAfter,
        clientId: clientOf(caller),
        origin,
        ...ancestryOf(caller),
      },
      auditLine(grant, {
        event: 'credential.issued',
        outcome: 'allowed',
        at: issuedAt,
        credentialId: id,
      }),
    )
  } catch (error) {
    // The EEC in memory was revoked meanwhile, perhaps by another process: once more under a new one.
    if (!mayRetry || !(error instanceof TtsError) || error.check !== 'end_entity_revoked')
      throw error
    dependencies.endEntities.forget(identity.id)
    return makeAndRecord(dependencies, grant, false)
  }
  request.log.info(
    {
      event: 'credential.issued',
      credential: id,
      service: service.id,
      subject: identity.subject,
      serials: workbench.made.map(({ serial }) => serial),
      notAfter: credential.notAfter,
    },
    'credential issued',
  )
  return { ...credential, id, identity, serviceId: service.id, endEntitySerial }
}

/** By what the credential was renewed, for its record. */
function ancestryOf(
  caller: Caller,
): Pick<CredentialRecord, 'delegationId' | 'renewedFrom' | 'firstIssuedAt'> {
  if (caller.kind === 'token')
    return { delegationId: caller.delegationId, renewedFrom: undefined, firstIssuedAt: undefined }
  const { delegationId, credentialId: renewedFrom, firstIssuedAt } = caller.predecessor
  return { delegationId, renewedFrom, firstIssuedAt }
}

function serviceIdOf(request: CredentialRequest, caller: Caller | undefined): string {
  if (request.serviceId !== undefined) return request.serviceId
  return caller?.kind === 'possession' ? caller.predecessor.serviceId : ''
}

function requireService(services: ReadonlyMap<string, Service>, id: string): Service {
  const service = services.get(id)
  if (!service)
    throw new TtsError('not_found', 'there is no service of this name', { check: 'service' })
  if (!service.enabled) {
    throw new TtsError('access_denied', 'the service you tried to use is disabled', {
      check: 'enabled',
      remedy: `services.${id}.enabled`,
    })
  }
  return service
}

function readParameters(service: Service, parameters: unknown): unknown {
  const result = service.plugin.parameters.safeParse(parameters ?? {})
  if (result.success) return result.data
  throw new TtsError('invalid_request', parameterProblems(result.error), { check: 'parameters' })
}

function parameterProblems(error: z.ZodError): string {
  return error.issues.slice(0, 5).map(parameterProblem).join('; ')
}

/** One problem. What the caller sent is not repeated: a token in the wrong place would end in the log and the audit trail. */
function parameterProblem(issue: z.core.$ZodIssue): string {
  if (issue.code === 'unrecognized_keys') {
    const known = issue.keys.filter((key) => /^[a-z_]{1,32}$/.test(key))
    return known.length > 0
      ? `there is no parameter ${known.slice(0, 5).join(', ')}`
      : 'a parameter is not known; /openapi.json lists them'
  }
  const where = issue.path.length > 0 ? `${issue.path.join('.')}: ` : ''
  return `${where}${issue.code === 'invalid_union' ? unionProblem(issue) : issue.message}`
}

/** Of the alternatives that a value could have been, what the one says that has its type. */
function unionProblem(issue: z.core.$ZodIssueInvalidUnion): string {
  const problems = issue.errors.flat()
  const telling = problems.find(({ code }) => code !== 'invalid_type') ?? problems[0]
  return telling?.message ?? issue.message
}

/** Errors of the library and of plugins become ours here, and only here. */
function asTtsError(error: unknown): TtsError {
  if (error instanceof TtsError) return error
  if (error instanceof PluginError) {
    return new TtsError('invalid_request', error.message, { check: error.code, cause: error })
  }
  if (error instanceof CaError) {
    switch (error.code) {
      case 'malformed':
      case 'bad_signature':
      case 'weak_key':
        return new TtsError('invalid_csr', error.message, { check: error.code, cause: error })
      case 'too_large':
        return new TtsError('payload_too_large', error.message, { check: error.code, cause: error })
      case 'bad_request':
        return new TtsError('invalid_request', error.message, { check: error.code, cause: error })
      case 'bad_lifetime':
        return new TtsError('internal', 'no certificate can be issued now', {
          check: error.code,
          remedy: "look at the CA certificate's life with `tts ca show`",
          cause: error,
        })
      case 'bad_name':
      case 'bad_authority':
      case 'bad_proxy_file':
      case 'self_check_failed':
        return new TtsError('internal', 'no certificate can be issued now', {
          check: error.code,
          cause: error,
        })
      default:
        return error.code satisfies never
    }
  }
  return new TtsError('internal', 'something failed inside the service', { cause: error })
}

async function recordRefusal(
  dependencies: IssueDependencies,
  refused: {
    readonly request: CredentialRequest
    readonly caller: Caller | undefined
    readonly refusal: TtsError
  },
): Promise<void> {
  const { request, caller, refusal } = refused
  const fields = {
    event: 'credential.refused',
    service: serviceName(dependencies, serviceIdOf(request, caller)),
    code: refusal.code,
    check: refusal.check,
  }
  const level = refusal.code === 'internal' ? 'error' : 'info'
  const cause = refusal.cause === undefined ? {} : { err: refusal.cause }
  request.log[level]({ ...fields, ...cause, remedy: refusal.remedy }, refusal.message)
  const line = auditLine(refused, {
    event: 'credential.refused',
    outcome: 'refused',
    at: dependencies.now(),
    credentialId: undefined,
  })
  try {
    await dependencies.store.recordAudit({
      ...line,
      serviceId: fields.service,
      code: refusal.code,
      check: refusal.check,
      detail: refusal.message.slice(0, 500),
    })
  } catch (error) {
    // The caller must learn of the refusal, not of the database's trouble; the log has both.
    request.log.error({ event: 'audit.failed', err: error }, 'a refusal could not be put on record')
  }
}

/** The service's id when there is one; what else a caller may have written there stays out of log and records. */
function serviceName({ services }: IssueDependencies, serviceId: string): string {
  return services.has(serviceId) ? serviceId : '(unknown)'
}

function auditLine(
  { request, caller }: { readonly request: CredentialRequest; readonly caller: Caller | undefined },
  line: Pick<AuditRecord, 'event' | 'outcome' | 'at' | 'credentialId'>,
): AuditRecord {
  const identity = caller && identityKeyOf(caller)
  return {
    ...line,
    origin: request.origin,
    issuer: identity?.issuer,
    sub: identity?.sub,
    serviceId: serviceIdOf(request, caller),
    code: undefined,
    check: undefined,
    detail: undefined,
  }
}
