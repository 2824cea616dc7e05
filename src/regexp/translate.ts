/**
 * Translates JavaScript's regular expressions to RE2's syntax. The two differ in `$`, `.`, `\s`, `\p` and in the
 * meaning of unknown escapes. The result uses only the part of RE2's syntax that has the same meaning: code points,
 * sets of code points, non-capturing groups, `|`, quantifiers, `\A`, `\z`, `\b`.
 */
import {
  classPattern,
  codePoint,
  codePointsOfProperty,
  complementOf,
  digits,
  lineTerminators,
  type Range,
  whiteSpace,
  wordCharacters,
} from './code-points.ts'

/** The expression in RE2's syntax, or why it cannot be matched in linear time and what to write instead. */
export type Translation = { readonly pattern: string } | { readonly problem: string }

/** One element, and the index in the source that follows it. */
type Element = { readonly pattern: string; readonly end: number } | { readonly problem: string }

/** @param source - must be accepted by `new RegExp(source, 'u')`: its syntax is not checked again */
export function translateRegexp(source: string): Translation {
  const parts: string[] = []
  let index = 0
  while (index < source.length) {
    const element = elementAt(source, index)
    if ('problem' in element) return element
    parts.push(element.pattern)
    index = element.end
  }
  return { pattern: parts.join('') }
}

function elementAt(source: string, index: number): Element {
  switch (source[index]) {
    case '^':
      return { pattern: '\\A', end: index + 1 }
    case '$':
      return { pattern: '\\z', end: index + 1 }
    case '.':
      return { pattern: classPattern(complementOf(lineTerminators)), end: index + 1 }
    case '|':
    case ')':
      return { pattern: source.charAt(index), end: index + 1 }
    case '*':
    case '+':
    case '?':
    case '{':
      return quantifierAt(source, index)
    case '(':
      return groupAt(source, index)
    case '[':
      return classAt(source, index)
    case '\\':
      return escapeAt(source, index)
    default:
      return literal(characterAt(source, index))
  }
}

function quantifierAt(source: string, index: number): Element {
  const [whole, min = '', comma, max = ''] = matchAt(
    /[*+?]\??|\{(\d+)(,?)(\d*)\}\??/y,
    source,
    index,
  )
  const end = index + whole.length
  // Whether it is greedy does not matter, because only the existence of a match counts.
  if (comma === undefined) return { pattern: whole.charAt(0), end }
  return { pattern: `{${number(min)}${comma}${number(max)}}`, end }
}

/** Removes leading zeros, which RE2 does not accept. */
const number = (decimal: string): string => decimal.replace(/^0+(?=\d)/, '')

const lookaround: Readonly<Record<string, string>> = {
  '(?=': 'the lookahead (?=…)',
  '(?!': 'the lookahead (?!…)',
  '(?<=': 'the lookbehind (?<=…)',
  '(?<!': 'the lookbehind (?<!…)',
}

function groupAt(source: string, index: number): Element {
  const [opening] = matchAt(/\((?:\?(?:<[=!]|<[^>]*>|[=!]|[^:)]*:))?/y, source, index)
  const look = lookaround[opening]
  if (look !== undefined) {
    return {
      problem: `${look} is not supported; split the condition: another claim or rule, or a forbid rule for what must not match`,
    }
  }
  if (/^\(\?[^:<]/.test(opening)) {
    return {
      problem: `the flags in ${opening}…) are not supported; write what they mean, for example [Aa] for either case`,
    }
  }
  return { pattern: '(?:', end: index + opening.length }
}

function escapeAt(source: string, index: number): Element {
  const letter = source.charAt(index + 1)
  if (letter === 'b') return { pattern: '\\b', end: index + 2 }
  // V8 matches \B between the two halves of a character beyond U+FFFF, against the standard, so \B has no reliable
  // meaning.
  if (letter === 'B') {
    return {
      problem: '\\B is not supported; write the characters that may be adjacent, such as \\w',
    }
  }
  if (/[1-9k]/.test(letter)) {
    return {
      problem: `the backreference \\${letter} is not supported; write out what the group matches`,
    }
  }
  const set = setAt(source, index)
  if (set !== undefined) return { pattern: classPattern(set.ranges), end: set.end }
  return literal(characterAt(source, index))
}

function literal({ value, end }: Character): Element {
  return isSurrogate(value) ? halfCharacter : { pattern: codePoint(value), end }
}

/** RE2 matches halves inside a surrogate pair; JavaScript does not. */
const isSurrogate = (value: number): boolean => value >= 0xd8_00 && value <= 0xdf_ff

const halfCharacter = {
  problem: 'half of a surrogate pair is not supported; write the whole character, or \\u{…}',
}

interface SetAt {
  readonly ranges: readonly Range[]
  readonly end: number
}

const sets: Readonly<Record<string, readonly Range[]>> = {
  d: digits,
  D: complementOf(digits),
  s: whiteSpace,
  S: complementOf(whiteSpace),
  w: wordCharacters,
  W: complementOf(wordCharacters),
}

/** Reads `\d`, `\p{…}` and the like; undefined for anything else. */
function setAt(source: string, index: number): SetAt | undefined {
  if (source[index] !== '\\') return undefined
  const letter = source.charAt(index + 1)
  if (letter === 'p' || letter === 'P') {
    const [escape] = matchAt(/\\[pP]\{[^}]*\}/y, source, index)
    return { ranges: codePointsOfProperty(escape), end: index + escape.length }
  }
  const ranges = sets[letter]
  return ranges && { ranges, end: index + 2 }
}

function classAt(source: string, index: number): Element {
  const negated = source[index + 1] === '^'
  const ranges: Range[] = []
  let at = index + (negated ? 2 : 1)
  while (source[at] !== ']') {
    const member = setAt(source, at) ?? rangeAt(source, at)
    ranges.push(...member.ranges)
    at = member.end
  }
  if (ranges.flat().some(isSurrogate)) return halfCharacter
  return { pattern: classPattern(negated ? complementOf(ranges) : ranges), end: at + 1 }
}

/** Reads `a-z` or one character. A hyphen before the closing bracket is a character. */
function rangeAt(source: string, index: number): SetAt {
  const first = characterAt(source, index)
  if (source[first.end] !== '-' || source[first.end + 1] === ']') {
    return { ranges: [[first.value, first.value]], end: first.end }
  }
  const last = characterAt(source, first.end + 1)
  return { ranges: [[first.value, last.value]], end: last.end }
}

interface Character {
  readonly value: number
  readonly end: number
}

const controls: Readonly<Record<string, number>> = {
  '0': 0,
  b: 0x08,
  t: 0x09,
  n: 0x0a,
  v: 0x0b,
  f: 0x0c,
  r: 0x0d,
}

/** Reads one character, plain or as an escape. */
function characterAt(source: string, index: number): Character {
  if (source[index] !== '\\') return plainCharacterAt(source, index)
  const letter = source.charAt(index + 1)
  const control = controls[letter]
  if (control !== undefined) return { value: control, end: index + 2 }
  if (letter === 'c') return { value: source.charCodeAt(index + 2) % 32, end: index + 3 }
  if (letter === 'x' || letter === 'u') return hexadecimalAt(source, index)
  return plainCharacterAt(source, index + 1)
}

function plainCharacterAt(source: string, index: number): Character {
  const value = source.codePointAt(index) ?? 0
  return { value, end: index + String.fromCodePoint(value).length }
}

/** `\x41`, `\u0041`, `\u{41}`, and `\ud83d\ude00`, which is one character. */
function hexadecimalAt(source: string, index: number): Character {
  const pair = /\\u(d[89ab][\da-f]{2})\\u(d[c-f][\da-f]{2})/iy
  const one = /\\(?:x([\da-f]{2})|u([\da-f]{4})|u\{([\da-f]+)\})/iy
  pair.lastIndex = index
  const [whole, ...numbers] = pair.exec(source) ?? matchAt(one, source, index)
  const units = numbers
    .filter((digits) => digits !== undefined)
    .map((digits) => parseInt(digits, 16))
  const value = units.length === 2 ? String.fromCharCode(...units).codePointAt(0) : units.at(0)
  return { value: value ?? 0, end: index + whole.length }
}

/** Matches a sticky expression at the index. It must match, because the syntax was checked before. */
function matchAt(sticky: RegExp, source: string, index: number): RegExpExecArray {
  sticky.lastIndex = index
  const match = sticky.exec(source)
  if (match === null) throw new Error(`the regular expression ends unexpectedly at ${index}`)
  return match
}
