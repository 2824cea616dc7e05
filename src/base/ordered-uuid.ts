import { randomUUID } from 'node:crypto'

/**
 * Returns an id in the form of a UUID of version 4, as clients of WaTTS know them, that begins with the milliseconds
 * since the epoch; 74 bits are random. New ids follow each other in an index, so that it grows at its end; a random id
 * would change another page of the database for each record. Version 7 of RFC 9562 has the same order.
 */
export function orderedUuid(now: Date): string {
  const time = now.getTime().toString(16).padStart(12, '0')
  // The version with 12 random bits, the variant with 62.
  return `${time.slice(0, 8)}-${time.slice(8)}-${randomUUID().slice(14)}`
}
