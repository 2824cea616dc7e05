import { expect, test } from 'vitest'
import { createLimitedFetch, type Fetch } from '../../src/tokens/limited-fetch.ts'

const limits = { timeoutMs: 30, maxBodyBytes: 10 }

test.for(['http://10.0.0.1/', 'file:///etc/passwd', 'data:,x', 'http://127.0.0.1.evil.example/?a'])(
  '%s is never asked',
  async (url) => {
    let asked = 0
    const { fetch } = createLimitedFetch(async () => {
      asked += 1
      return new Response()
    }, limits)
    await expect(fetch(url)).rejects.toThrow(/not https/)
    expect(asked).toBe(0)
  },
)

test('a connection that breaks is tried once more, and once only', async () => {
  let asked = 0
  const breaking: Fetch = async () => {
    asked += 1
    throw new TypeError('fetch failed')
  }
  const { fetch } = createLimitedFetch(breaking, limits)
  await expect(fetch('https://iam.example.org/')).rejects.toThrow('fetch failed')
  expect(asked).toBe(2)
})

test('the deadline covers the body, and the bound its length', async () => {
  const drip =
    (chunk: string, everyMs: number): Fetch =>
    async (_url, options) => {
      let timer: NodeJS.Timeout
      const body = new ReadableStream({
        start: (controller) => {
          timer = setInterval(() => controller.enqueue(Buffer.from(chunk)), everyMs)
          options?.signal?.addEventListener('abort', () => {
            clearInterval(timer)
            controller.error(options.signal?.reason)
          })
        },
        cancel: () => clearInterval(timer),
      })
      return new Response(body)
    }
  const slow = createLimitedFetch(drip('', 5), limits)
  await expect(slow.fetch('https://iam.example.org/')).rejects.toThrow('deadline')
  const long = createLimitedFetch(drip('xxxxxxxx', 1), { ...limits, timeoutMs: 5_000 })
  await expect(long.fetch('https://iam.example.org/')).rejects.toThrow('too large')
})

test('close ends what is under way', async () => {
  const hanging: Fetch = async (_url, options) =>
    new Promise((_resolve, reject) => {
      options?.signal?.addEventListener('abort', () => reject(new Error('closed')))
    })
  const limited = createLimitedFetch(hanging, { ...limits, timeoutMs: 60_000 })
  const request = limited.fetch('https://iam.example.org/')
  limited.close()
  await expect(request).rejects.toThrow('closed')
})

test('a signal that was raised before ends it at once', async () => {
  const heeding: Fetch = async (_url, options) => {
    options?.signal?.throwIfAborted()
    return new Response('late')
  }
  const { fetch } = createLimitedFetch(heeding, limits)
  const request = fetch('https://iam.example.org/', { signal: AbortSignal.abort() })
  await expect(request).rejects.toThrow('deadline')
})

test('what must not be repeated is sent once', async () => {
  let asked = 0
  const breaking: Fetch = async () => {
    asked += 1
    throw new TypeError('fetch failed')
  }
  const { fetch } = createLimitedFetch(breaking, { ...limits, sendAgain: false })
  await expect(fetch('https://iam.example.org/')).rejects.toThrow('fetch failed')
  expect(asked).toBe(1)
})

test('after close, a request is aborted at its start', async () => {
  const hanging: Fetch = async (_url, options) =>
    new Promise((_resolve, reject) => {
      const abort = (): void => reject(options?.signal?.reason as Error)
      if (options?.signal?.aborted === true) abort()
      options?.signal?.addEventListener('abort', abort)
    })
  const limited = createLimitedFetch(hanging, { ...limits, timeoutMs: 60_000 })
  const before = limited.fetch('https://iam.example.org/')
  limited.close()
  await expect(before).rejects.toThrow('aborted')
  await expect(limited.fetch('https://iam.example.org/')).rejects.toThrow('aborted')
})
