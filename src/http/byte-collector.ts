/** Collects bytes in one buffer as they arrive, so that a thousand pieces of one byte cost only a thousand bytes. */

export interface ByteCollector {
  readonly length: number
  append(piece: Uint8Array): void
  /** The bytes so far. Valid until the next `append`. */
  bytes(): Buffer
}

const FIRST_CAPACITY = 2048

export function createByteCollector(): ByteCollector {
  let buffer = Buffer.allocUnsafeSlow(FIRST_CAPACITY)
  let length = 0
  return {
    get length() {
      return length
    },
    append(piece) {
      if (length + piece.length > buffer.length) {
        const larger = Buffer.allocUnsafeSlow(Math.max(buffer.length * 2, length + piece.length))
        buffer.copy(larger, 0, 0, length)
        buffer = larger
      }
      buffer.set(piece, length)
      length += piece.length
    },
    bytes: () => buffer.subarray(0, length),
  }
}
