/**
 * What a plugin is: it turns the request of an identity for a service into a credential. Plugins see neither HTTP nor
 * tokens nor the CA's key; certificates are made only by the issuing context that they are handed, which keeps to the
 * limits of the grant and puts everything on record.
 */
import type { KeyObject } from 'node:crypto'
import { z } from 'zod'
import type { KeyKind } from '../ca/key.ts'
import type { PublicKey } from '../ca/public-key.ts'
import type { ProxyType } from '../ca/extensions.ts'
import type { SshUserCertificate, SshUserRequest } from '../ca/ssh/user-certificate.ts'

/** Why a plugin gave no credential; decide on this, never on the text. */
export type PluginErrorCode =
  | 'invalid_parameters' // what the caller asked is not what the plugin takes
  | 'refused' // the plugin says no, in its own words
  | 'failed' // the fault is the plugin's: its answer is of no use, or there is none
  | 'overloaded' // too many wait for the plugin
  | 'timeout' // the plugin did not answer in time

/** What an error of a plugin carries besides its code. */
export interface PluginErrorOptions {
  /** What went wrong in truth, for the log. Never shown to the caller. */
  readonly cause?: unknown
  /** Seconds after which the caller may try again. */
  readonly retryAfterSeconds?: number
}

/** Why a plugin refuses a request; `message` is for the caller. */
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

/** Another login of the same person, which a plugin asked for. */
export interface AdditionalLogin {
  readonly providerId: string
  readonly issuer: string
  readonly sub: string
  readonly claims: Readonly<Record<string, unknown>>
  readonly accessToken: string | undefined
}

/** Who asks, as plugins that know identities are told. */
export interface PluginCaller {
  readonly issuer: string
  readonly sub: string
  /** Claims of token, introspection and UserInfo. */
  readonly claims: Readonly<Record<string, unknown>>
  /** Only where the service's settings pass it on. */
  readonly accessToken: string | undefined
  readonly additionalLogins: readonly AdditionalLogin[]
}

/** An answer: a credential, or a login to ask for at another provider, after which the request is made again. */
export type PluginAnswer =
  | {
      readonly kind: 'credential'
      readonly entries: readonly CredentialEntry[]
      /** When it ends by itself; undefined where the plugin does not say. */
      readonly notAfter: Date | undefined
      /** What the caller should know though nothing failed, one sentence each. */
      readonly warnings: readonly string[]
      /** By which it is revoked later. */
      readonly state: string | undefined
    }
  | { readonly kind: 'login'; readonly provider: string; readonly message: string }

/** One thing to hand over, as WaTTS names them. */
export interface CredentialEntry {
  readonly name: string
  readonly type: 'text' | 'textarea' | 'textfile'
  readonly value: string
  /** File name to save the value under. */
  readonly saveAs?: string
  /** Size in which a page may show the value, in lines and characters. */
  readonly rows?: number
  readonly cols?: number
}

/** What a plugin of certificates made. */
export interface Credential {
  readonly entries: readonly CredentialEntry[]
  /** When it ends by itself. */
  readonly notAfter: Date
  /** What the caller should know though nothing failed, one sentence each. */
  readonly warnings: readonly string[]
}

/** A certificate made by the issuing context. */
export interface MadeCertificate {
  readonly der: Buffer
  /** Kind of its key, for example `rsa-2048`. */
  readonly keyKind: string
  /** Certificates above it in file order, without the root; DER. */
  readonly chain: readonly Buffer[]
  readonly notAfter: Date
}

/** Whose key a proxy is for: a public key that passed the policy, or that of a CSR in PEM, which is verified with it. */
export type SubjectKey = PublicKey | { readonly csr: string }

/** An SSH certificate made by the issuing context. */
export interface MadeSshCertificate extends Pick<
  SshUserCertificate,
  'line' | 'serial' | 'notAfter'
> {
  /** The CA's line of a TrustedUserCAKeys file. */
  readonly authorityLine: string
}

/** For whom a plugin revokes, and how long it may take. */
export interface RevocationTools {
  readonly caller: PluginCaller
  readonly signal: AbortSignal
}

/** The tools that a plugin works with, bound to one identity and one grant. */
export interface IssuingContext extends RevocationTools {
  /** Of the credential that is being made. */
  readonly credentialId: string
  /** The CA's certificate and those above it, root last; DER. */
  readonly authorityChain: readonly Buffer[]
  randomBytes(size: number): Buffer
  /** Signs within the limits of the grant, and notes it for the record. `lifetimeSeconds` undefined: the service's default. */
  sshCertificate(
    request: Omit<SshUserRequest, 'now' | 'randomBytes' | 'lifetimeSeconds'> & {
      readonly lifetimeSeconds: number | undefined
    },
  ): Promise<MadeSshCertificate>
  /** A new private key; RSA ones come from a pool. */
  privateKey(kind: KeyKind): Promise<KeyObject>
  /** An EEC for the public key. `lifetimeSeconds` undefined: the service's default. */
  endEntity(request: {
    readonly publicKey: PublicKey
    readonly lifetimeSeconds: number | undefined
  }): Promise<MadeCertificate>
  /** A proxy under the EEC whose key the service holds for the identity. */
  proxy(request: {
    readonly subjectKey: SubjectKey
    readonly type: ProxyType
    readonly pathLength: number | undefined
    readonly lifetimeSeconds: number | undefined
  }): Promise<MadeCertificate>
}

/** One parameter of requests, as lists and pages show it. */
export interface RequestParameter {
  readonly key: string
  readonly name: string
  readonly description: string
  readonly type: 'text' | 'textarea'
  readonly mandatory: boolean
}

/** Alternatives: a request keeps to one of them. */
export type ParameterSets = readonly (readonly RequestParameter[])[]

/** Why a plugin cannot be used. */
export interface PluginProblem {
  readonly reason: string
  /** What the operator can do. */
  readonly remedy: string | undefined
}

/** A plugin, built in or an executable, with the settings of the service that it is of. */
export interface Plugin<Schema extends z.ZodType = z.ZodType> {
  /** The name by which services refer to it. */
  readonly id: string
  readonly description: string
  /** Default of the service's `lifetime_seconds` settings; undefined where the plugin makes no certificates. */
  readonly lifetimes?: { readonly defaultSeconds: number; readonly maximumSeconds: number }
  /** Longest that one request may take, in seconds; undefined: no longer than any other request. */
  readonly patienceSeconds?: number
  /** What callers may ask; unknown keys are refused. */
  readonly parameters: Schema
  /** The same as a list for people. */
  readonly parameterSets: ParameterSets
  readonly problem?: PluginProblem
  /**
   * @throws {PluginError}
   * @throws the reason of the issuing context's signal
   */
  request(context: IssuingContext, parameters: z.output<Schema>): Promise<PluginAnswer>
  /** Takes back the credential of a state; undefined where nothing but the record has to be changed. @throws as `request` */
  revoke?(tools: RevocationTools, state: string): Promise<void>
}

/** A plugin as it is written: the list of parameters follows from the schema, and certificates need no state. */
export type PluginDefinition<Schema extends z.ZodType> = Omit<
  Plugin<Schema>,
  'parameterSets' | 'request'
> & {
  request(
    context: IssuingContext,
    parameters: z.output<Schema>,
  ): Promise<PluginAnswer | (Credential & { readonly kind?: undefined })>
}

/** Makes a built-in plugin out of what is particular to it. */
export function definePlugin<Schema extends z.ZodType>(
  definition: PluginDefinition<Schema>,
): Plugin<Schema> {
  return {
    ...definition,
    parameterSets: parameterSetsOf(definition.parameters),
    async request(context, parameters) {
      const made = await definition.request(context, parameters)
      return made.kind === undefined ? { ...made, kind: 'credential', state: undefined } : made
    },
  }
}

interface ObjectSchema {
  readonly properties?: Readonly<Record<string, { readonly description?: string }>>
  readonly required?: readonly string[]
}

/** Keys whose values are long or have several lines. */
const LONG_VALUES: readonly string[] = ['csr', 'public_key']

/** One set: what the schema takes. */
function parameterSetsOf(schema: z.ZodType): ParameterSets {
  const { properties = {}, required = [] } = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
  }) as ObjectSchema
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
  const words = key.replaceAll('_', ' ')
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}`
}
