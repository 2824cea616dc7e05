import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { policyPermits, readSigningPolicy } from '../../ca/signing-policy.ts'
import { canlPermits } from '../../ca/signing-policy-canl.ts'

const ca = '/DC=org/CN=CA'
const policy = (subjects: string, authority = `'${ca}'`, rights = 'CA:sign'): string =>
  `access_id_CA X509 ${authority}\npos_rights globus ${rights}\ncond_subjects globus ${subjects}\n`
const good = policy(`'"/DC=org/*"'`)

/** What Globus and caNl say of one name; `whole` is false where Globus refuses the whole file. */
const cases = [
  { text: good, subject: '/DC=org/CN=a', globus: true, canl: true },
  { text: good, subject: '/dc=ORG/cn=A', globus: true, canl: true },
  { text: good, subject: '/DC=com/CN=a', globus: false, canl: false },
  { text: good.replaceAll('\n', '\r\n'), subject: '/DC=org/CN=a', globus: true, canl: true },
  { text: `# one\n\n${good}`, subject: '/DC=org/CN=a', globus: true, canl: true },
  // Globus takes a comment anywhere, caNl only as a line.
  {
    text: good.replace('sign\n', 'sign # why\n'),
    subject: '/DC=org/CN=a',
    globus: true,
    canl: undefined,
  },
  { text: policy(`'"/CN=x" "/DC=org/*"'`), subject: '/DC=org/CN=a', globus: true, canl: true },
  { text: policy(`"/DC=org/*"`), subject: '/DC=org/CN=a', globus: true, canl: true },
  { text: policy(`/DC=org/*`), subject: '/DC=org/CN=a', globus: true, canl: true },
  // In Globus a question mark is one, and a star inside matches nothing.
  { text: policy(`'"/DC=or?/*"'`), subject: '/DC=org/CN=a', globus: false, canl: true },
  { text: policy(`'"/DC=*/CN=a"'`), subject: '/DC=org/CN=a', globus: false, canl: true },
  { text: policy(`'"*"'`, `"${ca}"`), subject: '/CN=a', globus: false, canl: undefined },
  { text: policy(`'"*"'`, `'${ca}'`, 'CA:none'), subject: '/CN=a', globus: false, canl: undefined },
  { text: policy(`'"*"'`, `'/CN=other'`), subject: '/CN=a', globus: false, canl: undefined },
  // A backslash in quotes is dropped by both; two become one for Globus.
  { text: policy(`'"/DC=org/CN=a\\\\/b"'`), subject: '/DC=org/CN=a\\/b', globus: true, canl: true },
  { text: policy(`'"/DC=org/CN=a\\/b"'`), subject: '/DC=org/CN=a\\/b', globus: false, canl: true },
  { text: '', subject: '/DC=org/CN=a', globus: false, canl: undefined },
]

describe('a signing_policy', () => {
  test.for(cases)('$text $subject: $globus, $canl', ({ text, subject, globus, canl }) => {
    const read = readSigningPolicy(text)
    expect(policyPermits(read, ca, subject)).toBe(globus)
    expect(canlPermits(read, ca, subject)).toBe(canl)
    expect(read.unexpected).toBeUndefined()
  })

  test.for([
    { text: `${good}foo bar baz\n`, unexpected: { word: 'foo', line: 4 } },
    {
      text: `\u00ef\u00bb\u00bf${good}`,
      unexpected: { word: '\u00ef\u00bb\u00bfaccess_id_CA', line: 1 },
    },
    { text: `\n\nword\n${good}`, unexpected: { word: 'word', line: 3 } },
    { text: policy(`'"*"'`, "'/CN=O'Neill'"), unexpected: { word: "Neill'", line: 1 } },
  ])('the unexpected word of $text', ({ text, unexpected }) => {
    expect(readSigningPolicy(text).unexpected).toEqual(unexpected)
  })

  test('several patterns in double quotes are named as such', () => {
    const { blocks, unexpected } = readSigningPolicy(policy(`"/CN=x" "/DC=org/*"`))
    expect(blocks).toMatchObject([{ subjects: undefined }])
    expect(unexpected).toBeUndefined()
  })

  test('never throws and ends soon, whatever the text', () => {
    const piece = fc.constantFrom(
      'access_id_CA ',
      'X509 ',
      "'",
      '"',
      '\\',
      '#',
      '\n',
      'pos_rights globus CA:sign',
      'cond_subjects globus ',
      '*',
      '?',
      '/CN=a',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), fc.string(), (pieces, subject) => {
        const read = readSigningPolicy(pieces.join(''))
        expect([true, false]).toContain(policyPermits(read, '/CN=a', subject))
        expect([true, false, undefined]).toContain(canlPermits(read, '/CN=a', subject))
      }),
    )
    const many = readSigningPolicy(policy(`'"${'*a'.repeat(10_000)}"'`))
    expect(canlPermits(many, ca, 'a'.repeat(3000))).toBe(false)
  })

  const permits = (pattern: string, subject: string): boolean | undefined =>
    canlPermits(readSigningPolicy(policy(`'"${pattern}"'`)), ca, subject)

  test('stars and question marks match as by the definition, character by character', () => {
    const character = fc.constantFrom('a', 'b', 'é', '\u{1f600}')
    const wildcards = fc.oneof(character, fc.constantFrom('*', '*', '?'))
    const textOf = (units: fc.Arbitrary<string>) => fc.array(units, { maxLength: 9 })
    fc.assert(
      fc.property(textOf(wildcards), textOf(character), (pattern, subject) => {
        expect(permits(pattern.join(''), subject.join(''))).toBe(matchesNaively(pattern, subject))
      }),
      { numRuns: 2000 },
    )
  })

  test.for([
    ['*a', 'a'],
    ['a*', 'a'],
    ['*?a', 'a'],
    ['?', 'a'],
    ['*aab', 'a'],
  ] as const)('%s repeated ends soon', ([pattern, subject]) => {
    const before = performance.now()
    permits(`${pattern.repeat(6000)}*b`, subject.repeat(32_000))
    expect(performance.now() - before).toBeLessThan(1000)
  })
})

/** What a pattern means, in time exponential in its stars. */
function matchesNaively([first, ...rest]: readonly string[], text: readonly string[]): boolean {
  if (first === undefined) return text.length === 0
  if (first === '*')
    return (
      matchesNaively(rest, text) ||
      (text.length > 0 && matchesNaively([first, ...rest], text.slice(1)))
    )
  return (
    (first === '?' ? text.length > 0 : first === text[0]) && matchesNaively(rest, text.slice(1))
  )
}
