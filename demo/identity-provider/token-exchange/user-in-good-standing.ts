import type { ExchangeRule } from './request.ts'

/** The user is not suspended and has signed the acceptable use policy. */
export const userInGoodStanding: ExchangeRule = ({ subject }) => {
  const user = subject?.user
  if (user === undefined) return undefined
  if (user.suspended === true) {
    return { status: 400, error: 'invalid_grant', description: 'user is not active' }
  }
  if (user.aupSigned === false) {
    return { status: 400, error: 'invalid_grant', description: 'user has not signed the AUP' }
  }
  return undefined
}
