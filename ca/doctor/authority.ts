/** Rules on CAs, and on signatures within the chain. */
import type { Link } from '../chain-link.ts'
import { extensionOids } from '../extensions.ts'
import { formatSlashDn } from '../name-text.ts'
import { type DoctorRule, eachOf, nameOf, when } from './context.ts'
import { globus, strict, validating } from './relying-parties.ts'

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
    relyingParties: validating,
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
    relyingParties: strict,
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
    relyingParties: ['OpenSSL', 'GridSite', 'caNl-Java', 'VOMS Java'],
    check: ({ authorities }) =>
      eachOf('CA', authorities, ({ facts }) =>
        facts.keyUsage && !facts.keyUsage.includes('cRLSign')
          ? 'has a keyUsage without cRLSign: once a CRL is installed, everything it signed is refused'
          : undefined,
      ),
    remedy: 'Use a CA certificate with keyUsage keyCertSign and cRLSign.',
  },
  {
    id: 'ca-path-length',
    severity: 'refuses',
    relyingParties: strict,
    check: ({ verdict }) =>
      when(
        verdict.problems.some(({ code }) => code === 'path_length'),
        'The chain has more CAs than a path length allows.',
      ),
    remedy: 'Have the CA above issue a certificate with a path length that allows it.',
  },
  {
    id: 'ca-name-not-sayable',
    severity: 'refuses',
    relyingParties: [...globus, 'caNl-Java', 'VOMS Java'],
    check: ({ authorities }) =>
      authorities
        .filter(({ certificate }) =>
          certificate.subject
            .flat()
            .some(({ value }) => typeof value !== 'string' || /['/]|[^\x20-\x7e]/u.test(value)),
        )
        .map((link) => `A signing_policy has no form for the name of the CA ${nameOf(link)}.`),
    remedy: 'Use a CA with an ASCII name that has no slash and no apostrophe.',
  },
  {
    id: 'bad-signature',
    severity: 'refuses',
    relyingParties: validating,
    check: ({ verdict }) =>
      verdict.problems
        .filter(({ code }) => code === 'bad_signature')
        .map(({ certificateIndex }) => {
          const subject = verdict.path[certificateIndex]?.subject ?? []
          return `The signature of ${formatSlashDn(subject)} is not that of its issuer's key.`
        }),
    remedy: 'Request a new proxy, and install the trust anchors of the current CA.',
  },
]
