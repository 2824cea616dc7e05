/** Rules on the EEC. */
import { lastCommonName, startsWithName } from '../name.ts'
import { type DoctorRule, eachOf, endEntityOf, nameOf, when } from './context.ts'
import {
  canlC,
  except,
  globus,
  globusTls,
  java,
  relyingParties,
  validating,
} from './relying-parties.ts'

/** Rules on the EEC itself. */
export const endEntityRules: readonly DoctorRule[] = [
  {
    id: 'end-entity-missing',
    severity: 'refuses',
    relyingParties: except(relyingParties, 'arcproxy', ...canlC),
    check: ({ endEntity }) => when(endEntity === undefined, 'The EEC is not in the file.'),
    remedy: 'Put the certificate that signed the proxy after the key.',
  },
  {
    id: 'end-entity-is-ca',
    severity: 'refuses',
    relyingParties: validating,
    check: (context) =>
      endEntityOf(context)
        .filter(({ facts }) => facts.authority)
        .map((link) => ({
          sentence: `The EEC ${nameOf(link)} has basicConstraints CA:TRUE.`,
          // OpenSSL does not count as a CA what may not sign certificates.
          relyingParties:
            link.facts.keyUsage && !link.facts.keyUsage.includes('keyCertSign')
              ? [...globusTls, ...java, 'XRootD', 'XRootD https']
              : validating,
        })),
    remedy: 'Have the EEC issued with CA:FALSE.',
  },
  {
    id: 'end-entity-cn-proxy',
    severity: 'refuses',
    relyingParties: [...globus, ...java, 'arcproxy'],
    check: (context) =>
      eachOf('EEC', endEntityOf(context), ({ certificate }) =>
        /^(limited )?proxy$/i.test(lastCommonName(certificate.subject) ?? '')
          ? 'has the name of a legacy proxy and is treated as one'
          : undefined,
      ),
    remedy: 'Have the EEC issued under another name.',
  },
  {
    id: 'end-entity-cn-digits',
    severity: 'refuses',
    relyingParties: ['arcproxy'],
    check: (context) =>
      eachOf('EEC', endEntityOf(context), ({ certificate }) =>
        /^\d+$/.test(lastCommonName(certificate.subject) ?? '')
          ? "has a last CN of digits only, which arcproxy strips as if it were a proxy's"
          : undefined,
      ),
    remedy: 'Have the EEC issued under another name.',
  },
  {
    id: 'end-entity-under-ca-name',
    severity: 'refuses',
    relyingParties: ['XRootD', 'XRootD https'],
    check: (context) =>
      eachOf('EEC', endEntityOf(context), ({ certificate: { subject, issuer } }) =>
        subject.length > issuer.length && startsWithName(subject, issuer)
          ? "has a name that begins with its CA's name: XRootD takes it for a proxy of the CA"
          : undefined,
      ),
    remedy: "Have the EEC issued under a name that does not begin with the CA's.",
  },
]
