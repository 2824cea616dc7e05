import type { ExchangeRule } from './request.ts'

/** The subject token must be in the store of this provider. */
export const subjectTokenStored: ExchangeRule = ({ subject, parameters }) =>
  subject === undefined
    ? {
        status: 401,
        error: 'invalid_token',
        // IAM quotes the token.
        description: `Access token for value ${String(parameters['subject_token'])} was not found`,
      }
    : undefined
