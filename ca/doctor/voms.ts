/** Rules on the VOMS attributes in the proxies. */
import type { Validity } from '../certificate.ts'
import type { Link } from '../chain-link.ts'
import { CaError } from '../errors.ts'
import { attributeCertificatesOf } from '../voms/read-attributes.ts'
import { type DoctorRule, eachOf, when } from './context.ts'
import type { RelyingParty } from './relying-parties.ts'

/** Those that give rights by VOMS attributes. */
const vomsParties: readonly RelyingParty[] = [
  'XRootD',
  'XRootD https',
  'arcproxy',
  'ARC server',
  'GridSite',
  'HTCondor',
]

/** The periods of all attribute certificates of a proxy; 'unreadable' for anything else. */
function periodsOf({ certificate }: Link): readonly Validity[] | 'unreadable' {
  try {
    return attributeCertificatesOf(certificate).map(({ validity }) => validity)
  } catch (error) {
    if (error instanceof CaError) return 'unreadable'
    throw error
  }
}

/** What is wrong with the attributes of a proxy, to follow its name. */
function problemOf(link: Link, now: Date): string | undefined {
  const periods = periodsOf(link)
  if (periods === 'unreadable') return 'has VOMS attributes that cannot be read'
  const ended = periods.find(({ notAfter }) => notAfter <= now)
  if (ended) return `has VOMS attributes that expired at ${ended.notAfter.toISOString()}`
  const early = periods.find(({ notBefore }) => notBefore > now)
  return early && `has VOMS attributes that are not valid before ${early.notBefore.toISOString()}`
}

export const vomsRules: readonly DoctorRule[] = [
  {
    id: 'voms-attributes-ended',
    severity: 'refuses',
    relyingParties: ['VOMS'],
    check: ({ proxies, now }) => eachOf('proxy', proxies, (link) => problemOf(link, now)),
    remedy: 'Get new VOMS attributes, for instance with voms-proxy-init -voms VO -noregen.',
  },
  {
    id: 'voms-attributes-without-effect',
    severity: 'warns',
    relyingParties: vomsParties,
    check: ({ proxies, now }) =>
      when(
        proxies.some((link) => problemOf(link, now) !== undefined),
        'Services that give rights by VOMS attributes treat the proxy as one without them.',
      ),
    remedy: 'Get new VOMS attributes, for instance with voms-proxy-init -voms VO -noregen.',
  },
]
