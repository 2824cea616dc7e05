import { checkPrimeSync, generateKeyPairSync, generatePrimeSync, randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { weaknessOf } from '../../ca/weak-modulus.ts'

const prime = (bits: number): bigint => generatePrimeSync(bits, { bigint: true })

function nextPrime(from: bigint): bigint {
  let candidate = from | 1n
  while (!checkPrimeSync(candidate)) candidate += 2n
  return candidate
}

const randomBelow = (limit: bigint): bigint =>
  BigInt(`0x${randomBytes(limit.toString(16).length).toString('hex')}`) % limit

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let [result, square, left] = [1n, base % modulus, exponent]
  for (; left > 0n; left >>= 1n) {
    if (left & 1n) result = (result * square) % modulus
    square = (square * square) % modulus
  }
  return result
}

/**
 * A prime as the flawed library makes those of 2048-bit keys: k * M + (65537^a mod M), M the product of the first 126
 * primes.
 */
function rocaPrime(): bigint {
  let product = 2n
  let count = 1
  for (let candidate = 3n; count < 126; candidate += 2n) {
    if (!checkPrimeSync(candidate)) continue
    product *= candidate
    count += 1
  }
  const least = (1n << 1023n) / product
  for (;;) {
    const factor = least + randomBelow(least)
    const candidate = factor * product + power(65537n, randomBelow(1n << 64n), product)
    if (checkPrimeSync(candidate)) return candidate
  }
}

describe('moduli that anybody can factor', () => {
  test('neighbouring primes', () => {
    const p = prime(1024)
    expect(weaknessOf(p * nextPrime(p + 2n))).toBe('close_primes')
  })

  test.for([100n, 300n, 500n])('primes that differ in their last %d bits', (bits) => {
    const p = prime(1024)
    const q = nextPrime(p + (1n << bits))
    expect(weaknessOf(p * q)).toBe('close_primes')
  })

  test('a square', () => {
    const p = prime(1024)
    expect(weaknessOf(p * p)).toBe('close_primes')
  })

  test('ROCA', () => {
    expect(weaknessOf(rocaPrime() * rocaPrime())).toBe('roca')
  })

  test('one prime of ROCA is not its fingerprint', () => {
    expect(weaknessOf(rocaPrime() * prime(1024))).toBeUndefined()
  })

  test.for([2n, 3n, 751n, 757n, 4093n])('the factor %d', (factor) => {
    expect(weaknessOf(prime(2047) * factor)).toBe('small_factor')
  })
})

test.for([2048, 3072, 4096])('keys that OpenSSL makes, %d bits', (modulusLength) => {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength })
  const { n = '' } = publicKey.export({ format: 'jwk' })
  expect(weaknessOf(BigInt(`0x${Buffer.from(n, 'base64url').toString('hex')}`))).toBeUndefined()
})
