/** Cases in which a party is known to judge otherwise than the doctor, and why that is left so. */
import type { RelyingParty } from '../../../ca/doctor/relying-parties.ts'

const knownDifferences: Readonly<Partial<Record<RelyingParty, readonly string[]>>> = {
  'caNl-Java': [
    // Java's TLS refuses 512 bits; its validator, which is all that is asked here, does not.
    'key-rsa-too-small: 512 bits',
    'EEC with 512 bits',
    // Java reads this file, which our own parser and all others refuse.
    'four dashes',
    // It refuses or accepts by the order in which it happened to read the two CRLs.
    'CRL with a critical extension as .r0, good .r1',
  ],
  'VOMS Java': ['four dashes', 'CRL with a critical extension as .r0, good .r1'],
  // Unlike the other parties of Globus's code, it stores and renews such a proxy.
  MyProxy: ['proxy-not-inheriting: anyLanguage'],
}

/** Whether a party is known to judge a case otherwise than the doctor. */
export function isKnownDifference(party: RelyingParty, title: string): boolean {
  return knownDifferences[party]?.includes(title) === true
}
