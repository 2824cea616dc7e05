import { TtsError } from '../base/errors.ts'
import type { RequestHabits } from '../config/provider-profile.ts'
import { describeFailure } from '../tokens/refusals.ts'
import { matchingCheck } from './refusal-rules.ts'
import type { ErrorAnswer, GrantCheck, GrantKind } from './refusal-types.ts'
import { remedyOf } from './refusal-advice.ts'
import { explanations } from './refusal-words.ts'

/**
 * Check of a `provider_unavailable` when the provider certainly did nothing: no connection, or a request to retry
 * later.
 */
export const NOTHING_WAS_SENT = 'provider_unreachable'

/** The provider that refuses. */
export interface RefusingProvider {
  /** Its name in messages. */
  readonly providerId: string
  readonly habits?: Pick<RequestHabits, 'profile'> | undefined
}

/** Returns the error for a provider's error answer: `grant_refused` or `provider_unavailable`. */
export function refusalOf(
  grant: GrantKind,
  answer: ErrorAnswer,
  provider: RefusingProvider,
): TtsError {
  const { providerId } = provider
  const check = matchingCheck(grant, answer)
  if (check !== 'unavailable') return refused(check, provider, answer)
  const nothingWasSent = answer.status === 429
  const isUnknownClient = grant === 'device' && answer.status === 404
  const hint = isUnknownClient ? '; INDIGO IAM answers this if it does not know the client id' : ''
  return unavailableBy(`${describeAnswer(answer)}${hint}`, providerId, {
    retryAfterSeconds: answer.retryAfterSeconds,
    nothingWasSent,
  })
}

/** Returns the error `grant_refused` with the explanation of its check. */
export function refused(
  check: GrantCheck,
  { providerId, habits }: RefusingProvider,
  answer?: ErrorAnswer,
): TtsError {
  const { message } = explanations[check]
  const remedy = remedyOf(check, habits?.profile)
  const answered = answer === undefined ? undefined : describeAnswer(answer)
  return new TtsError('grant_refused', message, {
    check,
    remedy: `${remedy} The provider is ${providerId}${answered === undefined ? '' : `: ${answered}`}.`,
    ...(answer !== undefined && { cause: new Error(quoted(answer)) }),
  })
}

/** Returns the error `provider_unavailable`: the provider gave no valid answer, and another attempt may succeed. */
export function unavailableBy(
  reason: string,
  providerId: string,
  options: { readonly retryAfterSeconds?: number | undefined; readonly nothingWasSent?: boolean },
): TtsError {
  return new TtsError(
    'provider_unavailable',
    `the identity provider ${providerId} cannot be reached or gives invalid answers`,
    {
      check: options.nothingWasSent === true ? NOTHING_WAS_SENT : 'provider',
      retryAfterSeconds: options.retryAfterSeconds ?? 5,
      remedy: `Check the provider ${providerId}: ${reason}.`,
    },
  )
}

const NO_CONNECTION =
  /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT|CERT_\w+|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_\w+|ERR_TLS_\w+)$/

/**
 * Returns the error for a failed connection or an invalid answer; `sent` says whether the request was sent. An error
 * of our own is returned unchanged, unless it does not say that nothing was sent.
 */
export function failureOf(error: unknown, providerId: string, sent: boolean): TtsError {
  const ours = ownErrorIn(error)
  if (ours !== undefined && (sent || ours.code !== 'provider_unavailable')) return ours
  return unavailableBy(describeFailure(error), providerId, {
    nothingWasSent: !sent || NO_CONNECTION.test(deepestCode(error)),
    retryAfterSeconds: ours?.retryAfterSeconds,
  })
}

/** Finds our own error: the library wraps what `fetch` throws. */
function ownErrorIn(error: unknown): TtsError | undefined {
  if (error instanceof TtsError) return error
  return error instanceof Error && error.cause !== undefined ? ownErrorIn(error.cause) : undefined
}

function deepestCode(error: unknown, depth = 0): string {
  if (typeof error !== 'object' || error === null || depth > 5) return ''
  const below = 'cause' in error ? deepestCode(error.cause, depth + 1) : ''
  if (below !== '') return below
  return 'code' in error && typeof error.code === 'string' ? error.code : ''
}

/**
 * Whether the refusal is final for this refresh token. An unsigned AUP can be signed, and an account can be enabled
 * again: Keycloak then takes the same refresh token.
 */
export function isFinal(error: unknown): error is TtsError {
  return (
    error instanceof TtsError &&
    error.code === 'grant_refused' &&
    error.check === 'refresh_token_dead'
  )
}

/** Returns the error for the end of a delegation; it says if the cause was a lost answer. */
export function endedBy(refusal: TtsError, answerMissingSince: Date | undefined): TtsError {
  const lost = answerMissingSince !== undefined && refusal.check === 'refresh_token_dead'
  const reason = lost
    ? `an answer of the provider was lost (missing since ${answerMissingSince.toISOString()}), and with it most likely the new refresh token`
    : refusal.message
  return new TtsError('delegation_ended', `renewal is over: ${reason}`, {
    ...(refusal.check !== undefined && { check: refusal.check }),
    remedy: lost
      ? `Start again with a new access token, or log in with \`certcache login\`. To keep it from happening again, switch "reuse refresh token" on for the client at INDIGO IAM, or give rotated tokens a grace period. ${refusal.remedy ?? ''}`
      : (refusal.remedy ?? ''),
    cause: refusal.cause,
  })
}

function describeAnswer({ status, error }: ErrorAnswer): string {
  const word = error !== undefined && /^[a-z_]{1,40}$/.test(error) ? ` ${error}` : ''
  return `it answered HTTP ${status}${word}`
}

/** Quotes an error without anything that may be part of a token, which IAM repeats in its description. */
function quoted(answer: ErrorAnswer): string {
  const description = shortened(answer.description.replaceAll(/[^\s"':,;]{16,}/g, '…'))
  return `${describeAnswer(answer)}: ${description.replaceAll(/[^\x20-\x7e…]/g, '?')}`
}

/** Hydra begins with general words of about 200 characters for each error; the cause comes last. */
function shortened(text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 59)}…${text.slice(-140)}`
}
