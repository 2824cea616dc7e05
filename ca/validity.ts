/** Nested validities: a proxy ends no later than its EEC, an EEC no later than its CA. */
import { type Validity, wholeSeconds } from './certificate.ts'
import { CaError } from './errors.ts'

/**
 * notBefore is set back by this time, so that relying parties with a slow clock accept immediately; like Globus, VOMS
 * and GridSite.
 */
export const BACKDATE_SECONDS = 300

/**
 * Returns the validity of a certificate that is issued now: it begins 300 seconds ago, but not before the issuer's,
 * and ends after `lifetimeSeconds`, but not after the issuer's.
 *
 * @param lifetimeSeconds whole seconds from `now`, at least 1
 * @throws {CaError} `bad_lifetime` (the issuer is not valid now, or the lifetime is not a positive whole number)
 * @see RFC 5280 section 4.1.2.5
 * @example
 * const { notBefore } = nestedValidity(now, 12 * 3600, authority.certificate.validity)
 * now.getTime() - notBefore.getTime() // => 300_000
 */
export function nestedValidity(now: Date, lifetimeSeconds: number, issuer: Validity): Validity {
  if (!Number.isSafeInteger(lifetimeSeconds) || lifetimeSeconds < 1) {
    throw new CaError('bad_lifetime', 'a lifetime must be a whole number of seconds, at least 1', {
      field: 'lifetimeSeconds',
      reason: 'bad_value',
      limit: 1,
      actual: lifetimeSeconds,
    })
  }
  if (Number.isNaN(now.getTime()))
    throw new CaError('bad_lifetime', 'the time of issue is not a valid date', {
      field: 'now',
      reason: 'bad_value',
    })
  if (now < issuer.notBefore)
    throw new CaError('bad_lifetime', 'the issuing certificate is not yet valid', {
      field: 'issuer.notBefore',
      reason: 'not_yet_valid',
    })
  const begin = wholeSeconds(new Date(now.getTime() - BACKDATE_SECONDS * 1000))
  // As numbers: a Date beyond the year 275760 is invalid and compares as false.
  const end = Math.min(now.getTime() + lifetimeSeconds * 1000, issuer.notAfter.getTime())
  const validity = {
    notBefore: begin < issuer.notBefore ? issuer.notBefore : begin,
    notAfter: wholeSeconds(new Date(end)),
  }
  if (validity.notAfter <= now)
    throw new CaError('bad_lifetime', 'the issuing certificate has expired', {
      field: 'issuer.notAfter',
      reason: 'expired',
    })
  return validity
}

/** Whether `inner` does not end before it begins and lies within `outer`, both ends inclusive. */
export function isNested(inner: Validity, outer: Validity): boolean {
  return (
    inner.notBefore <= inner.notAfter &&
    inner.notBefore >= outer.notBefore &&
    inner.notAfter <= outer.notAfter
  )
}
