import { expect, test } from 'vitest'
import { requireSameIdentity } from '../../../src/domain/issuing/callers.ts'

const identity = { issuer: 'https://iam.example.org', sub: 'alice' }

test('a token of the identity that delegated is let through', () => {
  expect(() => requireSameIdentity({ ...identity }, identity)).not.toThrow()
})

test.for([
  { name: 'the same sub at another issuer', token: { issuer: 'https://evil.example.org' } },
  {
    name: 'an issuer that only begins alike',
    token: { issuer: `${identity.issuer}.evil.example` },
  },
  { name: 'an issuer in other letter case', token: { issuer: 'https://IAM.example.org' } },
  { name: 'another sub at the same issuer', token: { sub: 'bob' } },
  { name: 'a sub in other letter case', token: { sub: 'Alice' } },
  { name: 'the two swapped', token: { issuer: identity.sub, sub: identity.issuer } },
])('$name is somebody else', ({ token }) => {
  expect(() => requireSameIdentity({ ...identity, ...token }, identity)).toThrow(
    expect.objectContaining({ code: 'access_denied', check: 'delegation_identity' }),
  )
})
