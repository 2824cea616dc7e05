import { refusalOfSuspended, refusalWithoutAup } from '../users.ts'
import type { ExchangeRule } from './request.ts'

/** The user must have signed the acceptable use policy. IAM does not check whether the user is suspended. */
export const userInGoodStanding: ExchangeRule = ({ subject, state }) => {
  if (subject?.user === undefined) return undefined
  const suspended =
    state.tokens.suspension === 'everywhere' ? refusalOfSuspended(subject.user) : undefined
  return suspended ?? refusalWithoutAup(subject.user)
}
