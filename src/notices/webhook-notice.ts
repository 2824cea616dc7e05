/** A notice by webhook: the facts are posted as JSON. */
import { TtsError } from '../base/errors.ts'
import type { Notifier } from '../domain/delegations/watch.ts'

const DEFAULT_TIMEOUT_MS = 15_000

/**
 * Posts each notice. The URL may be secret: no error names it.
 *
 * @param timeoutMs default 15,000
 */
export function webhookNotifier(url: string, timeoutMs: number = DEFAULT_TIMEOUT_MS): Notifier {
  return async (facts) => {
    const status = await post(url, JSON.stringify(facts), timeoutMs)
    if (status < 200 || status > 299) throw failure(`answered HTTP ${status}`)
  }
}

async function post(url: string, body: string, timeoutMs: number): Promise<number> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'user-agent': 'tts' },
      body,
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
    })
    await response.body?.cancel()
    return response.status
  } catch (error) {
    const name = error instanceof Error ? error.name : 'error'
    throw failure(
      name === 'TimeoutError' ? `did not answer in ${timeoutMs} ms` : 'cannot be reached',
    )
  }
}

function failure(how: string): TtsError {
  return new TtsError('internal', `the webhook that tells of a delegation's end ${how}`, {
    check: 'notice_webhook',
    remedy: 'Check delegations.notice.webhook_url.',
  })
}
