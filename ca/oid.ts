/**
 * Object identifiers: dotted text to DER content octets and back, arcs of any size.
 */
import { malformed } from './errors.ts'

const OID = 'object identifier'
const MAX_OID_BYTES = 128

/**
 * Content octets of an object identifier from its dotted form, arcs of any size (X.690 section 8.19).
 *
 * @throws {CaError} `malformed`
 */
export function oidBytes(dotted: string): Buffer {
  if (!/^[0-2](\.(0|[1-9]\d{0,38})){1,32}$/.test(dotted)) {
    throw malformed(OID, 'it is not in dotted form')
  }
  const [first = 0n, second = 0n, ...rest] = dotted.split('.').map(BigInt)
  if (first < 2n && second > 39n) {
    throw malformed(OID, 'its second arc is over 39')
  }
  const content = Buffer.from([first * 40n + second, ...rest].flatMap(base128))
  if (content.length > MAX_OID_BYTES)
    throw malformed(OID, `it is over ${MAX_OID_BYTES} octets long`)
  return content
}

function base128(arc: bigint): number[] {
  const octets = [Number(arc & 0x7fn)]
  for (let left = arc >> 7n; left > 0n; left >>= 7n) octets.unshift(Number(left & 0x7fn) | 0x80)
  return octets
}

/**
 * Dotted form of an object identifier's content octets. It is unique, so identifiers can be compared in this form.
 *
 * @throws {CaError} `malformed`
 */
export function oidDotted(content: Uint8Array): string {
  // Before the loop, whose work grows with the square of an arc's length.
  if (content.length === 0 || content.length > MAX_OID_BYTES) {
    throw malformed(OID, 'it is empty or too long')
  }
  const arcs: bigint[] = []
  let arc = 0n
  let starts = true
  content.forEach((octet, index) => {
    // X.690 section 8.19.2: the leading octet of an arc is never 0x80, else one arc had two encodings.
    if (octet === 0x80 && arc === 0n && starts) throw malformed(OID, 'an arc is padded')
    arc = (arc << 7n) | BigInt(octet & 0x7f)
    starts = octet < 0x80
    if (octet >= 0x80 && index === content.length - 1) {
      throw malformed(OID, 'it is truncated')
    }
    if (octet < 0x80) {
      arcs.push(arc)
      arc = 0n
    }
  })
  const [head = 0n, ...rest] = arcs
  const first = head < 40n ? 0n : head < 80n ? 1n : 2n
  return [first, head - first * 40n, ...rest].join('.')
}
