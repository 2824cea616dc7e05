/** Rules on CAs, and on signatures within the chain. */
import type { Link } from '../chain-link.ts'
import { extensionOids } from '../extensions.ts'
import { namesOtherKey } from './key-identifiers.ts'
import { type DoctorRule, eachOf, nameOf, when } from './context.ts'
import { isSignedBy } from './signatures.ts'
import { crlRequiring, except, globus, java, openssl, validating } from './relying-parties.ts'
import { crlsByHash } from './trust-lookup.ts'

/** Rules on CAs. */
const caRemedy = 'Use a CA certificate with critical basicConstraints CA:TRUE.'

/** Without basicConstraints, OpenSSL and Globus treat a certificate with keyCertSign as a CA. */
function isCaByKeyUsage({ certificate, facts }: Link): boolean {
  const constrained = certificate.extensions.some(
    ({ oid }) => oid === extensionOids.basicConstraints,
  )
  return !constrained && facts.keyUsage?.includes('keyCertSign') === true
}

export const authorityRules: readonly DoctorRule[] = [
  {
    id: 'ca-not-a-ca',
    severity: 'refuses',
    relyingParties: except(validating, ...java),
    check: ({ authorities }) =>
      eachOf('CA', authorities, (link) =>
        link.facts.authority || isCaByKeyUsage(link)
          ? undefined
          : 'is not a CA certificate: basicConstraints CA:TRUE is missing',
      ),
    remedy: caRemedy,
  },
  {
    id: 'ca-no-basic-constraints',
    severity: 'refuses',
    relyingParties: ['XRootD'],
    check: ({ authorities }) =>
      eachOf('CA', authorities, (link) =>
        isCaByKeyUsage(link) ? 'has keyUsage keyCertSign and no basicConstraints' : undefined,
      ),
    remedy: caRemedy,
  },
  {
    id: 'ca-no-key-cert-sign',
    severity: 'refuses',
    relyingParties: [...openssl, ...globus],
    check: ({ authorities }) =>
      eachOf('CA', authorities, ({ facts }) =>
        facts.keyUsage && !facts.keyUsage.includes('keyCertSign')
          ? 'has a keyUsage without keyCertSign'
          : undefined,
      ),
    remedy: 'Use a CA certificate with keyUsage keyCertSign and cRLSign.',
  },
  {
    id: 'ca-no-crl-sign',
    severity: 'warns',
    relyingParties: [...crlRequiring, ...java],
    check: ({ authorities, trustAnchors }) =>
      authorities
        .filter(({ facts }) => facts.keyUsage && !facts.keyUsage.includes('cRLSign'))
        .map((link) => {
          const start = `The CA ${nameOf(link)} has a keyUsage without cRLSign`
          const has =
            trustAnchors && crlsByHash(trustAnchors, link.certificate.subjectNode).length > 0
          return has
            ? {
                severity: 'refuses',
                sentence: `${start}, but its CRL is installed: everything that it signed is refused.`,
              }
            : `${start}: once a CRL is installed, everything that it signed is refused.`
        }),
    remedy: 'Use a CA certificate with keyUsage keyCertSign and cRLSign.',
  },
  {
    id: 'ca-path-length',
    severity: 'refuses',
    relyingParties: [...openssl, ...globus],
    check: ({ authorities }) =>
      when(
        authorities.some(({ facts: { pathLength } }, index) =>
          // The CAs below it, of which a CA with its own name as issuer does not count.
          pathLength === undefined ? false : index > pathLength,
        ),
        'The chain has more CAs than a path length allows.',
      ),
    remedy: 'Have the CA above issue a certificate with a path length that allows it.',
  },
  {
    id: 'bad-signature',
    severity: 'refuses',
    relyingParties: validating,
    check: ({ chain, proxies, trustAnchors }) =>
      chain
        .filter((link, index) => {
          const { certificate } = link
          const issuer = chain[index + 1]?.certificate
          return (
            issuer !== undefined &&
            !isSignedBy(certificate, issuer) &&
            // A CA with another key is reported by the rules on the trust directory.
            (trustAnchors === undefined ||
              proxies.includes(link) ||
              !namesOtherKey(certificate, issuer))
          )
        })
        .map((link) => `The signature of ${nameOf(link)} is not that of its issuer's key.`),
    remedy: 'Request a new proxy, and install the trust anchors of the current CA.',
  },
]
