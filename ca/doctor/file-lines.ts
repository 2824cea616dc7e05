/** Rules on the lines of the PEM blocks in the proxy file. */
import { pemFaults, type PemFault, withCurrentLabels, withoutByteOrderMark } from '../pem-lines.ts'
import { parseProxyFile, type ProxyFile } from '../proxy-file.ts'
import type { DoctorContext, DoctorRule, Problem } from './context.ts'
import { canlC, except, java, relyingParties } from './relying-parties.ts'
import { opensslFault } from './trust-lookup.ts'

/**
 * Reads a proxy file for the doctor. It also reads what relying parties read and `parseProxyFile` does not: a byte
 * order mark, and old labels of certificates.
 *
 * @throws {CaError} as `parseProxyFile`
 */
export function parseExaminedFile(text: string): ProxyFile {
  return parseProxyFile(withCurrentLabels(withoutByteOrderMark(text)))
}

/** What is wrong with a line, to follow "Line N of the file". */
const words: Readonly<Record<PemFault['kind'], string>> = {
  indented_begin: 'has white space before -----BEGIN',
  indented_end: 'has white space before -----END',
  blank_line: 'is blank',
  carriage_returns: 'ends with a carriage return alone',
  trailing_space: 'has white space after -----BEGIN …-----',
  byte_order_mark: 'begins with a byte order mark',
}

/** Says where a PEM block has a fault, as a part of a sentence. */
export function describePemFault({ kind, line, label }: PemFault): string {
  const place = label === '' ? '' : `, in the block ${label}`
  return `line ${line}${place}, ${words[kind]}`
}

function sayFault(fault: PemFault, context: DoctorContext): Problem {
  const { endEntity, links } = context
  const readers = fault.kind === 'blank_line' || fault.kind === 'carriage_returns' ? notJava : all
  const certificateAt = context.proxyFile.labels
    .slice(0, fault.block)
    .filter((label) => label === 'CERTIFICATE').length
  const isEndEntity = fault.label === 'CERTIFICATE' && links[certificateAt] === endEntity
  const sentence = describePemFault(fault)
  return {
    sentence: `${sentence[0]?.toUpperCase() ?? ''}${sentence.slice(1)}, so the block cannot be read.`,
    // arcproxy does not read the EEC of the file, and caNl-C can do without it.
    relyingParties: isEndEntity
      ? except(readers, 'arcproxy', ...(fault.kind === 'indented_begin' ? canlC : []))
      : readers,
  }
}

const all = relyingParties
const notJava = except(relyingParties, ...java, 'JGlobus')

/** A rule on faults of one kind that only Java minds. */
function javaRule(id: string, kind: PemFault['kind'], remedy: string): DoctorRule {
  return {
    id,
    severity: 'refuses',
    relyingParties: java,
    check: ({ fileFacts }) => {
      const fault = pemFaults(fileFacts?.text ?? '').find((one) => one.kind === kind)
      return fault === undefined
        ? []
        : [`Line ${fault.line} of the file ${words[kind]}, so Java does not find the block.`]
    },
    remedy,
  }
}

export const fileLineRules: readonly DoctorRule[] = [
  {
    id: 'file-pem-lines',
    severity: 'refuses',
    relyingParties,
    check: (context) => {
      // The first fault says enough: an indented file has one in each block.
      const fault = opensslFault({ faults: pemFaults(context.fileFacts?.text ?? '') })
      return fault === undefined ? [] : [sayFault(fault, context)]
    },
    remedy:
      'Write each block without indentation and without blank lines, for instance with openssl x509.',
  },
  javaRule(
    'file-pem-trailing-space',
    'trailing_space',
    'Remove the white space at the end of the lines.',
  ),
  javaRule(
    'file-byte-order-mark',
    'byte_order_mark',
    'Remove the byte order mark, the first three bytes of the file.',
  ),
]
