/** Cases in which a party is known to judge otherwise than the doctor, and why that is left so. */
import type { RelyingParty } from '../../../ca/doctor/relying-parties.ts'

/** Of several CRLs Java uses any one: the order is that of a hash table, and not the same in each run. */
const severalCrls = [
  'CRL with a critical extension as .r0, good .r1',
  'revoked in a newer .r1',
  'revoked only in an older .r1',
]

/** Of an identifier that cannot be read, caNl-C looks only at the key. */
const identifiers = [
  'EEC with a serial number that is a list',
  'EEC with an issuer that is no name',
]

const knownDifferences: Readonly<Partial<Record<RelyingParty, readonly string[]>>> = {
  'caNl-Java': [
    // Java's TLS refuses 512 bits; its validator, which is all that is asked here, does not.
    'key-rsa-too-small: 512 bits',
    'EEC with 512 bits',
    // Java reads this file, which our own parser and all others refuse.
    'four dashes',
    ...severalCrls,
  ],
  'VOMS Java': ['four dashes', ...severalCrls],
  'caNl-C': identifiers,
  GridSite: identifiers,
  // OpenSSL 3.5, which the HTCondor of Debian 13 uses, reads the next file; 3.0 does not.
  HTCondor: ['CA as .1 behind an empty .0'],
  // Unlike the other parties of Globus's code, it stores and renews such a proxy.
  MyProxy: ['proxy-not-inheriting: anyLanguage'],
}

/** Whether a party is known to judge a case otherwise than the doctor. */
export function isKnownDifference(party: RelyingParty, title: string): boolean {
  return knownDifferences[party]?.includes(title) === true
}
