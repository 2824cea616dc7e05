import type { ExchangeRule } from './request.ts'

/** The subject token must be one that this provider issued and still stores. */
export const subjectTokenStored: ExchangeRule = ({ subject }) =>
  subject === undefined
    ? {
        status: 401,
        error: 'invalid_token',
        description: 'subject_token is not a valid token here',
      }
    : undefined
