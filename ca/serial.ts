/** Serial numbers: positive, of fixed length, and nearly all random, so that replicas need no common counter. */

import { CaError } from './errors.ts'

/** Octets of an EEC's serial number: 126 random bits. RFC 5280 section 4.1.2.2 allows 20 octets. */
export const END_ENTITY_SERIAL_BYTES = 16
/** Octets of a proxy's serial number: 70 random bits, and a CN of at most 22 digits, which people can still read. */
export const PROXY_SERIAL_BYTES = 9

/**
 * A serial number of `length` octets from random bytes: the two top bits become 01, so it is positive and never
 * shorter.
 *
 * @param randomBytes for example `randomBytes` of `node:crypto`
 * @param length octets: `END_ENTITY_SERIAL_BYTES`, `PROXY_SERIAL_BYTES`, at most 20
 * @see RFC 5280 section 4.1.2.2
 * @example
 * serialFrom(randomBytes, END_ENTITY_SERIAL_BYTES).length // => 16
 */
export function serialFrom(randomBytes: (size: number) => Buffer, length: number): Buffer {
  const serial = randomBytes(length)
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40
  return serial
}

/**
 * Refuses a serial number that is not positive or has over 20 octets as an INTEGER (RFC 5280 section 4.1.2.2).
 *
 * @throws {CaError} `bad_request`
 */
export function checkSerial(serial: Buffer): void {
  const octets = serial.length + ((serial[0] ?? 0) >= 0x80 ? 1 : 0)
  if (serial.every((octet) => octet === 0) || octets > 20) {
    throw new CaError(
      'bad_request',
      'a serial number must be positive and have at most 20 octets',
      {
        field: 'serial',
        reason: octets > 20 ? 'too_large' : 'too_small',
        limit: octets > 20 ? 20 : 1,
        actual: octets > 20 ? octets : 0,
      },
    )
  }
}

/** A serial number as decimal digits: the CN of a proxy. */
export function serialDecimal(serial: Buffer): string {
  return BigInt(`0x${serial.toString('hex')}`).toString()
}
