/** What can go wrong. */
import type { Problem } from './api-types.ts'

/** Base class of all errors of this client. No message holds a token or a key. */
export class TtsClientError extends Error {
  override readonly name: string = 'TtsClientError'
}

/** The service refused the request. Decide on `code`; its page `/problems/CODE` explains it. */
export class TtsProblem extends TtsClientError {
  override readonly name = 'TtsProblem'
  readonly status: number
  readonly code: Problem['code']
  /** The check that failed, if the service names one. */
  readonly check: string | undefined
  readonly detail: string
  /** Id of the request in the log of the service. */
  readonly requestId: string
  /** Audiences of which the token needs one (check `audience`). */
  readonly acceptedAudiences: readonly string[]
  /** From the header `Retry-After`. */
  readonly retryAfterSeconds: number | undefined

  constructor(problem: Problem, retryAfterSeconds: number | undefined) {
    super(`the service refused: ${problem.detail} (${problem.code}, request ${problem.request_id})`)
    this.status = problem.status
    this.code = problem.code
    this.check = problem.check
    this.detail = problem.detail
    this.requestId = problem.request_id
    const audiences: unknown = problem.accepted_audiences
    this.acceptedAudiences = Array.isArray(audiences) ? audiences.map(String) : []
    this.retryAfterSeconds = retryAfterSeconds
  }
}

/** The service cannot be reached, or did not answer in time. */
export class TtsUnreachable extends TtsClientError {
  override readonly name = 'TtsUnreachable'
}

/** Another program answered: a gateway before the service, or something else at this address. */
export class TtsForeignAnswer extends TtsClientError {
  override readonly name = 'TtsForeignAnswer'
  readonly status: number
  readonly retryAfterSeconds: number | undefined

  constructor(status: number, retryAfterSeconds: number | undefined) {
    super(`the answer is not from a Token Translation Service: HTTP status ${status}`)
    this.status = status
    this.retryAfterSeconds = retryAfterSeconds
  }
}
