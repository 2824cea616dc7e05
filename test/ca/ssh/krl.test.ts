import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CaError } from '../../../ca/errors.ts'
import { createKrl, type KrlRequest, readKrl } from '../../../ca/ssh/krl.ts'
import { sshAuthority } from '../../support/ssh-certificates.ts'

const authority = sshAuthority().publicKey
const now = new Date('2026-11-05T12:00:00Z')
const krl = (changes: Partial<KrlRequest> = {}): Buffer =>
  createKrl({
    authority,
    version: 7n,
    generatedAt: now,
    comment: 'test',
    serials: [],
    keyIds: [],
    ...changes,
  })

test('what is written is read back, sorted, each once', () => {
  fc.assert(
    fc.property(
      fc.array(fc.bigInt(1n, (1n << 64n) - 1n), { maxLength: 50 }),
      fc.array(fc.stringMatching(/^[!-~]{1,30}$/), { maxLength: 20 }),
      (serials, keyIds) => {
        const read = readKrl(
          krl({ serials: [...serials, ...serials.slice(0, 2)], keyIds: [...keyIds, ...keyIds] }),
        )
        expect(read.serials).toEqual([...new Set(serials)].sort((a, b) => (a < b ? -1 : 1)))
        expect(read.keyIds).toEqual([...new Set(keyIds)].sort())
        expect(read).toMatchObject({ version: 7n, generatedAt: now, comment: 'test' })
        const hasAny = serials.length + keyIds.length > 0
        expect(read.authority?.blob).toEqual(hasAny ? authority.blob : undefined)
      },
    ),
  )
})

describe('refused', () => {
  test.for([
    ['serial 0', { serials: [5n, 0n] }],
    ['serial below 0', { serials: [-1n] }],
    ['serial 2^64', { serials: [1n << 64n] }],
    ['empty key id', { keyIds: [''] }],
    ['key id with a line end', { keyIds: ['a\n'] }],
    ['comment with a line end', { comment: 'a\n' }],
    ['version below 0', { version: -1n }],
    ['no time', { generatedAt: new Date(Number.NaN) }],
  ] as const)('%s', ([, changes]) => {
    expect(() => krl(changes)).toThrow(expect.objectContaining({ code: 'bad_request' }))
  })
})

test('a hundred thousand certificates are quick and take 8 octets each', () => {
  const serials = Array.from({ length: 100_000 }, (_, index) => BigInt(index + 1) << 40n)
  expect(krl({ serials }).length).toBeLessThan(801_000)
})

test('any bytes give a list or a CaError', () => {
  const good = krl({ serials: [1n, 2n, 3n], keyIds: ['a', 'b'] })
  const change = fc.tuple(fc.nat(good.length), fc.nat(255), fc.boolean())
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
      let blob = good
      for (const [at, octet, cut] of changes)
        blob = Buffer.concat([
          blob.subarray(0, at),
          ...(cut ? [] : [Buffer.of(octet)]),
          blob.subarray(at + 1),
        ])
      try {
        readKrl(blob)
      } catch (error) {
        if (!(error instanceof CaError)) throw error
      }
    }),
    { numRuns: 500 },
  )
})
