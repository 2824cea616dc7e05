import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatKey, parseConf } from '../../src/migration/conf-lines.ts'

const only = (line: string) => parseConf(line).settings[0]

describe('settings', () => {
  test.for([
    { line: 'a = b', words: ['a'], value: 'b' },
    { line: '\t a.b-c_1.D\t=\tx  y \t', words: ['a', 'b-c_1', 'D'], value: 'x  y' },
    { line: 'a=b=c', words: ['a'], value: 'b=c' },
    { line: 'a = b   # said so', words: ['a'], value: 'b' },
    { line: 'a.wlcg\\.groups.b = x', words: ['a', 'wlcg.groups', 'b'], value: 'x' },
    { line: 'a = "quoted"', words: ['a'], value: '"quoted"' },
    { line: '\uFEFFa = b', words: ['a'], value: 'b' },
    { line: 'a = b\r', words: ['a'], value: 'b\r'.trim() },
    { line: '__proto__.constructor = b', words: ['__proto__', 'constructor'], value: 'b' },
  ])('$line', ({ line, words, value }) => {
    expect(parseConf(`${line}\n`)).toEqual({
      settings: [{ line: 1, key: formatKey(words), words, value, cut: false }],
      problems: [],
    })
  })

  test('a # ends a value wherever it stands, and without a blank before it that is noted', () => {
    expect(only('a = pass#word')).toMatchObject({ value: 'pass', cut: true })
    expect(only('a = pass #word')).toMatchObject({ value: 'pass', cut: false })
  })

  test('lines are counted, blank ones and comments too', () => {
    const { settings, problems } = parseConf('# a\n\n  \na = 1\r\n\t# x = y\nbad\nb = 2')
    expect(settings.map(({ line, key }) => [line, key])).toEqual([
      [4, 'a'],
      [7, 'b'],
    ])
    expect(problems.map(({ line }) => line)).toEqual([6])
  })
})

test.for([
  { line: 'no sign', says: 'no =' },
  { line: 'include other.conf', says: 'include is not supported' },
  { line: 'a =', says: 'a has no value' },
  { line: 'a = # b', says: 'a has no value' },
  { line: '= b', says: 'the key' },
  { line: 'a..b = c', says: 'the key' },
  { line: '.a = c', says: 'the key' },
  { line: 'a b = c', says: 'the key' },
  { line: 'ä = c', says: 'the key' },
  { line: 'a\\b = c', says: 'the key' },
  { line: 'a = $(<secret)', says: 'refers to a file' },
  { line: 'a = b\u001b[2J', says: 'control' },
  { line: 'a = b\u2028c', says: 'control' },
])('$line is a problem', ({ line, says }) => {
  const { settings, problems } = parseConf(line)
  expect(settings).toEqual([])
  expect(problems).toEqual([{ line: 1, problem: expect.stringContaining(says), content: line }])
})

describe('any file', () => {
  const word = fc.stringMatching(/^[A-Za-z0-9_.-]{1,12}$/)
  const words = fc.array(word, { minLength: 1, maxLength: 6 })
  const value = fc
    .stringMatching(/^[\x21\x22\x24-\x7e](?:[\x20-\x22\x24-\x7e]{0,30}[\x21\x22\x24-\x7e])?$/)
    .filter((text) => !text.startsWith('$(<'))
  const blanks = fc.stringMatching(/^[ \t]{0,3}$/)

  test('what is written is read again', () => {
    const line = fc.tuple(words, value, blanks, fc.constantFrom('', ' # why', '\t#'))
    fc.assert(
      fc.property(fc.array(line), fc.constantFrom('\n', '\r\n'), (lines, end) => {
        const text = lines
          .map(
            ([key, value, blank, note]) =>
              `${blank}${formatKey(key)}${blank}=${blank}${value}${blank}${note}`,
          )
          .join(end)
        expect(parseConf(text)).toEqual({
          problems: [],
          settings: lines.map(([key, value], index) => ({
            line: index + 1,
            key: formatKey(key),
            words: key,
            value,
            cut: false,
          })),
        })
      }),
    )
  })

  test('no text makes it throw, and every line that says something is answered', () => {
    const unit = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('=', '#', '\n', '\\.', '.', 'a', ' '),
    )
    fc.assert(
      fc.property(
        fc.array(unit).map((parts) => parts.join('')),
        (text) => {
          const { settings, problems } = parseConf(text)
          const answered = new Set([...settings, ...problems].map(({ line }) => line))
          const silent = text
            .replace(/^\uFEFF/, '')
            .split(/\r?\n/)
            .filter((_, index) => !answered.has(index + 1))
          for (const line of silent) expect(line.replace(/^[ \t]*/, '')).toMatch(/^(#|$)/)
          for (const { value } of settings) expect(value).not.toMatch(/[\n\r#\0]/)
        },
      ),
    )
  })

  test('a long one costs no more than its length', () => {
    const long = 500_000
    parseConf(
      `a = ${' '.repeat(long)}b${' '.repeat(long)}\n${'a.'.repeat(long)} = b\n${'='.repeat(long)}`,
    )
    parseConf(`${' \t'.repeat(long)}x\na = ${'# '.repeat(long)}`)
    // Work that grows with the square of this would take minutes.
    parseConf(`a = x${' '.repeat(long)}b`)
  })
})
