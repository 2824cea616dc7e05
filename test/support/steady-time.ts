import { onTestFinished, vi } from 'vitest'

const now = performance.now.bind(performance)

/** Lets `performance.now()` be ahead by so many milliseconds until the end of the test, or the next call. */
export function passSteadyTime(ms: number): void {
  const spy = vi.spyOn(performance, 'now').mockImplementation(() => now() + ms)
  onTestFinished(() => {
    spy.mockRestore()
  })
}
