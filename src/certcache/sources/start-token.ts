/** The access token that the operator gives: where it lies, and whether it can still start something. */
import type { Environment } from '../../config/settings-tree.ts'
import { TtsError } from '../../base/errors.ts'
import { discoverBearerToken, type FoundToken, readTokenFile } from '../../files/bearer-token.ts'
import { expiryOf } from './own-refresh-token.ts'
import type { SourceSettings } from '../settings/settings.ts'
import { sourceEnded } from './source-ended.ts'
import { digestOf } from '../state/state-records.ts'

/** Reads the token anew each time: somebody may have put another one there. */
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
        throw new TtsError(error.code, error.message, { remedy: REMEDY, cause: error.cause })
      }),
  }
}

/**
 * The token, if it can start something: it has not expired by its own words, and nothing was started from it before.
 *
 * @param used digests of tokens that were used up
 * @throws {TtsError} `missing_token`, `delegation_ended` for one that was used, `invalid_token` for one that has expired
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
    throw sourceEnded(at.endedBecause ?? `the token of ${source} was used already`)
  const expiry = expiryOf(token)
  if (expiry !== undefined && expiry <= at.now)
    throw new TtsError(
      at.endedBecause === undefined ? 'invalid_token' : 'delegation_ended',
      `${at.endedBecause === undefined ? '' : `${at.endedBecause}; and `}the token of ${source} ended at ${expiry.toISOString()}`,
      { check: 'expiry', remedy: `Put a new access token there. Otherwise: ${REMEDY}` },
    )
  return token
}
