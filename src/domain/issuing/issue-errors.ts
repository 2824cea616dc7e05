/** Turns errors of `ca/` and of plugins into `TtsError`s. No other file does. */
import { CaError } from '../../../ca/errors.ts'
import { PluginError } from '../../../plugins/plugin.ts'
import { TtsError } from '../../base/errors.ts'

/** Returns the `TtsError` for a plugin's error, with the plugin's message for the caller. */
export function pluginError(error: PluginError): TtsError {
  const { code, message, retryAfterSeconds } = error
  const options = {
    check: code,
    cause: error,
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  }
  switch (code) {
    case 'invalid_parameters':
      return new TtsError('invalid_request', message, options)
    case 'refused':
      return new TtsError('access_denied', message, options)
    case 'overloaded':
      return new TtsError('overloaded', message, options)
    case 'failed':
    case 'timeout':
      return new TtsError('plugin_failed', message, options)
    default:
      return code satisfies never
  }
}

/** Returns the `TtsError` for anything that was thrown while a credential was made; `internal` for unknown errors. */
export function issueError(error: unknown): TtsError {
  if (error instanceof TtsError) return error
  if (error instanceof PluginError) return pluginError(error)
  if (error instanceof CaError) {
    switch (error.code) {
      case 'malformed':
      case 'bad_signature':
      case 'weak_key':
        return new TtsError('invalid_csr', error.message, { check: error.code, cause: error })
      case 'too_large':
        return new TtsError('payload_too_large', error.message, { check: error.code, cause: error })
      case 'bad_request':
        return new TtsError('invalid_request', error.message, { check: error.code, cause: error })
      case 'bad_lifetime':
        return new TtsError('internal', 'no certificate can be issued now', {
          check: error.code,
          remedy: 'Check when the CA certificate ends: `tts ca show`.',
          cause: error,
        })
      case 'bad_name':
      case 'bad_authority':
      case 'bad_proxy_file':
      case 'self_check_failed':
        return new TtsError('internal', 'no certificate can be issued now', {
          check: error.code,
          cause: error,
        })
      default:
        return error.code satisfies never
    }
  }
  return new TtsError('internal', 'something failed inside the service', { cause: error })
}
