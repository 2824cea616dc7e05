/** Sends a notice by webhook. */
import { TtsError } from '../base/errors.ts'
import type { Notifier } from '../domain/delegations/watch.ts'
import { findProxyFailure } from '../network/network.ts'

const DEFAULT_TIMEOUT_MS = 15_000

/**
 * Returns a notifier that posts each notice as JSON. Errors do not contain the URL, because it may be secret.
 *
 * @param timeoutMs default 15,000
 */
export function webhookNotifier(url: string, timeoutMs: number = DEFAULT_TIMEOUT_MS): Notifier {
  return async (notice) => {
    const status = await post(url, JSON.stringify(notice), timeoutMs)
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
    const proxyFailure = findProxyFailure(url, error)
    // The reason names the host, which is not secret: a URL of a webhook has its secret in the path.
    if (proxyFailure !== undefined)
      throw failure(`cannot be reached: ${proxyFailure.reason}`, proxyFailure.remedy)
    const name = error instanceof Error ? error.name : 'error'
    throw failure(
      name === 'TimeoutError' ? `did not answer in ${timeoutMs} ms` : 'cannot be reached',
    )
  }
}

function failure(how: string, remedy = 'Check delegations.notice.webhook_url.'): TtsError {
  return new TtsError('internal', `the webhook for notices of delegations ${how}`, {
    check: 'notice_webhook',
    remedy,
  })
}
