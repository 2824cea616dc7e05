import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compileRegexp, matchesRegexp, regexpProblem } from '../../src/regexp/linear-regexp.ts'

/** What each construct of the table means to JavaScript is asked of JavaScript itself, on these. */
const texts = [
  '',
  'a',
  'A',
  'b',
  'ab',
  'aa',
  'aaa',
  'a\n',
  '\na',
  'a\r',
  'a\u2028',
  'a b',
  'a-b',
  'a/b',
  'a.b',
  'éa',
  'aé',
  'É',
  'ſ',
  'K',
  '\u00a0',
  '\ufeff',
  '\u000b',
  '\b',
  '\0',
  '٣',
  '3',
  '_',
  '😀',
  '😀a',
  '\ud83d',
  '\ude00',
  'é',
  'σς',
  '中文',
  '[]',
  '^$',
  '\\',
  '}',
  '-',
]

const supported = String.raw`
  a ^a a$ ^a$ ^$ $^ a|b | ^(?:|a)$ a. ^.$ ^..$ ^.*$ a* a+? ^a??$ ^a{2}$ ^a{02}$ ^a{0}$ ^a{2,}$
  ^a{1,2}?$ (?:a*)*$ (a+)+$ (?<n>a) (?<n>a)b|(?<m>b) () (a)(b) (?:^)a (?:$) (?:\b)*a [] [^] a[^] [^a]
  ^[^a]$ [a-] [-a] [a\-z] [\]] [\^] [[] [\\] [\b] [a-c] [\d_] [^\w] [\W\w] [^\W\w] [\s\S] [^\s] [.]
  [$^] [(?:|)] [\D-] \d \D \w \W \s \S ^\s$ ^\w$ ^\W$ \ba a\b \bé \p{L} \P{L} \p{Lu} \p{Script=Greek}
  [\p{L}\d] [^\p{L}] \p{ASCII} \p{Nd} \/ \. \$ \^ \\ \[ \] \{ \} \| \( \) \? \* \+ \n \r \t \v \f \0
  \cJ \cj \x61 \u0061 \u{61} \u{1F600} \ud83d\ude00 😀 ^😀$ [😀] [\ud83d\ude00] [^😀] [a-😀] 中 é ^σ \u00e9
`
  .trim()
  .split(/\s+/)

describe('what is supported means what it means to JavaScript', () => {
  test.for(supported)('%s', (source) => {
    const compiled = compileRegexp(source)
    if ('problem' in compiled) throw new Error(compiled.problem)
    const theirs = new RegExp(source, 'u')
    for (const text of texts)
      expect([text, compiled.matches(text)]).toEqual([text, theirs.test(text)])
  })
})

const characters = 'abAé😀 \n_-1'
const atom = fc.oneof(
  fc.constantFrom(...characters),
  fc.constantFrom(
    '.',
    '\\d',
    '\\D',
    '\\w',
    '\\W',
    '\\s',
    '\\S',
    '\\b',
    '^',
    '$',
    '\\p{L}',
    '\\P{Lu}',
  ),
  fc.constantFrom(
    '\\n',
    '\\x61',
    '\\u0062',
    '\\u{e9}',
    '\\ud83d\\ude00',
    '\\/',
    '\\.',
    '[]',
    '[^]',
  ),
  fc
    .tuple(
      fc.boolean(),
      fc.array(
        fc.constantFrom(
          'a',
          'b-z',
          'A-Z',
          '\\d',
          '\\W',
          '\\s',
          '\\p{L}',
          '\\-',
          'é-ü',
          '😀',
          '\\n',
          '\\]',
          '\\b',
          '^',
        ),
        { minLength: 1, maxLength: 4 },
      ),
    )
    .map(([negated, members]) => `[${negated ? '^' : '\\0'}${members.join('')}]`),
)
const assertion = /^(?:\^|\$|\\b)$/
const quantifier = fc.constantFrom(
  '',
  '',
  '',
  '*',
  '+',
  '?',
  '*?',
  '+?',
  '??',
  '{2}',
  '{0,2}',
  '{1,}',
  '{2,3}?',
)

const { expression } = fc.letrec<{ expression: string; term: string; group: string }>((tie) => ({
  group: fc
    .tuple(fc.constantFrom('(', '(?:'), tie('expression'))
    .map(([opening, inside]) => `${opening}${inside})`),
  term: fc
    .tuple(fc.oneof({ maxDepth: 2, withCrossShrink: true }, atom, tie('group')), quantifier)
    .map(([one, count]) => (assertion.test(one) ? one : one + count)),
  expression: fc
    .array(fc.array(tie('term'), { maxLength: 3 }), { minLength: 1, maxLength: 2 })
    .map((alternatives) => alternatives.map((terms) => terms.join('')).join('|')),
}))

const text = fc.oneof(
  fc.array(fc.constantFrom(...characters), { maxLength: 5 }).map((all) => all.join('')),
  fc.string({ unit: 'binary', maxLength: 4 }),
  fc
    .array(fc.constantFrom('a', '\ud83d', '\ude00', '\r', '\u2028'), { maxLength: 4 })
    .map((all) => all.join('')),
)

test('any expression of these constructs matches what it matches in JavaScript', () => {
  fc.assert(
    fc.property(expression, fc.array(text, { minLength: 1, maxLength: 6 }), (source, values) => {
      fc.pre(source.length <= 512)
      const compiled = compileRegexp(source)
      if ('problem' in compiled) throw new Error(compiled.problem)
      const theirs = new RegExp(source, 'u')
      for (const value of values) expect(compiled.matches(value)).toBe(theirs.test(value))
    }),
    { numRuns: Number(process.env['TTS_REGEXP_RUNS'] ?? 3_000) },
  )
})

test('any source is compiled, or refused with a reason; never is anything else thrown', () => {
  const syntax = fc.constantFrom(
    ...'()[]{}\\^$.|?*+-:<>=!,0129abdkpPuxsSwW😀',
    '(?',
    '\\p{L}',
    '{1,2}',
    '(?<',
    '[^',
  )
  const source = fc.array(syntax, { maxLength: 12 }).map((all) => all.join(''))
  fc.assert(
    fc.property(fc.oneof(source, fc.string({ unit: 'binary' })), text, (written, value) => {
      const compiled = compileRegexp(written)
      if ('problem' in compiled) expect(compiled.problem).toMatch(/\w{3}/)
      else expect(compiled.matches(value)).toBe(new RegExp(written, 'u').test(value))
    }),
    { numRuns: Number(process.env['TTS_REGEXP_RUNS'] ?? 3_000) },
  )
})

describe('refused, with what to do instead', () => {
  test.for([
    ['(?=a)b', 'the lookahead (?=…) is not supported; split the condition'],
    ['(?!a)b', 'the lookahead (?!…) is not supported; split the condition'],
    ['(?<=a)b', 'the lookbehind (?<=…) is not supported; split the condition'],
    ['(?<!a)b', 'the lookbehind (?<!…) is not supported; split the condition'],
    ['(a)\\1', 'the backreference \\1 is not supported; write out'],
    ['(?<n>a)\\k<n>', 'the backreference \\k is not supported; write out'],
    ['(?i:a)', 'the flags in (?i:…) are not supported; write what they mean'],
    ['(?-i:a)', 'the flags in (?-i:…) are not supported; write what they mean'],
    ['(?s-i:a)', 'the flags in (?s-i:…) are not supported; write what they mean'],
    ['\\Ba', '\\B is not supported; write'],
    ['\\ud83d', 'half of a surrogate pair is not supported; write the whole character'],
    ['[\\ud83d]', 'half of a surrogate pair is not supported'],
    ['[a-\\udc00]', 'half of a surrogate pair is not supported'],
    ['(', 'flag u: Unterminated group'],
    ['(?i)a', 'flag u: Invalid group'],
    ['(?P<n>a)', 'flag u: Invalid group'],
    ['a++', 'flag u: Nothing to repeat'],
    ['a{,3}', 'flag u: '],
    ['\\Z', 'flag u: Invalid escape'],
    ['\\-', 'flag u: Invalid escape'],
    ['[z-a]', 'flag u: Range out of order'],
    ['[[:alpha:]]{', 'flag u: '],
    ['/u: (', 'flag u: Unterminated group'],
    ['a\n(', 'flag u: Unterminated group'],
    [
      '(.{1,1000}){1,1000}',
      'is too large once its repetitions are written out; use smaller counts',
    ],
    ['((a{1,30}){1,30}){1,30}', 'is too large'],
    ['a{1001}', 'is too large'],
    ['a{99999999999}', 'is too large'],
    ['(?:aaaa){400}', 'is too large'],
    [`${'('.repeat(250)}a${')'.repeat(250)}`, undefined],
    ['a'.repeat(512), undefined],
    ['a'.repeat(513), 'must have at most 512 characters; split it'],
  ] as const)('%s', ([source, problem]) => {
    const compiled = compileRegexp(source)
    if (problem === undefined) expect(compiled).toHaveProperty('matches')
    else expect(compiled).toEqual({ problem: expect.stringContaining(problem) })
    expect(regexpProblem(source)).toEqual('problem' in compiled ? compiled.problem : undefined)
  })
})

test.for(['(a+)+$', '^(a|a)*$', '^(([a-z])+.)+[A-Z]([a-z])+$', '(a|aa)+$', '^(a?){100}a{100}$'])(
  '%s, for ever in an engine that backtracks, is decided at full length',
  (source) => {
    expect(matchesRegexp(source, `${'a'.repeat(1023)}!`)).toBe(false)
    expect(matchesRegexp('a$', 'a'.repeat(1024))).toBe(true)
  },
)

test('a value that is too long, or an expression that does not compile, is no match but an error', () => {
  expect(() => matchesRegexp('a', 'a'.repeat(1025))).toThrow('too long for a regexp')
  expect(() => matchesRegexp('(?=a)', 'a')).toThrow('the lookahead (?=…) is not supported')
})
