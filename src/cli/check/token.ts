/** The checks of one access token. */
import { unlessAborted } from '../../base/async.ts'
import { type Authorisation, authorise } from '../../domain/issuing/authorise.ts'
import type { Service } from '../../domain/issuing/service.ts'
import { discoverBearerToken, readTokenFile } from '../../files/bearer-token.ts'
import { adviceOn } from '../../tokens/advice.ts'
import { findClaim } from '../../tokens/claim-values.ts'
import { explainToken } from '../../tokens/explain.ts'
import type { VerifiedToken } from '../../tokens/verified-token.ts'
import type { TokenVerifier } from '../../tokens/verify-token.ts'
import { nearValueQuestions } from '../rule-words.ts'
import type { Terminal } from '../terminal.ts'
import { type Check, failure } from './check.ts'

export interface TokenContext {
  readonly verifier: TokenVerifier
  readonly services: ReadonlyMap<string, Service>
  readonly terminal: Terminal
  readonly token: TokenToCheck
  /** Ends the wait for providers. */
  readonly signal: AbortSignal
}

/** A token, or why there is none. */
export type TokenToCheck = { readonly text: string } | { readonly problem: unknown }

/** @param file undefined: the token that bearer token discovery finds */
export async function readTokenToCheck(
  terminal: Terminal,
  file: string | undefined,
): Promise<TokenToCheck> {
  try {
    const text =
      file === undefined ? (await discoverBearerToken(terminal)).token : await readTokenFile(file)
    return { text }
  } catch (problem) {
    return { problem }
  }
}

/** Examines the token of the user who runs the command, and says which services it may use. */
export async function tokenChecks(context: TokenContext): Promise<Check[]> {
  const { terminal, token, verifier, signal } = context
  if ('problem' in token) return [failure('token', token.problem)]
  const examined = examine(token.text, verifier, terminal.now())
  const { checks, verified } = await unlessAborted(examined, signal).catch((error: unknown) => {
    if (!signal.aborted) throw error
    return { checks: [noAnswer], verified: undefined }
  })
  if (verified === undefined) return checks
  return [...checks, ...serviceAnswers(verified, context)]
}

const noAnswer: Check = {
  check: 'token',
  state: 'failed',
  detail: 'the token could not be verified in time',
  remedy: 'Wait longer with --wait, or check the provider of the token.',
}

async function examine(
  token: string,
  verifier: TokenVerifier,
  now: Date,
): Promise<{ readonly checks: Check[]; readonly verified: VerifiedToken | undefined }> {
  const explained = await explainToken(token, verifier, now)
  const checks = explained.map(({ check: name, ok, detail, remedy }): Check => ({
    check: `token ${name}`,
    state: ok ? 'ok' : 'failed',
    detail,
    ...(remedy === undefined ? {} : { remedy }),
  }))
  if (checks.some(({ state }) => state === 'failed')) return { checks, verified: undefined }
  try {
    return { checks, verified: await verifier.verify(token) }
  } catch (error) {
    return { checks: [...checks, failure('token', error)], verified: undefined }
  }
}

function serviceAnswers(verified: VerifiedToken, context: TokenContext): Check[] {
  const answers = [...context.services.values()].map((service) => ({
    id: service.id,
    ...(service.enabled
      ? withQuestions(authorise(service.authz, verified))
      : disabledAnswer(service)),
  }))
  // A service may be meant for other users, so one refusal is only a warning. A token that every service refuses is a
  // failure.
  const refused = answers.some(({ allowed }) => allowed) ? 'warning' : 'failed'
  const rules = answers.map(({ id, allowed, reason, remedy }): Check => ({
    check: `token for service ${id}`,
    state: allowed ? 'ok' : refused,
    detail: reason,
    ...(remedy === undefined ? {} : { remedy }),
  }))
  return [...missingClaims(verified, context.verifier), ...rules]
}

function disabledAnswer({ id, plugin: { problem } }: Service) {
  const { detail: reason, remedy } = problem ?? {
    detail: 'disabled',
    remedy: `Set services.${id}.enabled to true.`,
  }
  return { allowed: false, reason, remedy }
}

/** Names all claims that rules read and the token lacks; a refusal names only the first one. */
function missingClaims(verified: VerifiedToken, { providers }: TokenVerifier): Check[] {
  const provider = providers.find(({ id }) => id === verified.providerId)
  const missing = (provider?.ruleClaims ?? []).filter(
    (name) => findClaim(verified.claims, name) === undefined,
  )
  if (missing.length === 0) return []
  return [
    {
      check: 'token rule claims',
      state: 'warning',
      detail: `rules read claims that neither token nor provider gives: ${missing.join(', ')}`,
      remedy: adviceOnClaims(missing, verified),
    },
  ]
}

function adviceOnClaims(missing: readonly string[], { profile }: VerifiedToken): string {
  return [...new Set(missing.map((claim) => adviceOn('missing_claim', profile, { claim })))].join(
    ' ',
  )
}

/** Adds what the rules nearly match to the remedy. This is for the terminal: it holds values of claims. */
function withQuestions(decision: Authorisation) {
  const { allowed, reason, remedy } = decision
  const texts = [...nearValueQuestions(decision), ...(remedy === undefined ? [] : [remedy])]
  return { allowed, reason, remedy: texts.length === 0 ? undefined : texts.join(' ') }
}
