import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { namespacesPermit, readNamespaces } from '../../ca/namespaces.ts'

const ca = '/DC=org/DC=example/CN=CA'
const file = (...patterns: readonly string[]): string =>
  patterns.map((pattern) => `TO Issuer "${ca}" \\\n  PERMIT Subject "${pattern}"\n`).join('\n')

describe('namespacesPermit', () => {
  test.for([
    {
      text: file('/DC=org/DC=example/.*'),
      subject: '/DC=org/DC=example/CN=Jane',
      verdict: 'permitted',
    },
    {
      text: file('/DC=org/DC=example/.*'),
      subject: '/DC=org/DC=other/CN=Jane',
      verdict: 'forbidden',
    },
    {
      text: file('/dc=ORG/DC=example/.*'),
      subject: '/DC=org/DC=example/CN=Jane',
      verdict: 'permitted',
    },
    { text: file('/DC=org/CN=a\\.b'), subject: '/DC=org/CN=a.b', verdict: 'permitted' },
    { text: file('/DC=org/CN=a\\.b'), subject: '/DC=org/CN=a.bc', verdict: 'forbidden' },
    { text: file('/CN=x', '/DC=org/.*'), subject: '/DC=org/CN=a', verdict: 'permitted' },
    { text: `# a note\n\n${file('/DC=org/.*')}`, subject: '/DC=org/CN=a', verdict: 'permitted' },
    {
      text: file('/DC=org/.*').replaceAll('\n', '\r\n'),
      subject: '/DC=org/CN=a',
      verdict: 'permitted',
    },
    {
      text: `${file('/DC=org/.*')}TO Issuer "${ca}" DENY Subject "/DC=org/CN=a.*"\n`,
      subject: '/DC=org/CN=ab',
      verdict: 'forbidden',
    },
    // Regular expressions of Java, as far as RE2 knows them.
    { text: file('/DC=org/CN=(a|b)'), subject: '/DC=org/CN=c', verdict: 'forbidden' },
    { text: file('/DC=org/CN=(a|b)'), subject: '/DC=org/CN=b', verdict: 'permitted' },
    { text: file('/DC=org/CN=[A-Z]+'), subject: '/DC=org/CN=c', verdict: 'permitted' },
    { text: file('/DC=org/CN=[a-z]+'), subject: '/DC=org/CN=c1', verdict: 'forbidden' },
    { text: file('/CN=x(?=y).*'), subject: '/CN=xy', verdict: 'unknown' },
    { text: file('/CN=[a-z&&[^b]]'), subject: '/CN=a', verdict: 'unknown' },
    { text: file('/CN=(a{1000}){1000}'), subject: '/CN=a', verdict: 'unknown' },
    { text: file(`/CN=${'a{1000}'.repeat(4)}`), subject: '/CN=a', verdict: 'forbidden' },
    { text: file(`/CN=${'a{2}'.repeat(5)}`), subject: '/CN=aaaaaaaaaa', verdict: 'unknown' },
    { text: file(`/CN=${'a'.repeat(1020)}`), subject: '/CN=a', verdict: 'forbidden' },
    { text: file(`/CN=${'a'.repeat(1021)}`), subject: '/CN=a', verdict: 'unknown' },
    { text: file('/CN=(?=x).*', '/CN=.*'), subject: '/CN=x', verdict: 'unknown' },
    {
      text: `${file('/CN=(?=x).*')}TO Issuer "${ca}" DENY Subject "/CN=x"\n`,
      subject: '/CN=x',
      verdict: 'forbidden',
    },
    // SELF is the CA of the file's name.
    { text: file('.*').replace(`"${ca}"`, 'SELF'), subject: '/CN=x', verdict: 'permitted' },
    { text: file('/CN=y').replace(`"${ca}"`, 'self'), subject: '/CN=x', verdict: 'forbidden' },
    // caNl ignores a file with an error, and reads no tabs.
    { text: '# nothing\n', subject: '/DC=org/CN=c', verdict: undefined },
    { text: 'nonsense', subject: '/DC=org/CN=c', verdict: undefined },
    { text: `${file('.*')}nonsense\n`, subject: '/CN=x', verdict: undefined },
    { text: file('.*').replace('TO ', 'TO\t'), subject: '/CN=x', verdict: undefined },
    { text: `#NAMESPACES-VERSION: 1.0\n${file('.*')}`, subject: '/CN=x', verdict: 'permitted' },
    { text: `#NAMESPACES-VERSION: 2.0\n${file('.*')}`, subject: '/CN=x', verdict: undefined },
    { text: file('.*').replace('\n\n', ' # why\n'), subject: '/CN=x', verdict: 'permitted' },
    { text: file('.*').replace(ca, '/CN=other'), subject: '/CN=x', verdict: undefined },
  ])('$text $subject: $verdict', ({ text, subject, verdict }) => {
    expect(namespacesPermit(readNamespaces(text), ca, subject)).toBe(verdict)
  })

  test('never throws, whatever the text', () => {
    const piece = fc.constantFrom(
      'TO Issuer ',
      '"',
      'PERMIT Subject ',
      '\\',
      '\n',
      '.*',
      'SELF',
      'a',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), fc.string(), (pieces, subject) => {
        const answer = namespacesPermit(readNamespaces(pieces.join('')), 'a', subject)
        expect(['permitted', 'forbidden', 'unknown', undefined]).toContain(answer)
      }),
    )
  })
})
