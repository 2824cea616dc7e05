import { createHmac, randomUUID, sign, type KeyObject } from 'node:crypto'
import type { SigningKey } from './signing-keys.ts'

/** A token made for a test. Every part has a valid default, so that a test names only the invalid part. */
export interface MintRequest {
  /** Claims that replace or add to the defaults; `undefined` removes one. */
  readonly claims?: Readonly<Record<string, unknown>>
  /** Header members that replace or add to the defaults; `undefined` removes one. */
  readonly header?: Readonly<Record<string, unknown>>
  /** Signing key. Default: that of the provider. */
  readonly key?: SigningKey
  /** Signature method. Default `RS256`. It also sets `alg` in the header, unless `header` does. */
  readonly signature?: 'RS256' | 'RS512' | 'PS256' | 'none' | 'HS256-public-key' | 'empty'
}

/** Default values of `mintToken`. */
export interface MintDefaults {
  readonly issuer: string
  readonly sub: string
  readonly clientId: string
  readonly key: SigningKey
}

/** Returns any token, valid or not. */
export function mintToken(defaults: MintDefaults, request: MintRequest = {}): string {
  const key = request.key ?? defaults.key
  const signature = request.signature ?? 'RS256'
  const now = Math.floor(Date.now() / 1000)
  const header = { alg: algorithmName(signature), typ: 'JWT', kid: key.kid, ...request.header }
  const claims = {
    iss: defaults.issuer,
    sub: defaults.sub,
    client_id: defaults.clientId,
    jti: randomUUID(),
    iat: now,
    exp: now + 3600,
    ...request.claims,
  }
  const input = `${encode(header)}.${encode(claims)}`
  return `${input}.${signatureOver(input, signature, key).toString('base64url')}`
}

function algorithmName(signature: NonNullable<MintRequest['signature']>): string {
  if (signature === 'HS256-public-key') return 'HS256'
  return signature === 'empty' ? 'RS256' : signature
}

function signatureOver(
  input: string,
  signature: NonNullable<MintRequest['signature']>,
  key: SigningKey,
): Buffer {
  const data = Buffer.from(input)
  switch (signature) {
    case 'RS256':
      return sign('sha256', data, key.privateKey)
    case 'RS512':
      return sign('sha512', data, key.privateKey)
    case 'PS256':
      return sign('sha256', data, { key: key.privateKey, padding: 6, saltLength: 32 })
    case 'HS256-public-key':
      return createHmac('sha256', publicPem(key.publicKey)).update(data).digest()
    case 'none':
    case 'empty':
      return Buffer.alloc(0)
    default:
      return signature satisfies never
  }
}

function publicPem(key: KeyObject): string {
  return key.export({ type: 'spki', format: 'pem' }).toString()
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
