/**
 * What a plugin is: it turns the request of an identity for a service into a credential. Plugins see neither HTTP nor
 * tokens nor the CA's key; certificates are made only by the workbench that they are handed, which keeps to the
 * limits of the grant and puts everything on record.
 */
import type { KeyObject } from 'node:crypto'
import type { z } from 'zod'
import type { KeyKind, PublicKey } from '../ca/key.ts'
import type { ProxyType } from '../ca/extensions.ts'

/** Why a plugin refuses a request; `message` is for the caller. */
export class PluginError extends Error {
  readonly code: 'invalid_parameters'

  constructor(code: 'invalid_parameters', message: string) {
    super(message)
    this.name = 'PluginError'
    this.code = code
  }
}

/** One thing to hand over, as WaTTS names them. */
export interface CredentialEntry {
  readonly name: string
  readonly type: 'text' | 'textarea' | 'textfile'
  readonly value: string
  /** File name to save the value under. */
  readonly saveAs?: string
}

/** What a plugin made. */
export interface Credential {
  readonly entries: readonly CredentialEntry[]
  /** When it ends by itself. */
  readonly notAfter: Date
  /** What the caller should know though nothing failed, one sentence each. */
  readonly warnings: readonly string[]
}

/** A certificate from the workbench. */
export interface MadeCertificate {
  readonly der: Buffer
  /** Certificates above it in file order, without the root; DER. */
  readonly chain: readonly Buffer[]
  readonly notAfter: Date
}

/** The tools that a plugin works with, bound to one identity and one grant. */
export interface Workbench {
  /** A new private key; RSA ones come from a pool. */
  privateKey(kind: KeyKind): Promise<KeyObject>
  /** An EEC for the public key. `lifetimeSeconds` undefined: the service's default. */
  endEntity(request: {
    readonly publicKey: PublicKey
    readonly lifetimeSeconds: number | undefined
  }): Promise<MadeCertificate>
  /** A proxy for the public key under the EEC whose key the service holds for the identity. */
  proxy(request: {
    readonly publicKey: PublicKey
    readonly type: ProxyType
    readonly pathLength: number | undefined
    readonly lifetimeSeconds: number | undefined
  }): Promise<MadeCertificate>
}

/** A built-in plugin. */
export interface Plugin<Schema extends z.ZodType = z.ZodType> {
  /** The name by which services refer to it. */
  readonly id: string
  readonly description: string
  /** Default of the service's `lifetime_seconds` settings. */
  readonly lifetimes: { readonly defaultSeconds: number; readonly maximumSeconds: number }
  /** What callers may ask; unknown keys are refused. */
  readonly parameters: Schema
  request(workbench: Workbench, parameters: z.output<Schema>): Promise<Credential>
}

/** Keeps the parameters' type while the plugin is defined. */
export function definePlugin<Schema extends z.ZodType>(plugin: Plugin<Schema>): Plugin<Schema> {
  return plugin
}
