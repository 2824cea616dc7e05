/** Rules on the VOMS attributes in the proxies. */
import type { Asn1Node } from '../asn1.ts'
import { Tag } from '../asn1.ts'
import { childrenOf, decode, hasTag, timeOf } from '../asn1-read.ts'
import type { Link } from '../chain-link.ts'
import { CaError } from '../errors.ts'
import { type DoctorRule, eachOf, when } from './context.ts'
import type { RelyingParty } from './relying-parties.ts'

/** The extension with the attribute certificates. */
const attributeCertificates = '1.3.6.1.4.1.8005.100.100.5'

/** Those that give rights by VOMS attributes. */
const vomsParties: readonly RelyingParty[] = [
  'XRootD',
  'XRootD https',
  'arcproxy',
  'ARC server',
  'GridSite',
  'HTCondor',
]

interface Period {
  readonly notBefore: Date
  readonly notAfter: Date
}

/** The periods of all attribute certificates of a proxy (RFC 5755 section 4.1); 'unreadable' for anything else. */
function periodsOf({ certificate }: Link): readonly Period[] | 'unreadable' {
  const extension = certificate.extensions.find(({ oid }) => oid === attributeCertificates)
  if (extension === undefined) return []
  try {
    const [list] = childrenOf(decode(extension.value, 'VOMS'), 'VOMS', Tag.sequence)
    return childrenOf(list, 'VOMS', Tag.sequence).map(readPeriod)
  } catch (error) {
    if (error instanceof CaError) return 'unreadable'
    throw error
  }
}

function readPeriod(attributeCertificate: Asn1Node): Period {
  const [information] = childrenOf(attributeCertificate, 'VOMS', Tag.sequence)
  const period = childrenOf(information, 'VOMS', Tag.sequence).find(
    (part) =>
      hasTag(part, Tag.sequence) && hasTag(childrenOf(part, 'VOMS')[0], Tag.generalizedTime),
  )
  const [notBefore, notAfter] = childrenOf(period, 'VOMS', Tag.sequence)
  return { notBefore: timeOf(notBefore, 'VOMS'), notAfter: timeOf(notAfter, 'VOMS') }
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
