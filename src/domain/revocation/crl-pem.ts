/** A long CRL in PEM, made in steps: at 100,000 entries it takes 30 ms at once, in which nobody would be answered. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { toPem } from '../../../ca/pem.ts'

const LABEL = 'X509 CRL'
const BEGIN = `-----BEGIN ${LABEL}-----\n`
const END = `-----END ${LABEL}-----\n`
/** Whole lines of 48 octets, of which a step takes two milliseconds. */
const STEP_BYTES = 48 * 8192

/** Returns the same as `toPem`, as bytes. */
export async function crlPem(der: Buffer): Promise<Buffer> {
  const parts = [Buffer.from(BEGIN)]
  for (let start = 0; start < der.length; start += STEP_BYTES) {
    if (start > 0) await nextTurn()
    const block = toPem(LABEL, der.subarray(start, start + STEP_BYTES))
    parts.push(Buffer.from(block.slice(BEGIN.length, -END.length), 'latin1'))
  }
  parts.push(Buffer.from(END))
  return Buffer.concat(parts)
}
