import { storeUnavailable } from '../store-error.ts'

/**
 * The promise's own outcome, or TtsError `store_unavailable` once `timeoutMs` have passed.
 *
 * @throws TtsError `store_unavailable`
 */
export async function withinDeadline<Value>(
  promise: Promise<Value>,
  timeoutMs: number,
): Promise<Value> {
  let timer: NodeJS.Timeout | undefined
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(storeUnavailable(new Error(`no answer within ${timeoutMs} ms`))),
      timeoutMs,
    )
  })
  try {
    return await Promise.race([promise, expired])
  } finally {
    clearTimeout(timer)
  }
}
