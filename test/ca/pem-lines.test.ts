import { X509Certificate } from 'node:crypto'
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { opensslFault } from '../../ca/doctor/trust-lookup.ts'
import { toPem } from '../../ca/pem.ts'
import {
  BYTE_ORDER_MARK,
  pemFaults,
  withCurrentLabels,
  withoutByteOrderMark,
} from '../../ca/pem-lines.ts'
import { buildChain } from '../support/certificate-builder.ts'

let pem = ''
beforeAll(async () => {
  const { authority } = await buildChain()
  pem = toPem('CERTIFICATE', authority.certificate.der)
})

/** Whether OpenSSL, as Node has it, reads a certificate from the text. */
function opensslReads(text: string): boolean {
  try {
    return new X509Certificate(Buffer.from(text, 'latin1')).subject !== ''
  } catch {
    return false
  }
}

describe('pemFaults', () => {
  test.for([
    { title: 'indented BEGIN', from: /^/, to: ' ', kind: 'indented_begin', line: 1 },
    { title: 'indented END', from: '-----END', to: '\t-----END', kind: 'indented_end', line: 12 },
    { title: 'a blank line', from: /^((.*\n){3})/, to: '$1\n', kind: 'blank_line', line: 4 },
    { title: 'a line of blanks', from: /^((.*\n){3})/, to: '$1  \n', kind: 'blank_line', line: 4 },
    {
      title: 'a blank behind BEGIN',
      from: '-----\n',
      to: '----- \n',
      kind: 'trailing_space',
      line: 1,
    },
    { title: 'carriage returns', from: /\n/g, to: '\r', kind: 'carriage_returns', line: 1 },
    {
      title: 'a byte order mark',
      from: /^/,
      to: BYTE_ORDER_MARK,
      kind: 'byte_order_mark',
      line: 1,
    },
  ])('names $title', ({ from, to, kind, line }) => {
    const [fault] = pemFaults(pem.replace(from, to))
    const end = pem.trim().split('\n').length
    expect(fault).toMatchObject({ kind, line: line === 12 ? end : line, block: 0 })
  })

  test.for([
    { title: 'what we write', change: (text: string) => text },
    { title: 'CRLF', change: (text: string) => text.replaceAll('\n', '\r\n') },
    { title: 'text around', change: (text: string) => `  a note\n\n${text}\n\nbye` },
    { title: 'a blank line behind BEGIN', change: (text: string) => text.replace('\n', '\n\n') },
    { title: 'a mark before text', change: (text: string) => `${BYTE_ORDER_MARK}note\n${text}` },
  ])('finds none in $title', ({ change }) => {
    expect(pemFaults(change(pem))).toEqual([])
    expect(opensslReads(change(pem))).toBe(true)
  })

  test('counts blocks as readPem does', () => {
    expect(pemFaults(`${pem}${pem.replace(/^/, ' ')}`)).toMatchObject([{ block: 1 }])
  })

  test('agrees with OpenSSL on any white space', () => {
    const space = fc.constantFrom('', '', '', ' ', '\t', '\n', '\r', '  \n', '\n\n')
    let read = 0
    fc.assert(
      fc.property(
        fc.array(space, { maxLength: 60 }),
        fc.array(space, { maxLength: 60 }),
        (before, behind) => {
          const text = pem
            .trim()
            .split('\n')
            .map((line, index) => `${before[index] ?? ''}${line}${behind[index] ?? ''}\n`)
            .join('')
          const isRead = opensslReads(text)
          read += isRead ? 1 : 0
          expect(
            opensslFault({ faults: pemFaults(text) }) === undefined,
            JSON.stringify(text),
          ).toBe(isRead)
        },
      ),
      { numRuns: 2000 },
    )
    expect(read).toBeGreaterThan(100)
  })

  test('never throws, whatever the text', () => {
    const piece = fc.constantFrom(
      '-----BEGIN X-----',
      '-----END X-----',
      '\n',
      '\r',
      ' ',
      'YQ==',
      'x',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        for (const { line, block } of pemFaults(pieces.join(''))) {
          expect(line).toBeGreaterThan(0)
          expect(block).toBeGreaterThanOrEqual(0)
        }
      }),
    )
  })
})

test('old labels become the current one, and nothing else changes', () => {
  const old = pem.replaceAll(' CERTIFICATE', ' X509 CERTIFICATE')
  expect(withCurrentLabels(old)).toBe(pem)
  expect(withCurrentLabels(pem.replaceAll(' CERTIFICATE', ' TRUSTED CERTIFICATE'))).toBe(pem)
  expect(withCurrentLabels(pem.replaceAll('CERTIFICATE', 'X509 CRL'))).toBe(
    pem.replaceAll('CERTIFICATE', 'X509 CRL'),
  )
})

test('a byte order mark is removed at the beginning only', () => {
  expect(withoutByteOrderMark(`${BYTE_ORDER_MARK}a${BYTE_ORDER_MARK}`)).toBe(`a${BYTE_ORDER_MARK}`)
})
