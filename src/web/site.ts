/** What all pages share: settings, public URL, and the parts of the service. */
import type { WebSettings } from '../config/web-schema.ts'
import type { CredentialsDependencies } from '../domain/revocation/credentials.ts'
import type { RenewalDependencies } from '../domain/delegations/renewal.ts'
import type { IssueDependencies } from '../domain/issuing/issue.ts'
import type { OneTimeCodes } from '../domain/one-time-codes.ts'
import type { Metrics } from '../service/metrics.ts'
import type { RelyingServices } from '../relying/relying-services.ts'

/** Options from the composition root. */
export interface WebOptions {
  readonly settings: WebSettings
  /** URL under which users reach the service; known once the service listens. */
  readonly publicUrl: () => URL
  /** Relying services, which send their users here. */
  readonly relying: RelyingServices
  /** Undefined: there is no MyProxy server. */
  readonly myproxy: MyProxyOptions | undefined
}

/** Where the MyProxy server is, which service issues there by default, and the one-time codes for it. */
export interface MyProxyOptions {
  readonly host: string
  readonly port: number
  readonly service: string
  readonly codes: OneTimeCodes
}

export interface Site extends WebOptions {
  readonly issuing: IssueDependencies
  readonly credentials: CredentialsDependencies
  readonly delegations: RenewalDependencies
  readonly metrics: Metrics
  readonly now: () => Date
  /** Maximum size of a form, in bytes. */
  readonly maxBodyBytes: number
}

/** Returns whether a host name is a loopback name or address. */
export function isLoopbackUrl(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
}

/**
 * Returns the path of the public URL without a trailing slash. It is empty unless a reverse proxy serves the pages
 * under a path.
 */
export function basePath(site: Pick<Site, 'publicUrl'>): string {
  return site
    .publicUrl()
    .pathname.replaceAll(/\/{2,}/g, '/')
    .replace(/\/$/, '')
}

/** Returns a path of this service as browsers must request it. */
export function ownPath(site: Pick<Site, 'publicUrl'>, path: string): string {
  return `${basePath(site)}${path}`
}

/** Returns the absolute URL of a path of this service. */
export function absoluteUrl(site: Pick<Site, 'publicUrl'>, path: string): string {
  return new URL(ownPath(site, path), site.publicUrl()).href
}
