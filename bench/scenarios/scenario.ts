/** What a scenario is, and what it has to work with. */
import type { IdentityProvider } from '../../demo/identity-provider/server.ts'
import type { DemoUser } from '../../demo/identity-provider/users.ts'
import type { Target } from '../programs.ts'
import type { RawWork } from '../raw.ts'
import type { EndEntityKeyKind } from '../service.ts'

/** Made once for a run. */
export interface World {
  /** For files of this run; removed at its end. */
  readonly directory: string
  readonly provider: IdentityProvider
  readonly users: readonly DemoUser[]
  /** In PEM, with RSA-2048 keys. */
  readonly csrs: readonly string[]
  /** Runs the TypeScript sources instead of the built programs. */
  readonly fromSources: boolean
}

/** The requests of a scenario. */
export interface Workload {
  readonly target: Target
  /** False: each request may be sent once only. */
  readonly mayRepeat: boolean
  /** Undefined: every status below 400. */
  readonly expectedStatus: number | undefined
  /** Makes requests; as many as are asked for, if they may be sent once only. */
  readonly make: (count: number) => Promise<readonly Buffer[]>
  /** Requests of the same cost or less that may repeat, to warm up and to estimate the rate. */
  readonly warmUp?: readonly Buffer[]
  /** Starts what the same load is compared with. */
  readonly startReference?: (answerBytes: number) => Promise<Target>
  /** Stops what `prepare` started, but not the service. */
  readonly close?: () => Promise<void>
}

export interface Scenario {
  /** As `--only` takes it. */
  readonly name: string
  readonly title: string
  readonly endEntityKeyKind: EndEntityKeyKind
  /** The work that one answer needs at least; undefined: none. */
  readonly rawWork: RawWork | undefined
  /** Unless `--connections` says otherwise. */
  readonly connections: number
  /** Factor for `--seconds`: slow answers need longer rounds. */
  readonly durationFactor: number
  readonly prepare: (world: World, service: Target) => Promise<Workload>
}

/** What most scenarios have. */
export const ordinary = {
  endEntityKeyKind: 'rsa-2048',
  rawWork: 'rsa-2048 signature',
  connections: 64,
  durationFactor: 1,
} as const
