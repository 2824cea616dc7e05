/** What a run does, from the environment. */
import { createHash } from 'node:crypto'

export interface Plan {
  readonly minutes: number
  readonly seed: number
  /** Each kind of fault once, in a fixed order, in place of a random choice for `minutes`. */
  readonly quick: boolean
  /** File that gets the report, too. */
  readonly reportFile: string | undefined
  /** Directory that gets the logs of all programs. */
  readonly logDirectory: string | undefined
}

/** @throws Error for a value that is no positive number */
export function readPlan(environment: Readonly<Record<string, string | undefined>>): Plan {
  const numberOf = (name: string, usual: number): number => {
    const value = Number(environment[name] ?? usual)
    if (!(value > 0)) throw new Error(`${name} must be a number above 0`)
    return value
  }
  return {
    minutes: numberOf('TTS_CHAOS_MINUTES', 60),
    seed: numberOf('TTS_CHAOS_SEED', 1 + (Date.now() % 1_000_000)),
    quick: environment['TTS_CHAOS_QUICK'] === '1',
    reportFile: environment['TTS_CHAOS_REPORT'],
    logDirectory: environment['TTS_CHAOS_LOGS'],
  }
}

/** Random numbers that a seed repeats. */
export interface Random {
  /** From `least` to `most`, both inclusive. */
  whole(least: number, most: number): number
  /** One of the values. */
  pick<Value>(values: readonly Value[]): Value
}

/** Digests of a counter: short, and without the patterns in low bits that simple generators have. */
export function seededRandom(seed: number): Random {
  let count = 0
  const whole = (least: number, most: number): number => {
    count += 1
    const digest = createHash('sha256').update(`${seed} ${count}`).digest()
    return least + (digest.readUInt32BE(0) % (most - least + 1))
  }
  return {
    whole,
    pick(values) {
      const value = values[whole(0, values.length - 1)]
      if (value === undefined) throw new Error('there is nothing to choose from')
      return value
    },
  }
}
