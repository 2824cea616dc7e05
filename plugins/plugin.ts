/**
 * The plugin interface. A plugin turns an identity's request to a service into a credential. It never sees HTTP or
 * the CA's key, and an access token only if the service passes it on. Certificates are made only by the issuing
 * context, which enforces the service's limits and collects each certificate for the record.
 */
import type { KeyObject } from 'node:crypto'
import { z } from 'zod'
import type { KeyKind } from '../ca/key.ts'
import type { PublicKey } from '../ca/public-key.ts'
import type { ProxyType } from '../ca/extensions.ts'
import type { Fqan } from '../ca/voms/fqan.ts'
import type { SshUserCertificate, SshUserRequest } from '../ca/ssh/user-certificate.ts'

/** Why a plugin did not return a credential. Decide on the code, never on the message. */
export type PluginErrorCode =
  | 'invalid_parameters' // the caller's parameters are not valid for the plugin
  | 'refused' // the plugin refuses; `message` is its explanation
  | 'failed' // the plugin failed, or its answer is unusable
  | 'overloaded' // too many requests are waiting for the plugin
  | 'timeout' // the plugin did not answer in time

/** Further properties of a plugin's error. */
export interface PluginErrorOptions {
  /** The underlying error, for the log. Never shown to the caller. */
  readonly cause?: unknown
  /** Seconds after which the caller may try again. */
  readonly retryAfterSeconds?: number
}

/** The error of a plugin. `message` is for the caller and must not hold secrets. */
export class PluginError extends Error {
  readonly code: PluginErrorCode
  readonly retryAfterSeconds: number | undefined

  constructor(code: PluginErrorCode, message: string, options: PluginErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'PluginError'
    this.code = code
    this.retryAfterSeconds = options.retryAfterSeconds
  }
}

/** Another login of the same user, which a plugin required. */
export interface AdditionalLogin {
  readonly providerId: string
  /** Without a trailing slash, as in this service's records. */
  readonly issuer: string
  /** Exactly as the provider publishes it. */
  readonly publishedIssuer: string
  readonly sub: string
  readonly claims: Readonly<Record<string, unknown>>
  readonly accessToken: string | undefined
}

/** The caller as shown to plugins. */
export interface PluginCaller {
  /** Verified issuer without a trailing slash, as in this service's records. */
  readonly issuer: string
  /** The issuer exactly as the provider publishes it: executables identify people by it. */
  readonly publishedIssuer: string
  /** Verified subject. */
  readonly sub: string
  /** Claims from token, introspection and UserInfo; empty for renewal by possession. */
  readonly claims: Readonly<Record<string, unknown>>
  /** Secret. Set only if the service's settings pass it on. */
  readonly accessToken: string | undefined
  readonly additionalLogins: readonly AdditionalLogin[]
}

/** The answer of a plugin: a credential, or a login at another provider that must precede a repeated request. */
export type PluginAnswer =
  | {
      readonly kind: 'credential'
      readonly entries: readonly CredentialEntry[]
      /** When the credential expires; undefined when the plugin does not say. */
      readonly notAfter: Date | undefined
      /** Hints for the caller, one sentence each. */
      readonly warnings: readonly string[]
      /** Passed to `revoke` to revoke the credential; undefined for certificates, which the service revokes itself. */
      readonly state: string | undefined
    }
  | { readonly kind: 'login'; readonly provider: string; readonly message: string }

/** One named value of a credential; names and types are those of WaTTS. */
export interface CredentialEntry {
  readonly name: string
  readonly type: 'text' | 'textarea' | 'textfile'
  readonly value: string
  /** Suggested file name. */
  readonly saveAs?: string
  /** Suggested size of a text field, in lines (`rows`) and characters (`cols`). */
  readonly rows?: number
  readonly cols?: number
}

/** The answer of a plugin that makes certificates. */
export interface Credential {
  readonly entries: readonly CredentialEntry[]
  /** When the credential expires. */
  readonly notAfter: Date
  /** Hints for the caller, one sentence each. */
  readonly warnings: readonly string[]
}

/** A certificate made by the issuing context. */
export interface MadeCertificate {
  readonly der: Buffer
  /** Kind of its public key, for example `rsa-2048`. */
  readonly keyKind: string
  /** DER of the certificates above it, issuer first, without the root. */
  readonly chain: readonly Buffer[]
  readonly notAfter: Date
  /** When the first of its VOMS attributes end; undefined: it has none. */
  readonly attributesEnd?: Date | undefined
}

/** A request for the VOMS attributes of one VO. */
export interface VomsRequest {
  readonly vo: string
  /** In their order; empty: the groups; `all`: groups and roles. */
  readonly fqans: readonly Fqan[] | 'all'
}

/** Attributes of one VO that the caller may have. Only the issuing context makes them. */
export interface CallerAttributes {
  readonly vo: string
  readonly fqans: readonly Fqan[]
}

/**
 * The key that a proxy is issued for: a public key that passed the key policy, or a CSR in PEM, which will be verified.
 */
export type SubjectKey = PublicKey | { readonly csr: string }

/** An SSH certificate made by the issuing context. */
export interface MadeSshCertificate extends Pick<
  SshUserCertificate,
  'line' | 'serial' | 'notAfter'
> {
  /** The SSH CA's public key as a line of a TrustedUserCAKeys file. */
  readonly authorityLine: string
}

/** The context of a revocation. */
export interface RevocationTools {
  readonly caller: PluginCaller
  /** Aborts when the caller no longer waits or the deadline has passed. */
  readonly signal: AbortSignal
}

/** What a plugin makes certificates and keys with. Bound to one identity and one request. */
export interface IssuingContext extends RevocationTools {
  /** Id of the credential that is being made; UUID. */
  readonly credentialId: string
  /** DER of the CA's certificate and of those above it, root last. */
  readonly authorityChain: readonly Buffer[]
  /** Returns `size` cryptographically secure random bytes. */
  randomBytes(size: number): Buffer
  /**
   * Issues an SSH user certificate; at most one for each credential.
   *
   * @param request.lifetimeSeconds undefined: the service's default
   * @throws {TtsError} `invalid_request`, check `lifetime` (longer than the service's maximum); `internal` (there is
   *   no SSH CA, or a certificate was made already)
   * @throws {CaError} `bad_request`, `weak_key`
   */
  sshCertificate(
    request: Omit<SshUserRequest, 'now' | 'randomBytes' | 'lifetimeSeconds'> & {
      readonly lifetimeSeconds: number | undefined
    },
  ): Promise<MadeSshCertificate>
  /**
   * Returns a new private key; RSA keys come from a pool.
   *
   * @throws {TtsError} `overloaded`, `limit_reached` (too many requests wait for a key); `shutting_down`
   */
  privateKey(kind: KeyKind): Promise<KeyObject>
  /**
   * Issues an EEC with the identity's subject name.
   *
   * @param request.lifetimeSeconds undefined: the service's default. The EEC never outlives the CA.
   * @throws {TtsError} `invalid_request`, check `lifetime` (longer than the service's maximum)
   * @throws {CaError} `weak_key`, `bad_lifetime`
   * @see RFC 5280 section 4.1
   */
  endEntity(request: {
    readonly publicKey: PublicKey
    readonly lifetimeSeconds: number | undefined
  }): Promise<MadeCertificate>
  /**
   * Decides which VOMS attributes the caller may have.
   *
   * @throws {TtsError} `invalid_request`, `access_denied`: as `Attributes.decide`
   */
  attributes(requests: readonly VomsRequest[]): Promise<readonly CallerAttributes[]>
  /**
   * Issues a proxy, signed with the identity's EEC, whose key the service holds.
   *
   * @param request.attributes VOMS attributes from `attributes` of this context
   * @param request.pathLength how many further proxies may follow; undefined: no limit
   * @param request.lifetimeSeconds undefined: the service's default. The proxy never outlives the EEC.
   * @throws {TtsError} `invalid_request`, check `lifetime` (longer than the service's maximum); `overloaded`,
   *   `limit_reached`, `store_unavailable`
   * @throws {CaError} `malformed`, `bad_signature`, `weak_key` (the CSR), `bad_request`
   * @see RFC 3820 section 3
   */
  proxy(request: {
    readonly subjectKey: SubjectKey
    readonly type: ProxyType
    readonly pathLength: number | undefined
    readonly lifetimeSeconds: number | undefined
    readonly attributes: readonly CallerAttributes[]
  }): Promise<MadeCertificate>
}

/** A request parameter, as described in lists and pages. */
export interface RequestParameter {
  readonly key: string
  readonly name: string
  readonly description: string
  readonly type: 'text' | 'textarea'
  readonly mandatory: boolean
}

/** Alternative sets of parameters; a request must use the keys of one set. */
export type ParameterSets = readonly (readonly RequestParameter[])[]

/** Why a plugin cannot be used. */
export interface PluginProblem {
  /** For users. */
  readonly reason: string
  /** For the operator: may contain more than users should see. */
  readonly detail: string
  /** What the operator can do; a full sentence. */
  readonly remedy: string | undefined
  /** True while the plugin is starting, so that requests should be repeated. */
  readonly starting: boolean
}

/** A plugin with the settings of one service; built in or an executable. */
export interface Plugin<Schema extends z.ZodType = z.ZodType> {
  /** The name that services refer to. */
  readonly id: string
  readonly description: string
  /** Defaults of the service's lifetime settings; undefined for plugins that do not make certificates. */
  readonly lifetimes?: { readonly defaultSeconds: number; readonly maximumSeconds: number }
  /** Longest time that one request may take, in seconds; undefined: the general request timeout. */
  readonly patienceSeconds?: number
  /** Schema of the request parameters. Must refuse unknown keys. */
  readonly parameters: Schema
  /** The same parameters as a list for people; may change when `problem` does. */
  readonly parameterSets: ParameterSets
  /** Set while the plugin cannot be used; its service is then disabled. */
  readonly problem?: PluginProblem | undefined
  /**
   * Makes the credential.
   *
   * @param parameters as parsed by the schema `parameters`
   * @throws {PluginError} `invalid_parameters`, `refused`, `failed`, `overloaded`, `timeout`
   * @throws the errors of the issuing context; the reason of its signal
   */
  request(context: IssuingContext, parameters: z.output<Schema>): Promise<PluginAnswer>
  /** Revokes the credential with this state. Undefined when changing the record is enough. @throws as `request` */
  revoke?(tools: RevocationTools, state: string): Promise<void>
  /** Stops background work. */
  close?(): void
}

/** A built-in plugin as written in its file: without the parameter list, and with a shorter answer for certificates. */
export type PluginDefinition<Schema extends z.ZodType> = Omit<
  Plugin<Schema>,
  'parameterSets' | 'request'
> & {
  request(
    context: IssuingContext,
    parameters: z.output<Schema>,
  ): Promise<PluginAnswer | (Credential & { readonly kind?: undefined })>
}

/** Completes a built-in plugin: derives the parameter list from the schema, and the full answer from a `Credential`. */
export function definePlugin<Schema extends z.ZodType>(
  definition: PluginDefinition<Schema>,
): Plugin<Schema> {
  return {
    ...definition,
    parameterSets: parameterSetsOf(definition.parameters),
    async request(context, parameters) {
      const answer = await definition.request(context, parameters)
      return answer.kind === undefined
        ? { ...answer, kind: 'credential', state: undefined }
        : answer
    },
  }
}

interface ObjectSchema {
  readonly properties?: Readonly<Record<string, { readonly description?: string }>>
  readonly required?: readonly string[]
}

/** Parameters with long or multi-line values. */
const LONG_VALUES: readonly string[] = ['csr', 'public_key']

/**
 * Returns the schema of a plugin's parameters as JSON Schema. Parameters without a description are left out: they are
 * in the schema only for their error message.
 */
export function parameterJsonSchema(schema: z.ZodType): ObjectSchema {
  const json = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as ObjectSchema
  if (json.properties === undefined) return json
  const offered = Object.entries(json.properties).filter(([, { description }]) => description)
  return { ...json, properties: Object.fromEntries(offered) }
}

/** Returns the one set of parameters that the schema accepts. */
function parameterSetsOf(schema: z.ZodType): ParameterSets {
  const { properties = {}, required = [] } = parameterJsonSchema(schema)
  const set = Object.entries(properties).map(([key, { description = '' }]): RequestParameter => ({
    key,
    name: nameOf(key),
    description,
    type: LONG_VALUES.includes(key) ? 'textarea' : 'text',
    mandatory: required.includes(key),
  }))
  return [set]
}

function nameOf(key: string): string {
  if (key === 'csr') return 'Certificate signing request'
  if (key === 'voms') return 'VOMS attributes'
  const words = key.replaceAll('_', ' ')
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}`
}
