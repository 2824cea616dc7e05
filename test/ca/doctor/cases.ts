import { smallInteger } from '../../../ca/asn1.ts'
import {
  basicConstraints,
  keyUsage,
  proxyCertInfo,
  subjectAltNameUri,
} from '../../../ca/extensions.ts'
import { type DistinguishedName, withCommonName } from '../../../ca/name.ts'
import { parseSlashDn } from '../../../ca/name-text.ts'
import {
  authorityName,
  baseName,
  type ChainPlan,
  type Plan,
  userName,
} from '../../support/certificate-builder.ts'
import {
  anyExtension,
  dnsName,
  extendedKeyUsage,
  proxyCertInfoOf,
  unknownExtension,
} from '../../support/extensions.ts'
import { blocks, type Illness } from './patient.ts'

/** A rule, what breaks it, and which other rules that breaks by necessity. */
export interface DoctorCase extends Illness {
  readonly rule: string
  readonly name?: string
  readonly also?: readonly string[]
}

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
const asCa = basicConstraints({ pathLength: undefined })
const under = (text: string, ...order: readonly number[]): string => {
  const parts = blocks(text)
  return order.map((index) => parts[index] ?? '').join('')
}

export const keyCases: readonly DoctorCase[] = [
  { rule: 'key-rsa-too-small', name: 'proxy', plan: proxy({ key: 'rsa-1024' }) },
  { rule: 'key-rsa-too-small', name: 'EEC', plan: { endEntity: { key: 'rsa-1024' } } },
  { rule: 'key-rsa-too-small', name: 'CA', plan: { authority: { key: 'rsa-1024' } } },
  { rule: 'key-rsa-below-1024', plan: proxy({ key: 'rsa-512' }), also: ['key-rsa-too-small'] },
  { rule: 'key-ec-proxy', plan: proxy({ key: 'ec-p256' }), also: ['key-families-mixed'] },
  {
    rule: 'key-ec-end-entity',
    plan: { endEntity: { key: 'ec-p256' } },
    also: ['key-families-mixed'],
  },
  {
    rule: 'key-families-mixed',
    plan: { endEntity: { key: 'ec-p384' } },
    also: ['key-ec-end-entity'],
  },
  { rule: 'key-ec-authority', plan: { authority: { key: 'ec-p384' } } },
  { rule: 'key-missing', text: ({ text }) => under(text, 0, 2) },
  {
    rule: 'key-of-another',
    text: ({ text, endEntity }) =>
      under(text, 0) +
      endEntity.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() +
      under(text, 2),
  },
  { rule: 'digest-weak', name: 'SHA-1 in the proxy', plan: proxy({ signature: 'sha1' }) },
  { rule: 'digest-weak', name: 'MD5 in the EEC', plan: { endEntity: { signature: 'md5' } } },
  { rule: 'digest-pss-proxy', plan: proxy({ signature: 'pss' }) },
]

const MINUTE = 60
const HOUR = 3600
export const timeCases: readonly DoctorCase[] = [
  { rule: 'proxy-ended', plan: proxy({ begins: -HOUR, ends: -MINUTE }) },
  { rule: 'proxy-not-begun', plan: proxy({ begins: 4 * MINUTE }) },
  {
    rule: 'end-entity-ended',
    plan: { endEntity: { begins: -HOUR, ends: -MINUTE } },
    also: ['proxy-outlives-end-entity'],
  },
  { rule: 'end-entity-not-begun', plan: { endEntity: { begins: 4 * MINUTE } } },
  { rule: 'ca-out-of-time', name: 'ended', plan: { authority: { begins: -HOUR, ends: -MINUTE } } },
  { rule: 'ca-out-of-time', name: 'not begun', plan: { authority: { begins: HOUR } } },
  { rule: 'proxy-outlives-end-entity', plan: proxy({ ends: 12 * 24 * HOUR }) },
  {
    rule: 'time-left-glideinwms-minute',
    plan: proxy({ ends: 50 }),
    also: ['time-left-htcondor', 'time-left-glideinwms-half-day'],
  },
  {
    rule: 'time-left-htcondor',
    plan: proxy({ ends: 110 }),
    also: ['time-left-glideinwms-half-day'],
  },
  { rule: 'time-left-glideinwms-half-day', plan: proxy({ ends: 11 * HOUR }) },
  {
    rule: 'ends-after-2049',
    plan: { endEntity: { ends: 25 * 365 * 24 * HOUR }, authority: { ends: 26 * 365 * 24 * HOUR } },
  },
]

export const fileCases: readonly DoctorCase[] = [
  { rule: 'file-proxy-not-first', text: ({ text }) => under(text, 2, 1, 0) },
  { rule: 'file-key-not-second', text: ({ text }) => under(text, 0, 2, 1) },
  {
    rule: 'file-ca-before-end-entity',
    plan: { intermediate: {} },
    text: ({ text }) => under(text, 0, 1, 3, 2),
  },
  {
    rule: 'file-ec-key-label',
    plan: { endEntity: { key: 'ec-p256' }, proxies: [{ key: 'ec-p256' }] },
    text: ({ text, proxies }) =>
      under(text, 0) +
      proxies[0]?.privateKey.export({ type: 'sec1', format: 'pem' }).toString() +
      under(text, 2),
    also: ['key-ec-proxy', 'key-ec-end-entity'],
  },
  { rule: 'file-no-proxy', plan: { proxies: [] } },
  { rule: 'file-mode-not-private', fileFacts: { mode: 0o640 } },
  { rule: 'file-mode-for-others', fileFacts: { mode: 0o604 }, also: ['file-mode-not-private'] },
  { rule: 'file-owner', fileFacts: { ownerUid: 0 } },
]

export const proxyCases: readonly DoctorCase[] = [
  {
    rule: 'proxy-subject-not-one-cn-more',
    plan: proxy({ subject: withCommonName(withCommonName(userName, '1'), '2') }),
  },
  { rule: 'proxy-cn-not-digits', plan: proxy({ subject: withCommonName(userName, 'abc') }) },
  {
    rule: 'proxy-cn-legacy',
    plan: proxy({ subject: withCommonName(userName, 'limited proxy') }),
    also: ['proxy-cn-not-digits'],
  },
  {
    rule: 'proxy-cn-begins-proxy',
    plan: proxy({ subject: withCommonName(userName, 'proxy-12') }),
    also: ['proxy-cn-not-digits'],
  },
  {
    rule: 'proxy-not-rfc3820',
    name: 'legacy',
    plan: proxy({
      subject: withCommonName(userName, 'proxy'),
      extensions: { proxyCertInfo: undefined },
    }),
  },
  {
    rule: 'proxy-not-rfc3820',
    name: 'draft',
    plan: proxyExtensions({
      proxyCertInfo: anyExtension('1.3.6.1.4.1.3536.1.222', smallInteger(1)),
    }),
  },
  {
    rule: 'proxy-kinds-mixed',
    plan: {
      proxies: [
        { subject: withCommonName(userName, 'proxy'), extensions: { proxyCertInfo: undefined } },
        {},
      ],
    },
    also: ['proxy-not-rfc3820'],
  },
  {
    rule: 'proxy-cert-info-not-critical',
    plan: proxyExtensions({ proxyCertInfo: proxyCertInfoOf({ critical: false }) }),
  },
  {
    rule: 'proxy-cert-info-twice',
    plan: proxyExtensions({ again: proxyCertInfo('impersonation', undefined) }),
  },
  {
    rule: 'proxy-cert-info-unreadable',
    plan: proxyExtensions({
      proxyCertInfo: anyExtension('1.3.6.1.5.5.7.1.14', smallInteger(1), true),
    }),
  },
  {
    rule: 'proxy-path-length-short',
    plan: proxyExtensions({ proxyCertInfo: proxyCertInfo('impersonation', 1) }),
  },
  {
    rule: 'proxy-path-length-exceeded',
    plan: { proxies: [{ extensions: { proxyCertInfo: proxyCertInfo('impersonation', 0) } }, {}] },
  },
  {
    rule: 'proxy-not-inheriting',
    name: 'independent',
    plan: proxyExtensions({ proxyCertInfo: proxyCertInfo('independent', undefined) }),
  },
  {
    rule: 'proxy-not-inheriting',
    name: 'anyLanguage',
    plan: proxyExtensions({ proxyCertInfo: proxyCertInfoOf({ language: '1.3.6.1.5.5.7.21.0' }) }),
  },
  {
    rule: 'proxy-policy-octets',
    plan: proxyExtensions({ proxyCertInfo: proxyCertInfoOf({ policy: 'x' }) }),
  },
  {
    rule: 'proxy-limited-signs-full',
    plan: { proxies: [{ extensions: { proxyCertInfo: proxyCertInfo('limited', undefined) } }, {}] },
  },
  {
    rule: 'proxy-key-cert-sign',
    plan: proxyExtensions({ keyUsage: keyUsage(['digitalSignature', 'keyCertSign']) }),
  },
  {
    rule: 'proxy-no-digital-signature',
    plan: proxyExtensions({ keyUsage: keyUsage(['keyEncipherment']) }),
  },
  {
    rule: 'proxy-no-client-auth',
    plan: proxyExtensions({ extKeyUsage: extendedKeyUsage('1.3.6.1.5.5.7.3.1') }),
  },
  { rule: 'proxy-subject-alternative-name', plan: proxyExtensions({ name: dnsName('a.example') }) },
  {
    rule: 'proxy-issuer-alternative-name',
    plan: proxyExtensions({ name: dnsName('a.example', '2.5.29.18') }),
  },
  { rule: 'proxy-is-ca', plan: proxyExtensions({ basicConstraints: asCa }) },
  {
    rule: 'no-authority-key-identifier',
    name: 'proxy',
    plan: proxyExtensions({ authorityKeyIdentifier: undefined }),
  },
]

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
    plan: endEntityExtensions({ policies: anyExtension('2.5.29.32', smallInteger(1), true) }),
  },
  {
    rule: 'critical-extension-unknown-to-globus',
    name: 'name constraints in the CA',
    plan: authorityExtensions({ constraints: anyExtension('2.5.29.30', smallInteger(1), true) }),
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
  { rule: 'end-entity-missing', text: ({ text }) => under(text, 0, 1) },
  { rule: 'end-entity-is-ca', plan: endEntityExtensions({ basicConstraints: asCa }) },
  { rule: 'end-entity-cn-proxy', plan: named('limited proxy') },
  { rule: 'end-entity-cn-digits', plan: named('12345') },
  { rule: 'end-entity-under-ca-name', plan: person(withCommonName(authorityName, 'Jane')) },
  { rule: 'name-slash-plus-backslash', name: 'slash', plan: named('robot/jane') },
  { rule: 'name-slash-plus-backslash', name: 'backslash', plan: named('a\\b') },
  { rule: 'name-quote', plan: named('a "b"') },
  { rule: 'name-not-ascii', plan: named('Ren\u00e9') },
  { rule: 'name-parentheses', plan: named('Jane (test)') },
  {
    rule: 'name-email-or-serial-number',
    plan: person([...baseName, ...parseSlashDn('/CN=Jane/emailAddress=j@a.example')]),
  },
  { rule: 'name-uid', plan: person([...baseName, ...parseSlashDn('/UID=jane/CN=Jane')]) },
  { rule: 'name-long-common-name', plan: named('x'.repeat(65)) },
  { rule: 'ca-not-a-ca', plan: authorityExtensions({ basicConstraints: undefined }) },
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
    plan: endEntityExtensions({ name: anyExtension('2.5.29.17', smallInteger(1), true) }),
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
      proxies: [{ extensions: { keyUsage: undefined } }],
    },
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
  { name: 'mode 0400', fileFacts: { mode: 0o400 } },
  { name: 'CRLF and no last newline', text: ({ text }) => text.replaceAll('\n', '\r\n').trimEnd() },
  { name: 'text around the blocks', text: ({ text }) => `hello\n${text}\nbye\n` },
  {
    name: 'blank, comma, dot, @, :, = and apostrophe in the name',
    plan: named("O'Neill, J. a@b:c=d"),
  },
  { name: 'no CRL', files: (files) => files.filter(({ name }) => !name.includes('.r')) },
]
