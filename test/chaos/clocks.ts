/**
 * Wrong clocks: libfaketime in a process changes what the C library says about the time of day, and reads by how much
 * from a file. Monotonic time goes on as it is, as it does when somebody sets a clock.
 */
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Machine } from './machine.ts'

export interface ProcessClock {
  readonly name: string
  /** For the process that has this clock. */
  readonly environment: Readonly<Record<string, string>>
  /** Sets it that many seconds wrong; the process sees it within a second. */
  setWrong(seconds: number): void
}

/** A clock that is right. Without libfaketime it stays right. */
export function newClock({ directory, clockLibrary }: Machine, name: string): ProcessClock {
  const file = join(directory, `${name}.clock`)
  const setWrong = (seconds: number): void => {
    writeFileSync(`${file}.new`, `${seconds < 0 ? '' : '+'}${seconds}\n`)
    renameSync(`${file}.new`, file)
  }
  setWrong(0)
  const environment: Record<string, string> =
    clockLibrary === undefined
      ? {}
      : {
          LD_PRELOAD: clockLibrary,
          FAKETIME_TIMESTAMP_FILE: file,
          FAKETIME_CACHE_DURATION: '1',
          FAKETIME_DONT_FAKE_MONOTONIC: '1',
          // Its shared memory would stay behind after kill -9.
          FAKETIME_DISABLE_SHM: '1',
        }
  return { name, environment, setWrong }
}
