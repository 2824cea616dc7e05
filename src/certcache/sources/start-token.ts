/**
 * The start token: the access token that the operator supplies, and whether it can still be used to start a renewal.
 */
import { decodeJwt } from 'jose'
import type { Environment } from '../../config/settings-tree.ts'
import { TtsError } from '../../base/errors.ts'
import { discoverBearerToken, type FoundToken, readTokenFile } from '../../files/bearer-token.ts'
import type { SourceSettings } from '../settings/settings.ts'
import { digestOf } from '../state/state-records.ts'

/** Reads the token again at each call, because the operator may have replaced it. */
export interface StartTokens {
  /** @throws {TtsError} `missing_token`; `configuration` for a file that others can read */
  read(): Promise<FoundToken>
}

const REMEDY =
  'Set source.token_file (or IAM_TOKEN, BEARER_TOKEN, BEARER_TOKEN_FILE), or log in with `certcache login`.'

export function createStartTokens(
  settings: Pick<SourceSettings, 'token' | 'token_file'>,
  runtime: { readonly environment: Environment; readonly uid: number },
): StartTokens {
  const { token, token_file: path } = settings
  const find = async (): Promise<FoundToken> => {
    if (token !== undefined) return { token, source: 'source.token' }
    if (path !== undefined)
      return { token: await readTokenFile(path, { wantsPrivate: true }), source: path }
    return discoverBearerToken({ ...runtime, wantsPrivate: true })
  }
  return {
    read: async () =>
      find().catch((error: unknown) => {
        if (!(error instanceof TtsError) || error.check === 'file_mode') throw error
        const { remedy } = error
        // Other remedies than ours are for the content of the file: the rest name options of another program.
        const isOfContent = error.cause === undefined && remedy?.includes('--token-file') === false
        throw new TtsError(error.code, error.message, {
          remedy: isOfContent ? remedy : REMEDY,
          cause: error.cause,
        })
      }),
  }
}

/** Returns the error of a source that needs a new token to continue. */
export function sourceEnded(reason: string): TtsError {
  return new TtsError('delegation_ended', reason, {
    check: 'start_token_wanted',
    remedy: 'Supply a new access token (source.token_file), or log in with `certcache login`.',
  })
}

/** Returns the `exp` of a JWT, unverified: it only saves requests with a token that has expired. */
export function unverifiedExpiry(token: string): Date | undefined {
  try {
    const { exp } = decodeJwt(token)
    return typeof exp === 'number' ? new Date(exp * 1000) : undefined
  } catch {
    return undefined
  }
}

/**
 * Reads the start token and checks that it has not expired (`exp`, unverified) and was not used before.
 *
 * @param used digests of the tokens that were used before
 * @param at `endedBecause`: why the previous renewal ended, if it did
 * @throws {TtsError} `missing_token`, `delegation_ended` (the token was used, or renewal had ended before and there
 * is no new token), `invalid_token` (the token has expired)
 */
export async function freshToken(
  startTokens: StartTokens,
  used: readonly string[],
  at: { readonly now: Date; readonly endedBecause: string | undefined },
): Promise<string> {
  const { token, source } = await startTokens.read().catch((error: unknown) => {
    if (at.endedBecause === undefined) throw error
    throw sourceEnded(at.endedBecause)
  })
  if (used.includes(digestOf(token)))
    throw sourceEnded(at.endedBecause ?? `the token from ${source} was used before`)
  const expiry = unverifiedExpiry(token)
  if (expiry !== undefined && expiry <= at.now)
    throw new TtsError(
      at.endedBecause === undefined ? 'invalid_token' : 'delegation_ended',
      `${at.endedBecause === undefined ? '' : `${at.endedBecause}; and `}the token from ${source} expired at ${expiry.toISOString()}`,
      { check: 'expiry', remedy: `Replace it by a new access token. ${REMEDY}` },
    )
  return token
}
