/** Encodes and decodes the data types of the SSH protocols (RFC 4251 section 5), with size limits. */
import { CaError, type CaErrorDetails, malformed } from '../errors.ts'

/** Returns the error for a value that the wire format cannot hold. */
function badValue(field: string, message: string): CaError {
  return new CaError('bad_request', message, { field, reason: 'bad_value' })
}

/** A `string`: its length, then its bytes; text is written as UTF-8. */
export function wireString(value: Uint8Array | string): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value
  return Buffer.concat([wireUint32(bytes.length), bytes])
}

/**
 * A `uint32`.
 *
 * @throws {CaError} `bad_request`
 */
export function wireUint32(value: number): Buffer {
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff)
    throw badValue('uint32', 'a uint32 must be a whole number below 2^32')
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/**
 * A `uint64`.
 *
 * @throws {CaError} `bad_request`
 */
export function wireUint64(value: bigint): Buffer {
  if (value < 0n || value > 0xffffffffffffffffn)
    throw badValue('uint64', 'a uint64 must be a whole number below 2^64')
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(value)
  return bytes
}

/** A non-negative `mpint` in the fewest octets, with a leading 0 if the top bit would make it negative. */
export function wireMpint(magnitude: Uint8Array): Buffer {
  const first = magnitude.findIndex((octet) => octet !== 0)
  const digits = first < 0 ? Buffer.alloc(0) : magnitude.subarray(first)
  const sign = (digits[0] ?? 0) >= 0x80 ? Buffer.alloc(1) : Buffer.alloc(0)
  return wireString(Buffer.concat([sign, digits]))
}

/**
 * A `name-list`: names separated by commas.
 *
 * @throws {CaError} `bad_request` (a name is empty, longer than 64 characters, or not printable US-ASCII without comma)
 */
export function wireNameList(names: readonly string[]): Buffer {
  if (!names.every(isName))
    throw badValue('name-list', 'a name must have 1 to 64 printable characters and no comma')
  return wireString(names.join(','))
}

/** RFC 4251 section 6. */
function isName(name: string): boolean {
  return /^[!-+\--~]{1,64}$/.test(name)
}

/** Reads one value after the other. @throws {CaError} `malformed`, each method if the next value is not of its type */
export interface WireReader {
  /** Number of unread bytes. */
  readonly left: number
  /** Number of bytes read so far. */
  readonly position: number
  uint8(): number
  uint32(): number
  uint64(): bigint
  /** Bytes of a `string` of at most `maxBytes`. */
  string(maxBytes: number): Buffer
  /** A `string` of printable US-ASCII, including spaces. */
  text(maxBytes: number): string
  /** Magnitude of a non-negative `mpint` in its shortest form; empty for 0. */
  mpint(maxBytes: number): Buffer
  names(maxBytes: number): readonly string[]
  /** Refuses bytes after the last value. */
  end(): void
}

/**
 * Returns a reader of bytes.
 *
 * @param what names the structure in errors
 */
export function wireReader(bytes: Uint8Array, what: string): WireReader {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let position = 0
  const refuse = (why: string, details: Partial<CaErrorDetails> = {}): never => {
    throw malformed(what, why, details)
  }
  const take = (count: number): Buffer => {
    if (count > buffer.length - position) refuse('it is truncated')
    position += count
    return buffer.subarray(position - count, position)
  }
  const string = (maxBytes: number): Buffer => {
    const length = take(4).readUInt32BE()
    if (length > maxBytes) {
      refuse(`a string has ${length} bytes; at most ${maxBytes} are accepted`, {
        reason: 'too_large',
        limit: maxBytes,
        actual: length,
      })
    }
    return take(length)
  }
  const text = (maxBytes: number): string => {
    const value = string(maxBytes).toString('latin1')
    return /^[ -~]*$/.test(value) ? value : refuse('a string is not printable US-ASCII')
  }
  return {
    get left() {
      return buffer.length - position
    },
    get position() {
      return position
    },
    uint8: () => take(1).readUInt8(),
    uint32: () => take(4).readUInt32BE(),
    uint64: () => take(8).readBigUInt64BE(),
    string,
    text,
    mpint: (maxBytes) => {
      const content = string(maxBytes + 1)
      const [first, second] = content
      if (first === undefined) return content
      if (first >= 0x80) refuse('a number is negative')
      if (first === 0 && (second ?? 0) < 0x80) refuse('a number has leading zeros')
      return first === 0 ? content.subarray(1) : content
    },
    names: (maxBytes) => {
      const value = text(maxBytes)
      const names = value === '' ? [] : value.split(',')
      return names.every(isName) ? names : refuse('a name in a name-list is malformed')
    },
    end: () => {
      if (position < buffer.length) refuse('unexpected bytes after its end')
    },
  }
}
