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

interface PrimeGroup {
  readonly primes: readonly number[]
  /** Below 2^53, so that one long division gives the remainders by all primes of the group. */
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
    const remainder = Number(modulus % product)
    for (const prime of primes) {
      if (remainder % prime === 0) return 'small_factor'
      if (couldBeRoca && rocaRemainders.get(prime)?.has(remainder % prime) === false)
        couldBeRoca = false
    }
  }
  if (couldBeRoca) return 'roca'
  return hasClosePrimes(modulus) ? 'close_primes' : undefined
}

/** Fermat's method: if n = a^2 - b^2 for an a that is little over the root of n, then n = (a - b)(a + b). */
function hasClosePrimes(modulus: bigint): boolean {
  let a = squareRoot(modulus)
  if (a * a < modulus) a += 1n
  let difference = a * a - modulus
  for (let round = 0; round < FERMAT_ROUNDS; round += 1) {
    if (isSquare(difference)) return true
    difference += 2n * a + 1n
    a += 1n
  }
  return false
}

/** Squares end in one of 44 of the 256 possible low octets. */
const squareOctets = new Set(Array.from({ length: 256 }, (_none, index) => (index * index) & 255))
/** 3 * 5 * 7 * 11 * 13: most numbers that are not squares are not squares modulo this either. */
const FILTER_MODULUS = 15_015
const filterSquares = new Set(
  Array.from({ length: FILTER_MODULUS }, (_none, index) => (index * index) % FILTER_MODULUS),
)

function isSquare(value: bigint): boolean {
  if (!squareOctets.has(Number(value & 255n))) return false
  if (!filterSquares.has(Number(value % BigInt(FILTER_MODULUS)))) return false
  const root = squareRoot(value)
  return root * root === value
}

/** Returns the integer square root, rounded down, by Newton's method. */
function squareRoot(value: bigint): bigint {
  if (value === 0n) return 0n
  let root = 1n << BigInt(value.toString(16).length * 2)
  for (;;) {
    const next = (root + value / root) >> 1n
    if (next >= root) return root
    root = next
  }
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
