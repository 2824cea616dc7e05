/** Rules on the validity of certificates. */
import type { Link } from '../chain-link.ts'
import { type DoctorContext, type DoctorRule, eachOf, endEntityOf, when } from './context.ts'
import { globus, relyingParties, type RelyingParty, validating } from './relying-parties.ts'

const ended = ({ certificate: { validity } }: Link, now: Date): string | undefined =>
  validity.notAfter <= now ? `expired at ${validity.notAfter.toISOString()}` : undefined

const notBegun = ({ certificate: { validity } }: Link, now: Date): string | undefined =>
  validity.notBefore > now ? `is not valid before ${validity.notBefore.toISOString()}` : undefined

/** Seconds until the first certificate of the file ends. */
function secondsLeft({ links, now }: DoctorContext): number {
  const ends = links.map(({ certificate }) => certificate.validity.notAfter.getTime())
  return Math.floor((Math.min(...ends) - now.getTime()) / 1000)
}

/** These two tolerate differences between clocks. */
const tolerant = new Set<RelyingParty>(['XRootD', 'caNl-Java'])
const strictClock = validating.filter((party) => !tolerant.has(party))

const renew = 'Request a new proxy now.'
const clock = 'Wait, or correct the clocks: a proxy is valid from five minutes before it is issued.'

function tooShort(context: DoctorContext, seconds: number): readonly string[] {
  const left = secondsLeft(context)
  return when(
    left > 0 && left < seconds,
    `The file is valid for ${left} more seconds; at least ${seconds} are required.`,
  )
}

export const timeRules: readonly DoctorRule[] = [
  {
    id: 'proxy-ended',
    severity: 'refuses',
    relyingParties,
    check: ({ proxies, now }) => eachOf('proxy', proxies, (link) => ended(link, now)),
    remedy: renew,
  },
  {
    id: 'proxy-not-begun',
    severity: 'refuses',
    relyingParties: strictClock,
    check: ({ proxies, now }) => eachOf('proxy', proxies, (link) => notBegun(link, now)),
    remedy: clock,
  },
  {
    id: 'end-entity-ended',
    severity: 'refuses',
    relyingParties: validating,
    check: (context) => eachOf('EEC', endEntityOf(context), (link) => ended(link, context.now)),
    remedy: renew,
  },
  {
    id: 'end-entity-not-begun',
    severity: 'refuses',
    relyingParties: strictClock,
    check: (context) => eachOf('EEC', endEntityOf(context), (link) => notBegun(link, context.now)),
    remedy: clock,
  },
  {
    id: 'ca-out-of-time',
    severity: 'refuses',
    relyingParties: validating,
    check: ({ authorities, now }) =>
      eachOf('CA', authorities, (link) => ended(link, now) ?? notBegun(link, now)),
    remedy: 'Install the trust anchors of the current CA.',
  },
  {
    id: 'proxy-outlives-end-entity',
    severity: 'warns',
    relyingParties,
    check: ({ proxies, endEntity }) =>
      endEntity === undefined
        ? []
        : eachOf('proxy', proxies, ({ certificate: { validity } }) =>
            validity.notAfter > endEntity.certificate.validity.notAfter
              ? `expires after its EEC, so both are valid only until ${endEntity.certificate.validity.notAfter.toISOString()}`
              : undefined,
          ),
    remedy: 'Use the expiry of the EEC as that of the proxy.',
  },
  {
    id: 'time-left-glideinwms-minute',
    severity: 'refuses',
    relyingParties: ['glideinWMS'],
    check: (context) => tooShort(context, 60),
    remedy: renew,
  },
  {
    id: 'time-left-htcondor',
    severity: 'refuses',
    relyingParties: ['HTCondor'],
    check: (context) => tooShort(context, 120),
    remedy: `${renew} HTCondor's limit is CRED_MIN_TIME_LEFT.`,
  },
  {
    id: 'time-left-glideinwms-half-day',
    severity: 'warns',
    relyingParties: ['glideinWMS'],
    check: (context) => tooShort(context, 12 * 3600),
    remedy: 'Renew before half a day is left, or request longer proxies.',
  },
  {
    id: 'ends-after-2049',
    severity: 'refuses',
    relyingParties: [...globus, 'XRootD'],
    check: (context) => [
      ...eachOf('proxy', context.proxies, after2049),
      ...eachOf('EEC', endEntityOf(context), after2049),
    ],
    remedy: 'Use certificates that end before 2050.',
  },
  {
    id: 'ca-ends-after-2049',
    severity: 'refuses',
    relyingParties: ['XRootD'],
    check: ({ authorities }) => eachOf('CA', authorities, after2049),
    remedy: 'Use a CA certificate that ends before 2050.',
  },
]

/** From 2050 the date is a GeneralizedTime, which Globus and XRootD misread as long past. */
function after2049({ certificate: { validity } }: Link): string | undefined {
  return validity.notAfter.getUTCFullYear() > 2049
    ? `expires at ${validity.notAfter.toISOString()}; dates after 2049 are misread as long past`
    : undefined
}
