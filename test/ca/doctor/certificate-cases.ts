import {
  explicit,
  implicitConstructed,
  implicitPrimitive,
  oid,
  sequence,
  smallInteger,
} from '../../../ca/asn1.ts'

import {
  basicConstraints,
  keyUsage,
  proxyCertInfo,
  subjectAltNameUri,
} from '../../../ca/extensions.ts'
import { type DistinguishedName, nameNode, withCommonName } from '../../../ca/name.ts'
import { parseSlashDn } from '../../../ca/name-text.ts'
import {
  authorityName,
  baseName,
  type ChainPlan,
  type Plan,
} from '../../support/certificate-builder.ts'
import {
  anyExtension,
  extendedKeyUsage,
  proxyCertInfoOf,
  unknownExtension,
} from '../../support/extensions.ts'
import type { DoctorCase } from './cases.ts'
import { blocks, type Illness } from './patient.ts'

const proxy = (plan: Plan): ChainPlan => ({ proxies: [plan] })
const proxyExtensions = (extensions: NonNullable<Plan['extensions']>): ChainPlan =>
  proxy({ extensions })
const person = (subject: DistinguishedName): ChainPlan => ({ endEntity: { subject } })
const named = (commonName: string): ChainPlan => person(withCommonName(baseName, commonName))
const endEntityExtensions = (extensions: NonNullable<Plan['extensions']>): ChainPlan => ({
  endEntity: { extensions },
})
const authorityExtensions = (extensions: NonNullable<Plan['extensions']>): ChainPlan => ({
  authority: { extensions },
})
/** Permits all names below /C=EU. */
const permittedNames = sequence(
  implicitConstructed(0, [sequence(explicit(4, nameNode(parseSlashDn('/C=EU'))))]),
)
const asCa = basicConstraints({ pathLength: undefined })
export const certificateCases: readonly DoctorCase[] = [
  {
    rule: 'critical-extension-unknown',
    name: 'proxy',
    plan: proxyExtensions({ other: unknownExtension(true) }),
  },
  {
    rule: 'critical-extension-unknown',
    name: 'EEC',
    plan: endEntityExtensions({ other: unknownExtension(true) }),
  },
  {
    rule: 'critical-extension-unknown-to-globus',
    name: 'policies in the EEC',
    plan: endEntityExtensions({
      policies: anyExtension('2.5.29.32', sequence(sequence(oid('1.2.840.113612.5.2.2.1'))), true),
    }),
  },
  {
    rule: 'critical-extension-unknown-to-globus',
    name: 'name constraints in the CA',
    plan: authorityExtensions({ constraints: anyExtension('2.5.29.30', permittedNames, true) }),
  },
  { rule: 'extension-twice', plan: endEntityExtensions({ again: keyUsage(['digitalSignature']) }) },
  {
    rule: 'extension-unreadable',
    plan: endEntityExtensions({ keyUsage: anyExtension('2.5.29.15', smallInteger(1), true) }),
  },
  {
    rule: 'no-authority-key-identifier',
    name: 'EEC',
    plan: endEntityExtensions({ authorityKeyIdentifier: undefined }),
  },
  {
    rule: 'end-entity-no-digital-signature',
    plan: endEntityExtensions({ keyUsage: keyUsage(['keyEncipherment']) }),
  },
  {
    rule: 'end-entity-no-client-auth',
    plan: endEntityExtensions({ extKeyUsage: extendedKeyUsage('1.3.6.1.5.5.7.3.4') }),
  },
  { rule: 'end-entity-missing', text: ({ text }) => blocks(text).slice(0, 2).join('') },
  { rule: 'end-entity-is-ca', plan: endEntityExtensions({ basicConstraints: asCa }) },
  { rule: 'end-entity-cn-proxy', plan: named('limited proxy') },
  { rule: 'end-entity-cn-digits', plan: named('12345') },
  { rule: 'end-entity-under-ca-name', plan: person(withCommonName(authorityName, 'Jane')) },
  {
    rule: 'name-slash-plus-backslash',
    name: 'slash',
    plan: named('robot/jane'),
    also: ['name-map-file'],
  },
  {
    rule: 'name-slash-plus-backslash',
    name: 'backslash',
    plan: named('a\\b'),
    also: ['name-map-file'],
  },
  {
    rule: 'name-map-file',
    name: 'plus',
    plan: named('a+b'),
    also: ['name-slash-plus-backslash'],
  },
  {
    rule: 'name-quote',
    plan: named('a "b"'),
    also: ['name-map-file', 'name-slash-plus-backslash'],
  },
  { rule: 'name-not-ascii', plan: named('Ren\u00e9') },
  { rule: 'name-parentheses', plan: named('Jane (test)') },
  {
    rule: 'name-email-or-serial-number',
    plan: person([...baseName, ...parseSlashDn('/CN=Jane/emailAddress=j@a.example')]),
  },
  { rule: 'name-uid', plan: person([...baseName, ...parseSlashDn('/UID=jane/CN=Jane')]) },
  { rule: 'name-long-common-name', plan: named('x'.repeat(65)) },
  {
    rule: 'ca-not-a-ca',
    name: 'no extensions',
    plan: authorityExtensions({ basicConstraints: undefined, keyUsage: undefined }),
  },
  {
    rule: 'ca-not-a-ca',
    name: 'CA:FALSE',
    plan: authorityExtensions({ basicConstraints: basicConstraints() }),
  },
  { rule: 'ca-no-basic-constraints', plan: authorityExtensions({ basicConstraints: undefined }) },
  { rule: 'ca-no-key-cert-sign', plan: authorityExtensions({ keyUsage: keyUsage(['cRLSign']) }) },
  { rule: 'ca-no-crl-sign', plan: authorityExtensions({ keyUsage: keyUsage(['keyCertSign']) }) },
  {
    rule: 'ca-path-length',
    plan: {
      intermediate: {},
      authority: { extensions: { basicConstraints: basicConstraints({ pathLength: 0 }) } },
    },
  },
  {
    rule: 'ca-name-not-sayable',
    name: 'apostrophe',
    plan: { authority: { subject: withCommonName(baseName, "O'Neill CA") } },
    also: ['signing-policy-missing'],
  },
  {
    rule: 'ca-name-not-sayable',
    name: 'not ASCII',
    plan: { authority: { subject: withCommonName(baseName, 'Caf\u00e9 CA') } },
  },
  { rule: 'bad-signature', name: 'proxy', plan: proxy({ brokenSignature: true }) },
  { rule: 'bad-signature', name: 'EEC', plan: { endEntity: { brokenSignature: true } } },
  {
    rule: 'critical-extension-unknown-to-globus',
    name: 'SAN in the EEC',
    plan: endEntityExtensions({
      name: anyExtension(
        '2.5.29.17',
        sequence(implicitPrimitive(2, Buffer.from('a.example'))),
        true,
      ),
    }),
  },
]

/** Good ones that look unusual: the trial showed that all accept them. */
export const healthy: readonly (Illness & { readonly name: string })[] = [
  { name: 'EEC and proxy' },
  { name: 'an intermediate CA', plan: { intermediate: {} } },
  { name: 'two proxies', plan: { proxies: [{}, {}] } },
  {
    name: 'a limited proxy',
    plan: proxyExtensions({ proxyCertInfo: proxyCertInfo('limited', undefined) }),
  },
  {
    name: 'path length 2',
    plan: proxyExtensions({ proxyCertInfo: proxyCertInfo('impersonation', 2) }),
  },
  {
    name: 'no keyUsage and no extendedKeyUsage',
    plan: {
      endEntity: { extensions: { keyUsage: undefined, extKeyUsage: undefined } },
      proxies: [
        {
          extensions: {
            keyUsage: undefined,
            proxyCertInfo: undefined,
            last: proxyCertInfo('impersonation', undefined),
          },
        },
      ],
    },
  },
  {
    name: 'policy in the last critical extension',
    plan: proxyExtensions({ proxyCertInfo: proxyCertInfoOf({ policy: 'x' }) }),
  },
  {
    name: 'nonRepudiation in the proxy',
    plan: proxyExtensions({ keyUsage: keyUsage(['digitalSignature', 'nonRepudiation']) }),
  },
  {
    name: 'clientAuth and CA:FALSE in the proxy',
    plan: proxyExtensions({
      extKeyUsage: extendedKeyUsage('1.3.6.1.5.5.7.3.2'),
      basicConstraints: basicConstraints(),
    }),
  },
  {
    name: 'SAN and unknown extensions in the EEC, not critical',
    plan: endEntityExtensions({
      name: subjectAltNameUri('https://a.example/'),
      other: unknownExtension(false),
    }),
  },
  {
    name: 'no basicConstraints in the EEC',
    plan: endEntityExtensions({ basicConstraints: undefined }),
  },
  { name: 'PSS in the EEC only', plan: { endEntity: { signature: 'pss' } } },
  { name: 'CRLF and no last newline', text: ({ text }) => text.replaceAll('\n', '\r\n').trimEnd() },
  { name: 'text around the blocks', text: ({ text }) => `hello\n${text}\nbye\n` },
  {
    name: 'blank, comma, dot, @, :, = and apostrophe in the name',
    plan: named("O'Neill, J. a@b:c=d"),
  },
  {
    name: 'a single pattern without quotes',
    files: (files) =>
      files.map((file) =>
        file.name.endsWith('.signing_policy')
          ? { ...file, content: Buffer.from(file.content.toString().replace(/'"(.*)"'/, '$1')) }
          : file,
      ),
  },
  { name: 'no CRL', files: (files) => files.filter(({ name }) => !name.includes('.r')) },
]
