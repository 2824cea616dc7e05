import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { namespacesPermit, readNamespaces } from '../../ca/namespaces.ts'

const ca = '/DC=org/DC=example/CN=CA'
const file = (...patterns: readonly string[]): string =>
  patterns.map((pattern) => `TO Issuer "${ca}" \\\n  PERMIT Subject "${pattern}"\n`).join('\n')

describe('namespacesPermit', () => {
  test.for([
    { text: file('/DC=org/DC=example/.*'), subject: '/DC=org/DC=example/CN=Jane', permits: true },
    { text: file('/DC=org/DC=example/.*'), subject: '/DC=org/DC=other/CN=Jane', permits: false },
    { text: file('/dc=ORG/DC=example/.*'), subject: '/DC=org/DC=example/CN=Jane', permits: true },
    { text: file('/DC=org/CN=a\\.b'), subject: '/DC=org/CN=a.b', permits: true },
    { text: file('/DC=org/CN=a\\.b'), subject: '/DC=org/CN=a.bc', permits: false },
    { text: file('/CN=x', '/DC=org/.*'), subject: '/DC=org/CN=a', permits: true },
    { text: `# a note\n\n${file('/DC=org/.*')}`, subject: '/DC=org/CN=a', permits: true },
    { text: file('/DC=org/.*').replaceAll('\n', '\r\n'), subject: '/DC=org/CN=a', permits: true },
    {
      text: `${file('/DC=org/.*')}TO Issuer "${ca}" DENY Subject "/DC=org/CN=a.*"\n`,
      subject: '/DC=org/CN=ab',
      permits: false,
    },
    // A pattern that is more than a beginning is not judged.
    { text: file('/DC=org/CN=(a|b)'), subject: '/DC=org/CN=c', permits: undefined },
    { text: file('/DC=org/CN=[a-z]+'), subject: '/DC=org/CN=c', permits: undefined },
    { text: '# nothing\n', subject: '/DC=org/CN=c', permits: undefined },
    { text: 'nonsense', subject: '/DC=org/CN=c', permits: undefined },
    { text: file('.*').replace(ca, '/CN=other'), subject: '/CN=x', permits: undefined },
    { text: file('.*').replace(`"${ca}"`, 'SELF'), subject: '/CN=x', permits: undefined },
  ])('$text $subject: $permits', ({ text, subject, permits }) => {
    expect(namespacesPermit(readNamespaces(text), ca, subject)).toBe(permits)
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
        expect([true, false, undefined]).toContain(answer)
      }),
    )
  })
})
