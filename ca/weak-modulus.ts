/**
 * RSA moduli that can be factored by anybody: with a small prime, with two primes close to each other, or made by the
 * flawed library of ROCA. Such a private key is not secret, so anybody could use a certificate for it.
 */

/** The weaknesses of a modulus. */
export type ModulusWeakness = 'small_factor' | 'close_primes' | 'roca'

/** Limit of trial division. Public CAs stop at 752. */
const MAX_SMALL_PRIME = 4096
/** Steps of Fermat's method. They find primes that share nearly half of their digits, as made by a flawed generator. */
const FERMAT_ROUNDS = 100
/** Primes of the ROCA fingerprint (Nemec and others, The Return of Coppersmith's Attack, 2017; CVE-2017-15361). */
const MAX_ROCA_PRIME = 167
/** Generator of the subgroup that contains all moduli of that library, for each of these primes. */
const ROCA_GENERATOR = 65537

/** Primes whose product is below 2^53, so that one division of a BigInt gives the remainders by all of them. */
interface PrimeGroup {
  readonly primes: readonly number[]
  readonly product: bigint
}

const groups = groupPrimes(oddPrimesBelow(MAX_SMALL_PRIME))
/** For each prime of the fingerprint, the remainders that a modulus of the flawed library can have. */
const rocaRemainders = new Map(
  oddPrimesBelow(MAX_ROCA_PRIME + 1).map((prime) => [prime, powersModulo(ROCA_GENERATOR, prime)]),
)

/** Returns why a modulus (odd or even, 2048 bits or more) must not be certified; undefined if no weakness was found. */
export function weaknessOf(modulus: bigint): ModulusWeakness | undefined {
  if (modulus % 2n === 0n) return 'small_factor'
  let couldBeRoca = true
  for (const { primes, product } of groups) {
    const rest = Number(modulus % product)
    for (const prime of primes) {
      const remainder = rest - Math.floor(rest / prime) * prime
      // The quotient may be rounded up to the next whole number, and the remainder is then negative. A multiple of the
      // prime is divided exactly. `%` of numbers beyond 32 bits takes ten times as long.
      if (remainder === 0) return 'small_factor'
      if (couldBeRoca && rocaRemainders.get(prime)?.has((remainder + prime) % prime) === false)
        couldBeRoca = false
    }
  }
  if (couldBeRoca) return 'roca'
  return hasClosePrimes(modulus) ? 'close_primes' : undefined
}

/** Moduli for which it is known which remainders squares have; their product is below 2^40. */
const FILTER_MODULI = [256, 3 * 5 * 7 * 11 * 13, 17 * 19, 23 * 29] as const
const FILTER_PRODUCT = FILTER_MODULI.reduce((product, modulus) => product * modulus, 1)
const filters = FILTER_MODULI.map((modulus) => ({ modulus, isSquare: squaresModulo(modulus) }))

/**
 * Fermat's method: if n = a^2 - b^2 for an a that is little over the root of n, then n = (a - b)(a + b). Whether
 * a^2 - n can be a square is first decided by its remainders, with numbers in place of BigInts: one in a thousand
 * passes.
 */
function hasClosePrimes(modulus: bigint): boolean {
  const root = squareRoot(modulus)
  const first = root * root < modulus ? root + 1n : root
  let a = Number(first % BigInt(FILTER_PRODUCT))
  let difference = Number((first * first - modulus) % BigInt(FILTER_PRODUCT))
  for (let round = 0; round < FERMAT_ROUNDS; round += 1) {
    if (mayBeSquare(difference)) {
      const exact = first + BigInt(round)
      if (isSquare(exact * exact - modulus)) return true
    }
    difference = (difference + 2 * a + 1) % FILTER_PRODUCT
    a += 1
  }
  return false
}

/** @param remainder of the value, by FILTER_PRODUCT */
function mayBeSquare(remainder: number): boolean {
  for (const filter of filters) {
    if (filter.isSquare[remainder % filter.modulus] === 0) return false
  }
  return true
}

function squaresModulo(modulus: number): Uint8Array {
  const isSquareRemainder = new Uint8Array(modulus)
  for (let root = 0; root < modulus; root += 1) isSquareRemainder[(root * root) % modulus] = 1
  return isSquareRemainder
}

function isSquare(value: bigint): boolean {
  const root = squareRoot(value)
  return root * root === value
}

/** Bits of the first root, which a number gives exactly. */
const FIRST_BITS = 50

/**
 * Returns the integer square root, rounded down, by Newton's method. Each step doubles the bits of the root and looks
 * only at as many bits of the value, so that the steps before the last cost little. This is the `isqrt` of Python,
 * which has a proof of it.
 */
function squareRoot(value: bigint): bigint {
  const rootBits = (bitLength(value) - 1) >> 1
  const precisions = [rootBits]
  while ((precisions[0] ?? 0) > FIRST_BITS) precisions.unshift((precisions[0] ?? 0) >> 1)
  let [known = 0] = precisions
  let root = BigInt(Math.floor(Math.sqrt(Number(value >> BigInt(2 * (rootBits - known))))))
  for (const bits of precisions.slice(1)) {
    const part = value >> BigInt(2 * rootBits - known - bits + 1)
    root = (root << BigInt(bits - known - 1)) + part / root
    known = bits
  }
  return root * root > value ? root - 1n : root
}

function bitLength(value: bigint): number {
  const hex = value.toString(16)
  return hex.length * 4 - (Math.clz32(Number.parseInt(hex.charAt(0), 16)) - 28)
}

function oddPrimesBelow(limit: number): readonly number[] {
  const primes: number[] = []
  for (let candidate = 3; candidate < limit; candidate += 2) {
    if (primes.every((prime) => candidate % prime !== 0)) primes.push(candidate)
  }
  return primes
}

function groupPrimes(primes: readonly number[]): readonly PrimeGroup[] {
  const made: { primes: number[]; product: number }[] = []
  for (const prime of primes) {
    const last = made.at(-1)
    if (last !== undefined && last.product * prime < Number.MAX_SAFE_INTEGER) {
      last.primes.push(prime)
      last.product *= prime
    } else made.push({ primes: [prime], product: prime })
  }
  return made.map((group) => ({ primes: group.primes, product: BigInt(group.product) }))
}

function powersModulo(generator: number, prime: number): ReadonlySet<number> {
  const powers = new Set<number>()
  for (let power = 1; !powers.has(power); power = (power * (generator % prime)) % prime)
    powers.add(power)
  return powers
}
