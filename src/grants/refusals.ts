import { TtsError } from '../base/errors.ts'
import { describeFailure } from '../tokens/refusals.ts'
import { matchingCheck } from './refusal-rules.ts'
import type { ErrorAnswer, GrantCheck, GrantKind } from './refusal-types.ts'
import { explanations } from './refusal-words.ts'

/** The check of a `provider_unavailable` when the provider has surely not acted: no connection, or told to come later. */
export const NOTHING_WAS_SENT = 'provider_unreachable'

/** Turns a provider's error answer to a grant into `grant_refused` or `provider_unavailable`. */
export function refusalOf(grant: GrantKind, answer: ErrorAnswer, providerId: string): TtsError {
  const check = matchingCheck(grant, answer)
  if (check !== 'unavailable') return refused(check, providerId, answer)
  const untouched = answer.status === 429
  return unavailableBy(answerInWords(answer), providerId, {
    retryAfterSeconds: answer.retryAfterSeconds,
    nothingWasSent: untouched,
  })
}

/** A refusal in the words of its check. */
export function refused(check: GrantCheck, providerId: string, answer?: ErrorAnswer): TtsError {
  const { message, remedy } = explanations[check]
  const told = answer === undefined ? undefined : answerInWords(answer)
  return new TtsError('grant_refused', message, {
    check,
    remedy: `${remedy} The provider is ${providerId}${told === undefined ? '' : `: ${told}`}.`,
    ...(answer !== undefined && { cause: new Error(quoted(answer)) }),
  })
}

/** The provider gave no sensible answer; another attempt may help. */
export function unavailableBy(
  words: string,
  providerId: string,
  more: { readonly retryAfterSeconds?: number | undefined; readonly nothingWasSent?: boolean },
): TtsError {
  return new TtsError(
    'provider_unavailable',
    `the identity provider ${providerId} cannot be reached or gives invalid answers`,
    {
      check: more.nothingWasSent === true ? NOTHING_WAS_SENT : 'provider',
      retryAfterSeconds: more.retryAfterSeconds ?? 5,
      remedy: `Check the provider ${providerId}: ${words}.`,
    },
  )
}

const NO_CONNECTION =
  /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT|CERT_\w+|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_\w+|ERR_TLS_\w+)$/

/**
 * A failure below HTTP, or an answer that could not be understood; `sent` says whether the request has left. An error of ours
 * stays what it is, as long as it tells that much.
 */
export function failureOf(error: unknown, providerId: string, sent: boolean): TtsError {
  const ours = oursIn(error)
  if (ours !== undefined && (sent || ours.code !== 'provider_unavailable')) return ours
  return unavailableBy(describeFailure(error), providerId, {
    nothingWasSent: !sent || NO_CONNECTION.test(deepestCode(error)),
    retryAfterSeconds: ours?.retryAfterSeconds,
  })
}

/** The library puts what `fetch` throws beneath an error of its own. */
function oursIn(error: unknown): TtsError | undefined {
  if (error instanceof TtsError) return error
  return error instanceof Error && error.cause !== undefined ? oursIn(error.cause) : undefined
}

function deepestCode(error: unknown, depth = 0): string {
  if (typeof error !== 'object' || error === null || depth > 5) return ''
  const below = 'cause' in error ? deepestCode(error.cause, depth + 1) : ''
  if (below !== '') return below
  return 'code' in error && typeof error.code === 'string' ? error.code : ''
}

/** Refusals after which the same refresh token is not tried again. An unsigned AUP can be signed: it is none of them. */
export function isForGood(error: unknown): error is TtsError {
  return (
    error instanceof TtsError &&
    error.code === 'grant_refused' &&
    (error.check === 'refresh_token_dead' || error.check === 'user_disabled')
  )
}

/** The end of a delegation, and whether it was ours to lose. */
export function endedBy(refusal: TtsError, answerMissingSince: Date | undefined): TtsError {
  const lost = answerMissingSince !== undefined && refusal.check === 'refresh_token_dead'
  const why = lost
    ? `an answer of the provider was lost (missing since ${answerMissingSince.toISOString()}), and with it most likely the new refresh token`
    : refusal.message
  return new TtsError('delegation_ended', `renewal is over: ${why}`, {
    ...(refusal.check !== undefined && { check: refusal.check }),
    remedy: lost
      ? `Start again with a new access token, or log in with \`certcache login\`. To keep it from happening again, switch "reuse refresh token" on for the client at INDIGO IAM, or give rotated tokens a grace period. ${refusal.remedy ?? ''}`
      : (refusal.remedy ?? ''),
    cause: refusal.cause,
  })
}

function answerInWords({ status, error }: ErrorAnswer): string {
  const word = error !== undefined && /^[a-z_]{1,40}$/.test(error) ? ` ${error}` : ''
  return `it answered HTTP ${status}${word}`
}

/** IAM quotes the token in its description: whatever could be a part of one is left out. */
function quoted(answer: ErrorAnswer): string {
  const description = answer.description.replaceAll(/[^\s"':,;]{16,}/g, '…').slice(0, 200)
  return `${answerInWords(answer)}: ${description.replaceAll(/[^\x20-\x7e…]/g, '?')}`
}
