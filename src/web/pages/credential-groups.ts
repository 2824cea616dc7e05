/**
 * Groups a user's credentials by what a revocation ends. The proxies of one EEC end together, because CRLs list EECs
 * and not proxies. SSH certificates and credentials of plugins end one by one.
 */
import type { CredentialView } from '../../domain/records.ts'

/** Credentials that one revocation ends. */
export interface CredentialGroup {
  readonly kind: 'x509' | 'ssh' | 'other'
  /** Serial number of the EEC; undefined for other kinds. */
  readonly endEntitySerial: string | undefined
  /** The credentials in the user's list, newest first. */
  readonly members: readonly CredentialView[]
  /** The valid credentials, newest first, including those that the user removed from the list. */
  readonly active: readonly CredentialView[]
}

export function isActive({ revokedAt, notAfter }: CredentialView, now: Date): boolean {
  return revokedAt === undefined && (notAfter === undefined || notAfter > now)
}

/** Returns the groups, newest first. Groups whose members were all removed from the list are left out. */
export function groupCredentials(
  views: readonly CredentialView[],
  now: Date,
): readonly CredentialGroup[] {
  const byKey = new Map<string, CredentialView[]>()
  for (const view of views) {
    const key = view.endEntitySerial ?? view.id
    const group = byKey.get(key)
    if (group === undefined) byKey.set(key, [view])
    else group.push(view)
  }
  return [...byKey.values()]
    .map((all) => ({
      kind: kindOf(all[0]),
      endEntitySerial: all[0]?.endEntitySerial,
      members: all.filter(({ forgottenAt }) => forgottenAt === undefined),
      active: all.filter((view) => isActive(view, now)),
    }))
    .filter(({ members }) => members.length > 0)
}

function kindOf(view: CredentialView | undefined): CredentialGroup['kind'] {
  if (view?.endEntitySerial !== undefined) return 'x509'
  return view?.sshSerial === undefined ? 'other' : 'ssh'
}

/** Returns the credential that ends last; one without a known end counts as the last. */
export function latestEnd(views: readonly CredentialView[]): CredentialView | undefined {
  return views.reduce<CredentialView | undefined>((latest, view) => {
    if (latest === undefined || view.notAfter === undefined) return view
    if (latest.notAfter === undefined) return latest
    return view.notAfter > latest.notAfter ? view : latest
  }, undefined)
}

/** Says how many proxies, certificates and other credentials there are: `3 proxies and 1 certificate`. */
export function countInWords(views: readonly CredentialView[]): string {
  const counts = new Map<string, number>()
  for (const view of views) counts.set(nounOf(view), (counts.get(nounOf(view)) ?? 0) + 1)
  return [...counts]
    .map(([noun, count]) => `${count} ${count === 1 ? noun : plurals[noun]}`)
    .join(' and ')
}

const plurals: Readonly<Record<string, string>> = {
  proxy: 'proxies',
  certificate: 'certificates',
  'SSH certificate': 'SSH certificates',
  credential: 'credentials',
}

function nounOf(view: CredentialView): string {
  if (view.certificates.some(({ kind }) => kind === 'proxy')) return 'proxy'
  if (view.endEntitySerial !== undefined) return 'certificate'
  return view.sshSerial === undefined ? 'credential' : 'SSH certificate'
}
