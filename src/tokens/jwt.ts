import {
  decodeJwt,
  decodeProtectedHeader,
  errors,
  type JWTHeaderParameters,
  type JWTVerifyOptions,
} from 'jose'
import { withoutTrailingSlash } from '../config/provider-schema.ts'
import type { TtsError } from '../base/errors.ts'
import { isOwnSecret } from '../service/own-secrets.ts'
import { isShallowValue, MAX_JSON_DEPTH } from '../../plugins/json.ts'
import { checksBeforeIntrospection, claimChecks } from './claim-checks.ts'
import { withUsualNames } from './claim-names.ts'
import type { Claims } from './claim-values.ts'
import type { Provider } from './providers.ts'
import { fromJose, refusal, algorithmNotAccepted } from './refusals.ts'

/** A larger token is refused before it is parsed, unless `limits.token_bytes` has another value. */
export const DEFAULT_TOKEN_BYTES = 16 * 1024
/** Largest value of `limits.token_bytes`. */
export const MAX_TOKEN_BYTES = 64 * 1024

/** RFC 6750 section 2.1, b64token. */
const B64TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/

/** The content of a JWT before verification. Use it only to find the provider. */
export interface UnverifiedJwt {
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Claims
}

/** Returns the error for a token that is too long. */
export function tokenTooLong(bytes: number, maxBytes: number): TtsError {
  return refusal(
    'size',
    `the access token has ${bytes} bytes; this service accepts at most ${maxBytes}`,
    'Let the provider issue tokens with fewer claims (groups, scopes), or raise limits.token_bytes.',
  )
}

/**
 * Checks the form of a bearer token. @throws {TtsError} `invalid_token`, check `size` or `format` @see RFC 6750
 * section 2.1
 */
export function checkTokenText(token: string, maxBytes: number): void {
  if (token.length > maxBytes) throw tokenTooLong(token.length, maxBytes)
  if (isOwnSecret(token)) {
    // Must come before any provider is asked, which would otherwise learn the secret.
    throw refusal(
      'format',
      'this is the renewal secret of a delegation, not an access token',
      'Use the renewal secret at POST /v1/delegations/{id}/proxies.',
    )
  }
  if (!B64TOKEN.test(token)) {
    throw refusal(
      'format',
      'the token has characters that are not allowed in a bearer token (RFC 6750 section 2.1)',
      'Send the token unchanged: it seems to be quoted, encoded or cut.',
    )
  }
}

/** Decodes a JWT without verification; undefined for a token that is not a JWT. */
export function readUnverified(token: string): UnverifiedJwt | undefined {
  if (token.split('.', 4).length !== 3) return undefined
  try {
    return { header: decodeProtectedHeader(token), claims: decodeJwt(token) }
  } catch {
    return undefined
  }
}

/** A JWT with a valid signature. `claimFailure` is jose's error about its claims, if any. */
export interface SignedJwt {
  readonly header: Readonly<Partial<JWTHeaderParameters>>
  readonly claims: Claims
  readonly claimFailure: Error | undefined
}

/** A JWT that passed the signature and every claim check. */
export interface VerifiedJwt {
  readonly claims: Claims
  /** Header `typ`. */
  readonly headerType: unknown
}

/**
 * Verifies signature and claims of a JWT. Claims that are missing are left to its introspection where that follows
 * (Keycloak's lightweight tokens have no `sub`, `aud` and groups).
 *
 * @throws {TtsError} `invalid_token`, `provider_unavailable`
 */
export async function verifyJwt(
  token: string,
  provider: Provider,
  now: Date,
): Promise<VerifiedJwt> {
  const { header, claims, claimFailure } = await verifyJwtSignature(token, provider, now)
  if (!isShallowValue(claims)) {
    throw refusal(
      'claims',
      'the claims of the token are nested too deeply',
      `Make the provider send simpler claims: they may be nested ${MAX_JSON_DEPTH} levels deep.`,
    )
  }
  const headerType = header.typ
  const { settings } = provider
  const isCompletedLater = settings.introspect === 'always'
  const checks = isCompletedLater ? checksBeforeIntrospection(claims) : claimChecks
  for (const { run } of checks) run(claims, { settings, now, source: 'jwt', headerType })
  if (claimFailure !== undefined && !(isCompletedLater && isMissing(claimFailure))) {
    throw refusal(
      'claims',
      'a claim of the token is not valid',
      'Run `tts check`, which shows all claims.',
    )
  }
  return { claims, headerType }
}

const isMissing = (failure: Error): boolean =>
  failure instanceof errors.JWTClaimValidationFailed && failure.reason === 'missing'

/**
 * Verifies the signature with the provider's keys. jose checks the claims, too; its result is returned so that the
 * caller can report the failed check in our own terms.
 *
 * @throws {TtsError} `invalid_token`, check `algorithm`, `key`, `signature`, `format` or `critical_header`;
 * `provider_unavailable`
 * @see RFC 7515 section 5.2
 */
export async function verifyJwtSignature(
  token: string,
  provider: Provider,
  now: Date,
): Promise<SignedJwt> {
  await provider.ready()
  const options = verifyOptions(provider, now)
  const renamed = (claims: Claims): Claims => withUsualNames(claims, provider.settings)
  try {
    refuseCriticalHeader(decodeProtectedHeader(token))
    const { payload, protectedHeader } = await provider.keys.verify(token, options)
    return { header: protectedHeader, claims: renamed(payload), claimFailure: undefined }
  } catch (error) {
    if (error instanceof errors.JWTExpired || error instanceof errors.JWTClaimValidationFailed) {
      // jose checks claims only after it has verified the signature.
      const claims = renamed(error.payload)
      return { header: decodeProtectedHeader(token), claims, claimFailure: error }
    }
    if (error instanceof errors.JOSEAlgNotAllowed)
      throw algorithmNotAccepted(decodeProtectedHeader(token).alg, options.algorithms ?? [])
    throw fromJose(error)
  }
}

function verifyOptions({ settings }: Provider, now: Date): JWTVerifyOptions {
  const issuer = withoutTrailingSlash(settings.issuer)
  return {
    issuer: [issuer, `${issuer}/`],
    algorithms: algorithmNames(settings.algorithms),
    requiredClaims: ['exp', 'sub'],
    clockTolerance: settings.clock_leeway_seconds,
    currentDate: now,
  }
}

/** Ed25519 has two names: RFC 9864 replaces that of RFC 8037, and providers use either. */
function algorithmNames(algorithms: readonly string[]): string[] {
  const names = ['Ed25519', 'EdDSA']
  return [
    ...new Set([...algorithms, ...(names.some((name) => algorithms.includes(name)) ? names : [])]),
  ]
}

/** No critical extension is supported (RFC 7515 section 4.1.11). */
function refuseCriticalHeader(header: object): void {
  if (!('crit' in header)) return
  throw refusal(
    'critical_header',
    'the token requires an unsupported extension (header crit)',
    'Make the provider issue plain signed access tokens.',
  )
}
