import {
  decodeJwt,
  decodeProtectedHeader,
  errors,
  jwtVerify,
  type JWTHeaderParameters,
  type JWTVerifyOptions,
} from 'jose'
import { withoutTrailingSlash } from '../config/provider-schema.ts'
import { isOwnSecret } from '../service/own-secrets.ts'
import { isShallowValue, MAX_JSON_DEPTH } from '../../plugins/json.ts'
import { checkClaims } from './claim-checks.ts'
import type { Claims } from './claim-values.ts'
import type { Provider } from './providers.ts'
import { fromJose, refusal } from './refusals.ts'

/** A larger token is refused before anything looks into it. */
export const MAX_TOKEN_BYTES = 16 * 1024

/** At most this many keys are tried for a token that names none. */
const MAX_KEYS_TRIED = 8

/** RFC 6750 section 2.1, b64token. */
const B64TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/

/** What a JWT says of itself, nothing of it verified. Good for finding the provider and for nothing else. */
export interface UnverifiedJwt {
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Claims
}

/** @throws TtsError `invalid_token`, check `size` or `format`. */
export function checkTokenText(token: string): void {
  if (token.length > MAX_TOKEN_BYTES) {
    throw refusal(
      'size',
      'the token is too long',
      `Send a token of at most ${MAX_TOKEN_BYTES} bytes.`,
    )
  }
  if (isOwnSecret(token)) {
    // Before any provider is asked about it, who would then know it.
    throw refusal(
      'format',
      'this is a renewal secret of a delegation, and no access token',
      'Use the renewal secret at POST /v1/delegations/{id}/proxies.',
    )
  }
  if (!B64TOKEN.test(token)) {
    throw refusal(
      'format',
      'the token has characters that no bearer token has (RFC 6750 section 2.1)',
      'the caller probably sends a quoted, encoded or cut token',
    )
  }
}

/** Undefined for a token that is no JWT, and so opaque to us. */
export function readUnverified(token: string): UnverifiedJwt | undefined {
  if (token.split('.', 4).length !== 3) return undefined
  try {
    return { header: decodeProtectedHeader(token), claims: decodeJwt(token) }
  } catch {
    return undefined
  }
}

/** A JWT whose signature is right. `claimFailure` is what jose found wrong with its claims all the same. */
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

/** @throws TtsError `invalid_token` or `provider_unavailable` */
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
      `claims may be nested ${MAX_JSON_DEPTH} levels deep; the provider has to shorten them`,
    )
  }
  const headerType = header.typ
  checkClaims(claims, { settings: provider.settings, now, source: 'jwt', headerType })
  if (claimFailure !== undefined) {
    throw refusal('claims', 'a claim of the token is not valid', '`tts check` shows all claims')
  }
  return { claims, headerType }
}

/**
 * Verifies the signature by the provider's keys (RFC 7515 section 5.2). Claims are checked by jose too; its verdict is
 * handed on, so that the caller can name the check in our words.
 * @throws TtsError `invalid_token` or `provider_unavailable`
 */
export async function verifyJwtSignature(
  token: string,
  provider: Provider,
  now: Date,
): Promise<SignedJwt> {
  await provider.configuration()
  const options = verifyOptions(provider, now)
  try {
    refuseCriticalHeader(decodeProtectedHeader(token))
    const { payload, protectedHeader } = await verifyWithAnyKey(token, provider, options)
    return { header: protectedHeader, claims: payload, claimFailure: undefined }
  } catch (error) {
    if (error instanceof errors.JWTExpired || error instanceof errors.JWTClaimValidationFailed) {
      // jose looks at claims only after the signature.
      return { header: decodeProtectedHeader(token), claims: error.payload, claimFailure: error }
    }
    throw fromJose(error)
  }
}

function verifyOptions({ settings }: Provider, now: Date): JWTVerifyOptions {
  const issuer = withoutTrailingSlash(settings.issuer)
  return {
    issuer: [issuer, `${issuer}/`],
    algorithms: [...settings.algorithms],
    requiredClaims: ['exp', 'sub'],
    clockTolerance: settings.clock_leeway_seconds,
    currentDate: now,
  }
}

/** A token without `kid` may fit several keys; each is tried. */
async function verifyWithAnyKey(token: string, provider: Provider, options: JWTVerifyOptions) {
  try {
    return await jwtVerify(token, provider.keys.getKey, options)
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error
    let tried = 0
    for await (const key of error) {
      tried += 1
      if (tried > MAX_KEYS_TRIED) break
      try {
        return await jwtVerify(token, key, options)
      } catch (failure) {
        if (!(failure instanceof errors.JWSSignatureVerificationFailed)) throw failure
      }
    }
    throw new errors.JWSSignatureVerificationFailed()
  }
}

/** We understand no extension that a token could declare critical (RFC 7515 section 4.1.11). */
function refuseCriticalHeader(header: object): void {
  if (!('crit' in header)) return
  throw refusal(
    'critical_header',
    'the token demands an extension that is not understood here (header crit)',
    'the provider has to issue plain signed access tokens',
  )
}
