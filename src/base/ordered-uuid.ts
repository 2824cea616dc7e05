import { randomUUID } from 'node:crypto'

/**
 * Returns a UUID of version 7: milliseconds since the epoch, then 74 random bits. New ids follow each other in an
 * index, so that it grows at its end; a random id would change another page of the database for each record.
 *
 * @see RFC 9562 section 5.7
 */
export function orderedUuid(now: Date): string {
  const time = now.getTime().toString(16).padStart(12, '0')
  // After version 4: 12 random bits, the variant, 62 random bits.
  const random = randomUUID().slice(15)
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random}`
}
