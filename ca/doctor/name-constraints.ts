/** Rules on nameConstraints: names that a CA and those below it may not give (RFC 5280 section 4.2.1.10). */
import type { Asn1Node } from '../asn1.ts'
import { childrenOf, decode, hasContextTag } from '../asn1-read.ts'
import { findExtension } from '../certificate.ts'
import type { Link } from '../chain-link.ts'
import { malformed } from '../errors.ts'
import { extensionOids } from '../extensions.ts'
import { attributeTypes } from '../name.ts'
import { canonicalName } from '../name-hash.ts'
import { type DoctorContext, type DoctorRule, nameOf } from './context.ts'
import { ifReadable } from '../readable.ts'
import { globus, openssl } from './relying-parties.ts'
import { sameNode } from './trust-lookup.ts'

interface Constraints {
  /** Beginnings of names in the form in which they are compared. */
  readonly permitted: readonly Buffer[]
  readonly excluded: readonly Buffer[]
  /** Whether there are subtrees of other kinds of names, for instance addresses. */
  readonly others: boolean
}

const what = 'nameConstraints'

function readConstraints(value: Buffer): Constraints {
  const subtrees = childrenOf(decode(value, what), what).flatMap((list) =>
    childrenOf(list, what).map((subtree) => ({
      excluded: hasContextTag(list, 1),
      base: childrenOf(subtree, what)[0],
    })),
  )
  const beginnings = (isExcluded: boolean): readonly Buffer[] =>
    subtrees.flatMap(({ excluded, base }) =>
      excluded === isExcluded && hasContextTag(base, 4) ? [beginningOf(base)] : [],
    )
  return {
    permitted: beginnings(false),
    excluded: beginnings(true),
    others: subtrees.some(({ base }) => !hasContextTag(base, 4)),
  }
}

function beginningOf(base: Asn1Node): Buffer {
  const [name] = childrenOf(base, what)
  if (name === undefined) throw malformed(what, 'a name is missing')
  return canonicalName(name)
}

/** What a CA with nameConstraints says of the certificates below it. */
interface Limits {
  readonly authority: Link
  /** Undefined: they cannot be read. */
  readonly constraints: Constraints | undefined
  readonly below: readonly Link[]
}

function limitsOf({ chain }: DoctorContext): readonly Limits[] {
  return chain.flatMap((authority, index) => {
    const value = findExtension(authority.certificate, '2.5.29.30')?.value
    if (value === undefined) return []
    // Section 4.2.1.10: they do not apply to CAs that are certified by their own name.
    const below = chain
      .slice(0, index)
      .filter(({ certificate: { subjectNode, issuerNode } }) => !sameNode(subjectNode, issuerNode))
    return [{ authority, constraints: ifReadable(() => readConstraints(value)), below }]
  })
}

function isForbidden({ certificate }: Link, { permitted, excluded }: Constraints): boolean {
  const name = canonicalName(certificate.subjectNode)
  const begins = (beginning: Buffer): boolean =>
    name.subarray(0, beginning.length).equals(beginning)
  return excluded.some(begins) || (permitted.length > 0 && !permitted.some(begins))
}

/** Whether a certificate has names of another kind than its subject, or ones that OpenSSL takes for such. */
function hasOtherNames({ certificate }: Link): boolean {
  return (
    findExtension(certificate, extensionOids.subjectAltName) !== undefined ||
    certificate.subject
      .flat()
      .some(
        ({ type, value }) =>
          type === attributeTypes['emailAddress'] ||
          (type === attributeTypes['CN'] && /^[\w-]+\.[\w.-]+$/.test(String(value))),
      )
  )
}

export const nameConstraintRules: readonly DoctorRule[] = [
  {
    id: 'name-constraints',
    severity: 'refuses',
    relyingParties: [...openssl, ...globus],
    check: (context) =>
      limitsOf(context).flatMap(({ authority, constraints, below }) => {
        if (constraints === undefined)
          return [`The CA ${nameOf(authority)} has nameConstraints that cannot be read.`]
        // The names of proxies begin with that of the EEC: the certificate nearest to the CA is the reason.
        const forbidden = below.findLast((link) => isForbidden(link, constraints))
        return forbidden
          ? [
              `The nameConstraints of the CA ${nameOf(authority)} do not allow the name ${nameOf(forbidden)}.`,
            ]
          : []
      }),
    remedy: 'Use a CA that may sign this name, or have the CA reissued with other nameConstraints.',
  },
  {
    id: 'name-constraints-not-judged',
    severity: 'warns',
    relyingParties: [...openssl, ...globus],
    check: (context) =>
      limitsOf(context).flatMap(({ authority, constraints, below }) =>
        constraints?.others && below.some(hasOtherNames)
          ? [
              `The CA ${nameOf(authority)} limits other kinds of names than subjects, and there are such names below it: whether they are allowed is not checked here.`,
            ]
          : [],
      ),
    remedy: 'Check the chain with openssl verify.',
  },
]
