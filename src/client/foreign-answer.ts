/** Explains an answer that no Token Translation Service sends: of a gateway before it, or of another program. */
import { TtsError, type TtsErrorCode } from '../base/errors.ts'
import type { HttpResponse } from './http-request.ts'

interface Advice {
  readonly statuses: readonly number[]
  readonly remedy: string
  readonly code?: TtsErrorCode
}

const advices: readonly Advice[] = [
  {
    statuses: [400, 413, 414, 431, 494],
    remedy:
      'A gateway before the service probably finds the access token too long. Request a token with fewer claims (scopes, groups), or ask the operator of the gateway to accept longer headers (nginx: large_client_header_buffers; Apache: LimitRequestFieldSize; HAProxy: tune.bufsize).',
  },
  {
    statuses: [401, 403, 407],
    remedy:
      'A gateway before the service, or another program at this address, wants a login of its own. Check the address of the service, and ask the operator of the gateway.',
  },
  {
    statuses: [404, 405, 410, 501],
    remedy:
      'Another program listens at this address. Check the address of the service, with its port and path.',
  },
  {
    statuses: [408, 429, 500, 502, 503, 504],
    remedy:
      'A gateway before the service does not reach it. Ask the operator whether the service runs.',
    code: 'overloaded',
  },
]

const other: Advice = {
  statuses: [],
  remedy:
    'Another program listens at this address, for example a login page of the network. Check the address of the service, with its port and path.',
}

/**
 * Returns the error for an answer that is not ours.
 *
 * @param retryAfterSeconds from the header `Retry-After`
 */
export function foreignAnswer(
  { status, headers }: Pick<HttpResponse, 'status' | 'headers'>,
  retryAfterSeconds?: number,
): TtsError {
  const target = status >= 300 && status < 400 ? redirectTarget(headers['location']) : undefined
  const { remedy, code = 'internal' } =
    advices.find(({ statuses }) => statuses.includes(status)) ?? other
  const again = code !== 'overloaded' ? '' : ` ${tryAgain(retryAfterSeconds)}`
  return new TtsError(
    code,
    `the answer is not from a Token Translation Service: HTTP status ${status}${contentOf(headers)}${target === undefined ? '' : `, a redirect to ${target}`}`,
    {
      check: 'foreign_answer',
      remedy:
        target === undefined
          ? `${remedy}${again}`
          : `Give ${target} as the address of the service if you trust it: a token is never sent to where a redirect leads.`,
      ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    },
  )
}

/** Says when to try again. */
export function tryAgain(seconds: number | undefined): string {
  return seconds === undefined ? 'Try again later.' : `Try again in ${seconds} seconds.`
}

function contentOf(headers: HttpResponse['headers']): string {
  const type = headers['content-type']
  const name =
    typeof type === 'string' ? /^[\w.+-]{1,40}\/[\w.+-]{1,40}/.exec(type)?.[0] : undefined
  return name === undefined ? '' : ` with ${name}`
}

/** Returns scheme, host and path: a query may hold secrets. */
function redirectTarget(location: string | string[] | undefined): string | undefined {
  if (typeof location !== 'string' || !URL.canParse(location)) return undefined
  const { origin, pathname } = new URL(location)
  return origin === 'null' ? undefined : `${origin}${pathname}`.slice(0, 200)
}
