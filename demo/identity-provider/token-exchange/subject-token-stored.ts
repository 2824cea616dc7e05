import type { ExchangeRule } from './request.ts'

/** The subject token must be in the store of this provider. */
export const subjectTokenStored: ExchangeRule = ({ subject }) =>
  subject === undefined
    ? {
        status: 401,
        error: 'invalid_token',
        description: 'subject_token is not a valid token here',
      }
    : undefined
