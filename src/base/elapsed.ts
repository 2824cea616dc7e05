/**
 * A moment by two clocks. The clock of the machine may be set back, and what was stored before then lies in the future;
 * the steady clock does not count the time that the machine was suspended.
 */
export interface Moment {
  /** Milliseconds since the epoch. */
  readonly wallMs: number
  /** Reading of `performance.now()`. */
  readonly steadyMs: number
}

/** Returns the present moment. */
export const momentOf = (now: () => Date): Moment => ({
  wallMs: now().getTime(),
  steadyMs: performance.now(),
})

/** Milliseconds since the moment, of this process: never less than have passed, whatever happened to the clock. */
export const elapsedMs = ({ wallMs, steadyMs }: Moment, now: () => Date): number =>
  Math.max(now().getTime() - wallMs, performance.now() - steadyMs)
