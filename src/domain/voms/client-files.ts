/** The files by which VOMS clients find the VOMS servers, and by which relying parties trust their attributes. */
import type { Authority } from '../../../ca/authority.ts'
import { formatSlashDn } from '../../../ca/name-text.ts'
import type { VirtualOrganisation } from './organisations.ts'

/** A text file. `path` has slashes between names that are safe in file systems. */
export interface VomsClientFile {
  readonly path: string
  readonly content: string
}

export interface VomsClientFilesRequest {
  readonly organisations: Iterable<VirtualOrganisation>
  /** Name of the host certificate, slash-DN. */
  readonly hostSubject: string
  /** The current CA, and those before and after a roll-over of the key. */
  readonly authorities: readonly Pick<Authority, 'certificate'>[]
  /** Whether VOMS servers listen; if not, there is no `vomses`. */
  readonly withServers: boolean
}

/** Between the chains of an `.lsc` file. */
const NEXT_CHAIN = '------ NEXT CHAIN ------'

/**
 * Returns `vomses`, for clients, and `vomsdir/VO/HOST.lsc`, for relying parties: the name of the host certificate and
 * that of its CA.
 */
export function vomsClientFiles(request: VomsClientFilesRequest): readonly VomsClientFile[] {
  const { hostSubject, withServers } = request
  const servers = [...request.organisations].map(({ server }) => server)
  const issuers = request.authorities.map(({ certificate }) => formatSlashDn(certificate.subject))
  const chains = [...new Set(issuers)].map((issuer) => `${hostSubject}\n${issuer}\n`)
  const lines = servers.map(
    ({ vo, host, port }) => `"${vo}" "${host}" "${port}" "${hostSubject}" "${vo}"\n`,
  )
  return [
    ...(withServers && lines.length > 0 ? [{ path: 'vomses', content: lines.join('') }] : []),
    ...servers.map(({ vo, host }) => ({
      path: `vomsdir/${vo}/${host}.lsc`,
      content: chains.join(`${NEXT_CHAIN}\n`),
    })),
  ]
}
