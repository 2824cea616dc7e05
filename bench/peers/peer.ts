/** Other services that turn an OpenID Connect token and a CSR into a certificate. */
import type { GoVersion } from '../../test/support/go.ts'
import type { Target } from '../programs.ts'
import type { Workload, World } from '../scenarios/scenario.ts'
import type { PeerAuthority } from './authority.ts'

export interface Peer {
  readonly name: string
  readonly title: string
  /** Go package of its program, as `go install` takes it. */
  readonly goPackage: string
  readonly version: string
  /** That of its go.mod. */
  readonly leastGo: GoVersion
  readonly start: (world: World, installed: InstalledPeer) => Promise<Target>
  readonly workload: (world: World, target: Target) => Workload
}

export interface InstalledPeer {
  /** Path of the program. */
  readonly program: string
  readonly authority: PeerAuthority
  /** For its files; empty. */
  readonly directory: string
}

/** What both want to know of a user. */
export const emailClaims = { email: 'user@example.org', email_verified: true }
