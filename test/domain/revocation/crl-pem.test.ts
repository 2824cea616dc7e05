import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { toPem } from '../../../ca/pem.ts'
import { crlPem } from '../../../src/domain/revocation/crl-pem.ts'

const STEP = 48 * 8192

test.for([1, 47, 48, 49, STEP - 1, STEP, STEP + 1, 2 * STEP + 5])(
  'a CRL of %i bytes is the same in steps as at once',
  async (length) => {
    const der = randomBytes(length)
    expect((await crlPem(der)).toString('latin1')).toBe(toPem('X509 CRL', der))
  },
)

test('others get their turn between the steps', async () => {
  let turns = 0
  const count = (): void => {
    turns += 1
    counting = setImmediate(count)
  }
  let counting = setImmediate(count)
  await crlPem(randomBytes(5 * STEP))
  clearImmediate(counting)
  expect(turns).toBeGreaterThanOrEqual(4)
})
