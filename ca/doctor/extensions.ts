/** Rules on further extensions. */
import type { Certificate } from '../certificate.ts'
import type { Link } from '../chain-link.ts'
import { extensionOids } from '../extensions.ts'
import { draftProxyCertInfo } from '../proxy-info.ts'
import { type DoctorRule, eachCertificate, eachOf, endEntityOf } from './context.ts'
import {
  canlC,
  except,
  globus,
  java,
  openssl,
  plainOpenssl,
  strict,
  validating,
} from './relying-parties.ts'

/** The only extensions that Globus accepts as critical. */
const globusCritical = new Set<string>([
  extensionOids.basicConstraints,
  extensionOids.keyUsage,
  extensionOids.extKeyUsage,
  '2.16.840.1.113730.1.1', // nsCertType
  extensionOids.subjectKeyIdentifier,
  extensionOids.authorityKeyIdentifier,
  extensionOids.proxyCertInfo,
])
/** Further extensions that OpenSSL accepts, critical or not. */
const opensslCritical = new Map<string, string>([
  [extensionOids.certificatePolicies, 'certificatePolicies'],
  [extensionOids.subjectAltName, 'subjectAltName'],
  [extensionOids.crlDistributionPoints, 'cRLDistributionPoints'],
  ['2.5.29.18', 'issuerAltName'],
  ['2.5.29.30', 'nameConstraints'],
  ['2.5.29.33', 'policyMappings'],
  ['2.5.29.36', 'policyConstraints'],
  ['2.5.29.54', 'inhibitAnyPolicy'],
])

const has = ({ extensions }: Certificate, oid: string): boolean =>
  extensions.some((extension) => extension.oid === oid)

const criticalOf = ({ certificate }: Link): readonly string[] =>
  certificate.extensions.filter(({ critical }) => critical).map(({ oid }) => oid)

const askAgain = 'Request a new proxy without this extension.'

export const extensionRules: readonly DoctorRule[] = [
  {
    id: 'proxy-subject-alternative-name',
    severity: 'refuses',
    relyingParties: [...except(openssl, 'caNl-C'), ...globus, ...java],
    check: ({ proxies }) =>
      eachOf('proxy', proxies, ({ certificate }) =>
        has(certificate, extensionOids.subjectAltName) ? 'has a subjectAltName' : undefined,
      ),
    remedy: askAgain,
  },
  {
    id: 'proxy-issuer-alternative-name',
    severity: 'refuses',
    relyingParties: [...except(openssl, 'caNl-C'), ...globus, ...java],
    check: ({ proxies }) =>
      eachOf('proxy', proxies, ({ certificate }) =>
        has(certificate, '2.5.29.18') ? 'has an issuerAltName' : undefined,
      ),
    remedy: askAgain,
  },
  {
    id: 'proxy-is-ca',
    severity: 'refuses',
    relyingParties: except(validating, 'caNl-C'),
    check: ({ proxies }) =>
      eachOf('proxy', proxies, ({ facts }) =>
        facts.authority ? 'has basicConstraints CA:TRUE' : undefined,
      ),
    remedy: askAgain,
  },
  {
    id: 'critical-extension-unknown',
    severity: 'refuses',
    relyingParties: except(strict, ...canlC),
    check: (context) =>
      eachCertificate(context, (link) => {
        const unknown = criticalOf(link).filter(
          (oid) =>
            !globusCritical.has(oid) &&
            !opensslCritical.has(oid) &&
            // Such a proxy is reported by its kind.
            oid !== draftProxyCertInfo,
        )
        return unknown.length > 0
          ? `has the critical extension ${unknown.join(', ')}, which no relying party knows`
          : undefined
      }),
    remedy: 'Have the certificate reissued without it, or with it not critical.',
  },
  {
    id: 'critical-extension-unknown-to-globus',
    severity: 'refuses',
    relyingParties: globus,
    check: (context) =>
      eachCertificate(context, (link) => {
        const names = criticalOf(link).flatMap((oid) => opensslCritical.get(oid) ?? [])
        return names.length > 0 ? `has ${names.join(', ')} as critical` : undefined
      }),
    remedy: 'Have the certificate reissued with this extension not critical.',
  },
  {
    id: 'extension-twice',
    severity: 'refuses',
    relyingParties: [...plainOpenssl, ...globus, ...java],
    check: (context) =>
      eachCertificate(context, ({ facts }) => {
        const twice = facts.duplicates.filter((oid) => oid !== extensionOids.proxyCertInfo)
        return twice.length > 0 ? `has the extension ${twice.join(', ')} more than once` : undefined
      }),
    remedy: 'Have the certificate reissued.',
  },
  {
    id: 'extension-unreadable',
    severity: 'refuses',
    relyingParties: except(strict, ...canlC),
    check: (context) =>
      eachCertificate(context, ({ facts }) => {
        const names = facts.unreadable.filter((name) => name !== 'proxyCertInfo')
        return names.length > 0 ? `has an unreadable ${names.join(', ')}` : undefined
      }),
    remedy: 'Have the certificate reissued.',
  },
  {
    id: 'no-authority-key-identifier',
    severity: 'warns',
    relyingParties: ['OpenSSL'],
    check: (context) => {
      const what = ({ certificate }: Link): string | undefined =>
        has(certificate, extensionOids.authorityKeyIdentifier)
          ? undefined
          : 'has no authorityKeyIdentifier, which `openssl verify -x509_strict` requires'
      return [
        ...eachOf('proxy', context.proxies, what),
        ...eachOf('EEC', endEntityOf(context), what),
      ]
    },
    remedy: 'Request a new proxy, or have the EEC reissued.',
  },
]
