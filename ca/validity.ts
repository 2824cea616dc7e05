/** Lifetimes that nest: a proxy ends no later than its EEC, an EEC no later than its CA. */
import { type Validity, wholeSeconds } from './certificate.ts'
import { CaError } from './errors.ts'

/** Begin is set back by this much, so that a relying party with a slow clock accepts at once; what Globus, VOMS and GridSite do. */
export const BACKDATE_SECONDS = 300

/**
 * The validity of a certificate that is issued now: begins 300 seconds back, yet not before its issuer's; ends after
 * `lifetimeSeconds`, yet not after its issuer's.
 *
 * @param lifetimeSeconds whole seconds from `now`, at least 1
 * @throws {CaError} `bad_lifetime` when the issuer is not valid now, or the lifetime is not a positive whole number of seconds
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

/** True when `inner` begins no later than it ends and lies within `outer`, ends included. */
export function isNested(inner: Validity, outer: Validity): boolean {
  return (
    inner.notBefore <= inner.notAfter &&
    inner.notBefore >= outer.notBefore &&
    inner.notAfter <= outer.notAfter
  )
}
