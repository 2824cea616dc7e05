/** Rules on keyUsage and extendedKeyUsage of proxies and EECs. */
import type { CertificateFacts } from '../certificate-facts.ts'
import { type DoctorRule, eachOf, endEntityOf } from './context.ts'
import { canlC, except, globus, openssl, strict, tls } from './relying-parties.ts'

/** clientAuth or anyExtendedKeyUsage. */
const clientPurposes = new Set(['1.3.6.1.5.5.7.3.2', '2.5.29.37.0'])

const lacksClientAuth = ({ extendedKeyUsage }: CertificateFacts): boolean =>
  extendedKeyUsage !== undefined && !extendedKeyUsage.some((purpose) => clientPurposes.has(purpose))

const lacksDigitalSignature = ({ keyUsage }: CertificateFacts): boolean =>
  keyUsage !== undefined && !keyUsage.includes('digitalSignature')

const proxyRemedy =
  'Request a new proxy with keyUsage digitalSignature and keyEncipherment, and without extendedKeyUsage.'
const endEntityRemedy =
  'Have the EEC reissued with keyUsage digitalSignature and extendedKeyUsage clientAuth.'

export const keyUsageRules: readonly DoctorRule[] = [
  {
    id: 'proxy-key-cert-sign',
    severity: 'refuses',
    relyingParties: globus,
    check: ({ proxies }) =>
      eachOf('proxy', proxies, ({ facts }) =>
        facts.keyUsage?.includes('keyCertSign') ? 'has keyUsage keyCertSign' : undefined,
      ),
    remedy: proxyRemedy,
  },
  {
    id: 'proxy-no-digital-signature',
    severity: 'refuses',
    relyingParties: [...tls, 'Globus'],
    check: ({ proxies }) =>
      eachOf('proxy', proxies, ({ facts }) =>
        lacksDigitalSignature(facts) ? 'has a keyUsage without digitalSignature' : undefined,
      ),
    remedy: proxyRemedy,
  },
  {
    id: 'proxy-no-client-auth',
    severity: 'refuses',
    relyingParties: openssl,
    check: ({ proxies }) =>
      eachOf('proxy', proxies, ({ facts }) =>
        lacksClientAuth(facts) ? 'has an extendedKeyUsage without clientAuth' : undefined,
      ),
    remedy: proxyRemedy,
  },
  {
    id: 'end-entity-no-digital-signature',
    severity: 'refuses',
    relyingParties: except(strict, ...canlC),
    check: (context) =>
      eachOf('EEC', endEntityOf(context), ({ facts }) =>
        lacksDigitalSignature(facts) ? 'has a keyUsage without digitalSignature' : undefined,
      ),
    remedy: endEntityRemedy,
  },
  {
    id: 'end-entity-no-client-auth',
    severity: 'refuses',
    relyingParties: openssl,
    check: (context) =>
      eachOf('EEC', endEntityOf(context), ({ facts }) =>
        lacksClientAuth(facts) ? 'has an extendedKeyUsage without clientAuth' : undefined,
      ),
    remedy: endEntityRemedy,
  },
]
