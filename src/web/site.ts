/** What all pages of one service have in common. */
import type { WebSettings } from '../config/web-schema.ts'
import type { CredentialsDependencies } from '../domain/revocation/credentials.ts'
import type { RenewalDependencies } from '../domain/delegations/renewal.ts'
import type { IssueDependencies } from '../domain/issuing/issue.ts'
import type { Metrics } from '../service/metrics.ts'
import type { RelyingServices } from '../relying/relying-services.ts'

/** What the program gives the page. */
export interface WebOptions {
  readonly settings: WebSettings
  /** URL under which people reach the service; known once it listens. */
  readonly publicUrl: () => URL
  /** Sites that send their users here. */
  readonly relying: RelyingServices
}

export interface Site extends WebOptions {
  readonly issuing: IssueDependencies
  readonly credentials: CredentialsDependencies
  readonly delegations: RenewalDependencies
  readonly metrics: Metrics
  readonly now: () => Date
  /** Largest form, in bytes. */
  readonly maxBodyBytes: number
}

/** Whether a host name means this very machine. */
export function isLoopbackUrl(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
}

/** The path that the service stands under behind a reverse proxy, without a slash at its end; mostly nothing. */
export function basePath(site: Pick<Site, 'publicUrl'>): string {
  return site
    .publicUrl()
    .pathname.replaceAll(/\/{2,}/g, '/')
    .replace(/\/$/, '')
}

/** A path of ours as a browser has to ask for it. */
export function ownPath(site: Pick<Site, 'publicUrl'>, path: string): string {
  return `${basePath(site)}${path}`
}

/** An absolute URL of a path of ours. */
export function absoluteUrl(site: Pick<Site, 'publicUrl'>, path: string): string {
  return new URL(ownPath(site, path), site.publicUrl()).href
}
