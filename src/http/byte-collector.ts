/** Collects bytes in one buffer as they arrive, so that a thousand pieces of one byte cost only a thousand bytes. */

export interface ByteCollector {
  readonly length: number
  /** Takes a piece; the caller must not change it afterwards. */
  append(piece: Uint8Array): void
  /** The bytes so far. Valid until the next `append`. */
  bytes(): Buffer
}

const LEAST_CAPACITY = 2048

export function createByteCollector(): ByteCollector {
  // The first piece is not copied: mostly it is all there is.
  let buffer: Buffer = Buffer.alloc(0)
  let length = 0
  return {
    get length() {
      return length
    },
    append(piece) {
      if (length === 0) {
        buffer = Buffer.from(piece.buffer, piece.byteOffset, piece.length)
        length = piece.length
        return
      }
      if (length + piece.length > buffer.length) {
        const capacity = Math.max(LEAST_CAPACITY, buffer.length * 2, length + piece.length)
        const larger = Buffer.allocUnsafeSlow(capacity)
        buffer.copy(larger, 0, 0, length)
        buffer = larger
      }
      buffer.set(piece, length)
      length += piece.length
    },
    bytes: () => buffer.subarray(0, length),
  }
}
