import { refusalByStanding } from '../users.ts'
import type { ExchangeRule } from './request.ts'

/** The user is not suspended and has signed the acceptable use policy. */
export const userInGoodStanding: ExchangeRule = ({ subject }) =>
  subject?.user === undefined ? undefined : refusalByStanding(subject.user)
