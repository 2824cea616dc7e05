/** Random choices that can be made again: the same seed gives the same inputs. */

export interface Random {
  /** From 0 up to, and without, `below`. */
  integer(below: number): number
  pick<Item>(items: readonly Item[]): Item
  bytes(length: number): Buffer
  /** Printable and other characters, quotes, controls and letters of several scripts among them. */
  text(maxLength: number): string
  chance(probability: number): boolean
}

const ALPHABET =
  'abcXYZ019 \t\r\n\0"\'\\/<>&%?#;:,.=+-_*~^`|@![](){}$éßøЖ漢字\u202e\ufeff\ud83d\ude00'

/** mulberry32: small and even enough for choices; nothing here is a secret. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const integer = (below: number): number => Math.floor(next() * below)
  return {
    integer,
    pick: (items) => items[integer(items.length)] as (typeof items)[number],
    bytes: (length) => Buffer.from(Array.from({ length }, () => integer(256))),
    text: (maxLength) =>
      Array.from({ length: integer(maxLength + 1) }, () => ALPHABET[integer(ALPHABET.length)]).join(
        '',
      ),
    chance: (probability) => next() < probability,
  }
}
