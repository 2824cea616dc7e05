import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { regexpFromPcre } from '../../src/migration/pcre.ts'
import { durationMs, splitCommand } from '../../src/migration/values.ts'

test.for([
  { text: '500ms', ms: 500 },
  { text: '15m', ms: 900_000 },
  { text: '15min', ms: 900_000 },
  { text: '1h30m', ms: 5_400_000 },
  { text: '1.5h', ms: 5_400_000 },
  { text: '.5s', ms: 500 },
  { text: '2D', ms: 172_800_000 },
  { text: '1w1d1h1m1s1ms', ms: 694_861_001 },
  { text: '1f', ms: 1_209_600_000 },
  { text: '0.0001s', ms: 1 },
  { text: '0s', ms: 0 },
  { text: '30', ms: undefined },
  { text: '', ms: undefined },
  { text: '1 m', ms: undefined },
  { text: '1y', ms: undefined },
  { text: '-1s', ms: undefined },
  { text: '1.s', ms: undefined },
  { text: 'infinity', ms: undefined },
  { text: `${'9'.repeat(30)}w`, ms: undefined },
])('$text lasts $ms ms', ({ text, ms }) => {
  expect(durationMs(text)).toBe(ms)
})

describe('a command line as words', () => {
  test.for([
    { line: '/p/x.py', words: ['/p/x.py'] },
    { line: ' /p/x  a\tb ', words: ['/p/x', 'a', 'b'] },
    { line: `/p/x 'a b' "c d"`, words: ['/p/x', 'a b', 'c d'] },
    { line: `/p/x a' 'b"c"d`, words: ['/p/x', 'a bcd'] },
    { line: `/p/x '' ""`, words: ['/p/x', '', ''] },
    { line: '/p/x a\\ b \\$HOME', words: ['/p/x', 'a b', '$HOME'] },
    { line: `/p/x '$HOME | ~ *'`, words: ['/p/x', '$HOME | ~ *'] },
    { line: `/p/x "a|b;c*" "\\"" "\\x"`, words: ['/p/x', 'a|b;c*', '"', '\\x'] },
    { line: '/p/x --key=value a=b', words: ['/p/x', '--key=value', 'a=b'] },
    { line: 'python3 /p/x.py', words: ['python3', '/p/x.py'] },
  ])('$line', ({ line, words }) => {
    expect(splitCommand(line)).toEqual({ words })
  })

  test.for([
    { line: '/p/x | tee /log', why: 'a pipe' },
    { line: '/p/x $HOME', why: 'a variable' },
    { line: '/p/x "$HOME"', why: 'a variable' },
    { line: '/p/x "`id`"', why: 'a variable' },
    { line: '/p/x $(id)', why: 'a variable' },
    { line: 'cd /p; ./x', why: 'several commands' },
    { line: '/p/x && /p/y', why: 'several commands' },
    { line: '/p/x &', why: 'several commands' },
    { line: '/p/x 2>/dev/null', why: 'a redirection' },
    { line: '/p/x *.conf', why: 'a pattern' },
    { line: '/p/x a?', why: 'a pattern' },
    { line: '(/p/x)', why: 'brackets' },
    { line: '/p/x {a,b}', why: 'brackets' },
    { line: '~/x', why: 'a home directory' },
    { line: `/p/x 'a`, why: 'an unclosed quote' },
    { line: '/p/x "a', why: 'an unclosed quote' },
    { line: '/p/x \\', why: 'an unclosed quote' },
    { line: 'A=b /p/x', why: 'a variable set' },
    { line: '   ', why: 'no command' },
    { line: `''`, why: 'no command' },
  ])('$line needs a shell: $why', ({ line, why }) => {
    expect(splitCommand(line)).toEqual({ needsShell: expect.stringContaining(why) })
  })

  test('quoted words come back as they were', () => {
    const word = fc
      .string({ unit: 'grapheme-ascii', minLength: 1 })
      .filter((text) => !/^\w+=/.test(text))
    fc.assert(
      fc.property(fc.array(word, { minLength: 1 }), (words) => {
        const line = words.map((each) => `'${each.replaceAll("'", `'\\''`)}'`).join(' ')
        expect(splitCommand(line)).toEqual({ words })
      }),
    )
  })

  test('any line gives words or a reason', () => {
    fc.assert(
      fc.property(fc.string(), (line) => {
        const result = splitCommand(line)
        expect('words' in result ? result.words.length : result.needsShell.length).toBeGreaterThan(
          0,
        )
      }),
    )
  })
})

describe('regular expressions', () => {
  test.for([
    { pcre: '^a.*b$', source: '^a.*b$' },
    { pcre: '@example\\.org$', source: '@example\\.org$' },
    { pcre: '\\Aa\\z', source: '^a$' },
    { pcre: '\\Aa\\Z', source: '^a$' },
    { pcre: 'a\\-b\\@c\\_d\\/e', source: 'a\\x2db@c_d\\/e' },
    { pcre: '[a\\-z]', source: '[a\\x2dz]' },
    { pcre: 'a\\\\Ab', source: 'a\\\\Ab' },
    { pcre: '\\d+\\.\\w{2,3}', source: '\\d+\\.\\w{2,3}' },
  ])('$pcre', ({ pcre, source }) => {
    expect(regexpFromPcre(pcre)).toEqual({ source })
  })

  test.for([
    '(?i)cms',
    '(?x)a b',
    'a++',
    '(?>a)',
    '(?P<n>a)',
    '[[:alpha:]]+',
    '[]a]',
    '[]a[b]',
    '[^]a[b]',
    'a\\u0041',
    'a(?=b)',
    '(a)\\1',
    '(?i:cms)',
    '(.{1,1000}){1,1000}',
    '\\Qa.b\\E',
    '\\h',
    '\\v',
    '\\x{41}',
    'a{,3}',
    '(',
    'ü',
    '(?#no)a',
    'a'.repeat(513),
  ])('%s is not carried over', (pcre) => {
    expect(regexpFromPcre(pcre)).toEqual({ problem: expect.stringMatching(/\w{3}/) })
  })
})
