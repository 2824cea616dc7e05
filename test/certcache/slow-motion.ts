/** A month in seconds: everybody's clock is set by hand, certcache's may be wrong, and waits follow no clock at all. */
import { vi } from 'vitest'
import type { Clock, ProxyEngine } from '../../src/certcache/proxy-engine.ts'

interface Sleeper {
  readonly endsAtMs: number
  readonly wake: () => void
}

/** Time of the whole world. `useDate` before, `release` after. */
export class SlowMotion {
  /** What no clock shows: it only goes on. */
  #passedMs = 0
  /** By how much certcache's clock is wrong. */
  wrongByMs = 0
  readonly #sleepers = new Set<Sleeper>()
  readonly #realNow = performance.now.bind(performance)

  constructor(start: Date) {
    vi.useFakeTimers({ toFake: ['Date'], now: start })
    // Rate limits count by it: without this a month of renewals would all come at once.
    vi.spyOn(performance, 'now').mockImplementation(() => this.#realNow() + this.#passedMs)
  }

  release(): void {
    vi.mocked(performance.now).mockRestore()
    vi.useRealTimers()
  }

  /** Of certcache's machine. Waits end when their time has passed, whatever its clock says then. */
  readonly clock: Clock = {
    now: () => new Date(Date.now() + this.wrongByMs),
    sleep: (milliseconds, signal) =>
      new Promise((resolve) => {
        const sleeper = {
          endsAtMs: this.#passedMs + milliseconds,
          wake: () => {
            this.#sleepers.delete(sleeper)
            signal.removeEventListener('abort', sleeper.wake)
            resolve()
          },
        }
        this.#sleepers.add(sleeper)
        if (signal.aborted) sleeper.wake()
        else signal.addEventListener('abort', sleeper.wake)
      }),
  }

  /** Lets time pass. */
  pass(milliseconds: number): void {
    this.#passedMs += milliseconds
    vi.setSystemTime(Date.now() + milliseconds)
    for (const sleeper of this.#sleepers) if (sleeper.endsAtMs <= this.#passedMs) sleeper.wake()
  }

  /** Sets everybody's clock to another time; no time passes. */
  step(milliseconds: number): void {
    vi.setSystemTime(Date.now() + milliseconds)
  }

  /** Waits until the engine has done what there is to do by now: it sleeps, and renews nothing. */
  async settled(engine: Pick<ProxyEngine, 'status'>): Promise<void> {
    const deadline = this.#realNow() + 20_000
    for (let turn = 0; ; turn += 1) {
      // All that is settled has had its consequences by the next turn of the loop. A renewal takes many: it is looked
      // at seldom.
      await new Promise((resolve) => {
        if (turn < 5) setImmediate(resolve)
        else setTimeout(resolve, 1)
      })
      if (this.#sleepers.size > 0 && !engine.status().proxies.some(({ renewing }) => renewing))
        return
      if (this.#realNow() > deadline) throw new Error('certcache does not come to rest')
    }
  }

  /** Lets time pass attempt by attempt, so that each is made when it is due; `look` is called after each. */
  async live(
    milliseconds: number,
    engine: () => Pick<ProxyEngine, 'status'>,
    look: () => void | Promise<void>,
  ): Promise<void> {
    const endMs = this.#passedMs + milliseconds
    while (this.#passedMs < endMs) {
      const now = this.clock.now().getTime()
      const waits = engine()
        .status()
        .proxies.map(({ nextAttemptAt }) => (nextAttemptAt?.getTime() ?? Infinity) - now)
      // A wait is never shorter than this.
      this.pass(Math.min(endMs - this.#passedMs, Math.max(20, ...waits)))
      await this.settled(engine())
      await look()
    }
  }
}
