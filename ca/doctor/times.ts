/** Rules on the validity of certificates. */
import type { Certificate } from '../certificate.ts'
import type { Link } from '../chain-link.ts'
import {
  type DoctorContext,
  type DoctorRule,
  eachOf,
  endEntityOf,
  type Problem,
  when,
} from './context.ts'
import {
  except,
  globus,
  java,
  relyingParties,
  type RelyingParty,
  validating,
} from './relying-parties.ts'

const ended = ({ certificate: { validity } }: Link, now: Date): string | undefined =>
  validity.notAfter <= now ? `expired at ${validity.notAfter.toISOString()}` : undefined

const notBegun = ({ certificate: { validity } }: Link, now: Date): string | undefined =>
  validity.notBefore > now ? `is not valid before ${validity.notBefore.toISOString()}` : undefined

/** Seconds until the first certificate of the file ends. */
function secondsLeft({ links, now }: DoctorContext): number {
  const ends = links.map(({ certificate }) => certificate.validity.notAfter.getTime())
  return Math.floor((Math.min(...ends) - now.getTime()) / 1000)
}

/** arcproxy reads times although it does not validate the chain. */
const readingTimes: readonly RelyingParty[] = [...validating, 'arcproxy']

const renew = 'Request a new proxy now.'
const clock = 'Wait, or correct the clocks: a proxy is valid from five minutes before it is issued.'

/** caNl-Java and XRootD tolerate such a difference between clocks. */
const GRACE_MS = 5 * 60 * 1000

const isWithinGrace = (date: Date, now: Date): boolean =>
  Math.abs(date.getTime() - now.getTime()) <= GRACE_MS

function eachOutOfTime(
  role: string,
  links: readonly Link[],
  {
    check,
    parties,
  }: {
    readonly check: (link: Link) => string | undefined
    readonly parties: (certificate: Certificate) => readonly RelyingParty[]
  },
): readonly Problem[] {
  return links.flatMap((link) =>
    eachOf(role, [link], check).map((sentence) => ({
      sentence,
      relyingParties: parties(link.certificate),
    })),
  )
}

/** A time for people: `11 hours`, `1 hour 50 minutes`, `50 seconds`. */
function formatSpan(seconds: number): string {
  const count = (value: number, unit: string): string => `${value} ${unit}${value === 1 ? '' : 's'}`
  if (seconds < 120) return count(seconds, 'second')
  const hours = Math.floor(seconds / 3600)
  const minutes = Math.floor((seconds % 3600) / 60)
  return [hours > 0 ? count(hours, 'hour') : '', minutes > 0 ? count(minutes, 'minute') : '']
    .filter((part) => part !== '')
    .join(' ')
}

function tooShort(context: DoctorContext, seconds: number): readonly string[] {
  const left = secondsLeft(context)
  return when(
    left > 0 && left < seconds,
    `The file is valid for ${formatSpan(left)} more; at least ${formatSpan(seconds)} are required.`,
  )
}

export const timeRules: readonly DoctorRule[] = [
  {
    id: 'proxy-ended',
    severity: 'refuses',
    relyingParties,
    check: ({ proxies, now }) =>
      eachOutOfTime('proxy', proxies, {
        check: (link) => ended(link, now),
        parties: ({ validity }) =>
          isWithinGrace(validity.notAfter, now)
            ? except(relyingParties, 'caNl-Java')
            : relyingParties,
      }),
    remedy: renew,
  },
  {
    id: 'proxy-not-begun',
    severity: 'refuses',
    relyingParties: readingTimes,
    check: ({ proxies, now }) =>
      eachOutOfTime('proxy', proxies, {
        check: (link) => notBegun(link, now),
        parties: ({ validity }) =>
          isWithinGrace(validity.notBefore, now)
            ? except(readingTimes, 'XRootD', ...java)
            : readingTimes,
      }),
    remedy: clock,
  },
  {
    id: 'end-entity-ended',
    severity: 'refuses',
    relyingParties: readingTimes,
    check: (context) => eachOf('EEC', endEntityOf(context), (link) => ended(link, context.now)),
    remedy: renew,
  },
  {
    id: 'end-entity-not-begun',
    severity: 'refuses',
    relyingParties: readingTimes,
    check: (context) =>
      eachOutOfTime('EEC', endEntityOf(context), {
        check: (link) => notBegun(link, context.now),
        parties: ({ validity }) =>
          isWithinGrace(validity.notBefore, context.now)
            ? except(readingTimes, 'XRootD')
            : readingTimes,
      }),
    remedy: clock,
  },
  {
    id: 'ca-out-of-time',
    severity: 'refuses',
    // Java does not look at the times of a trusted CA.
    relyingParties: except(validating, ...java),
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
    remedy: `${renew} condor_submit takes no proxy with less time left (CRED_MIN_TIME_LEFT).`,
  },
  {
    id: 'time-left-glideinwms-half-day',
    severity: 'warns',
    relyingParties: ['glideinWMS'],
    check: (context) => (secondsLeft(context) < 60 ? [] : tooShort(context, 12 * 3600)),
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
