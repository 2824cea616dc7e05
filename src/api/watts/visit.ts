/** Types that the handlers of the WaTTS paths share. */
import type { Request, Response } from 'express'
import type { WattsSettings } from '../../config/watts-schema.ts'
import type { CredentialsDependencies } from '../../domain/revocation/credentials.ts'
import type { IssueDependencies } from '../../domain/issuing/issue.ts'
import type { Metrics } from '../../service/metrics.ts'
import type { WattsSessions } from './caller.ts'
import type { PickupDesk } from './pickups.ts'
import type { Place } from './place.ts'

export interface WattsDependencies {
  readonly issuing: IssueDependencies
  readonly credentials: CredentialsDependencies
  readonly metrics: Metrics
  readonly settings: WattsSettings
  readonly pickups: PickupDesk
  /** Undefined: there are no web pages, and therefore no sessions. */
  readonly sessions: WattsSessions | undefined
  /** URL under which clients reach the service; undefined: the URL of the request is used. */
  readonly publicUrl: string | undefined
  readonly requestTimeoutMs: number
}

/** One request. */
export interface WattsVisit {
  readonly request: Request
  readonly response: Response
  readonly place: Place
}
