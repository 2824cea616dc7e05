import { refusalByStanding } from '../users.ts'
import type { ExchangeRule } from './request.ts'

/** The user must not be suspended, and must have signed the acceptable use policy. */
export const userInGoodStanding: ExchangeRule = ({ subject }) =>
  subject?.user === undefined ? undefined : refusalByStanding(subject.user)
