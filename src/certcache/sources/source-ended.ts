import { TtsError } from '../../base/errors.ts'

/** The error of a source that has ended. */
export function sourceEnded(reason: string): TtsError {
  return new TtsError('delegation_ended', reason, {
    check: 'start_token_wanted',
    remedy: 'Give a new access token (source.token_file), or log in with `certcache login`.',
  })
}
