/** What a run hands to its reports. */
import type { Machine } from './machine.ts'
import type { Measured } from './measure.ts'
import type { StoreKind } from './options.ts'
import type { RawRate, RawWork } from './raw.ts'

export interface Result {
  /** Name of the scenario, or of the peer. */
  readonly name: string
  readonly title: string
  readonly isPeer: boolean
  /** Undefined for a peer. */
  readonly store: StoreKind | undefined
  readonly rows: number
  readonly connections: number
  readonly measured: Measured
}

/** What is started. */
export type StartName = 'node' | 'tts-version' | 'tts-serve' | 'certcache-serve'

/** The start of a program, medians. */
export interface Start {
  readonly name: StartName
  /** Until it answers, or ends. */
  readonly ms: number
  /** User and system time until then. */
  readonly cpuMs: number
  /** 0 for a program that has ended. */
  readonly rssBytes: number
}

export interface Results {
  readonly machine: Machine
  readonly startedAt: string
  readonly seconds: number
  readonly rounds: number
  readonly identities: number
  /** At the start of the run. */
  readonly raw: Readonly<Record<RawWork, RawRate>>
  readonly results: readonly Result[]
  /** Empty: not measured. */
  readonly starts: readonly Start[]
  /** What could not be measured, and why. */
  readonly skipped: readonly string[]
  /** What broke off. */
  readonly errors: readonly string[]
}
