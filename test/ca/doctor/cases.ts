import { oid, sequence, smallInteger } from '../../../ca/asn1.ts'
import { basicConstraints, keyUsage, proxyCertInfo } from '../../../ca/extensions.ts'
import { withCommonName } from '../../../ca/name.ts'
import { type ChainPlan, type Plan, userName } from '../../support/certificate-builder.ts'
import {
  anyExtension,
  dnsName,
  extendedKeyUsage,
  proxyCertInfoOf,
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
const asCa = basicConstraints({ pathLength: undefined })
const under = (text: string, ...order: readonly number[]): string => {
  const parts = blocks(text)
  return order.map((index) => parts[index] ?? '').join('')
}

export const keyCases: readonly DoctorCase[] = [
  { rule: 'key-rsa-too-small', name: 'proxy', plan: proxy({ key: 'rsa-1024' }) },
  { rule: 'key-rsa-too-small', name: 'EEC', plan: { endEntity: { key: 'rsa-1024' } } },
  { rule: 'key-rsa-too-small', name: 'CA', plan: { authority: { key: 'rsa-1024' } } },
  { rule: 'key-rsa-too-small', name: '512 bits', plan: proxy({ key: 'rsa-512' }) },
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
      endEntity.privateKey.export({ type: 'pkcs1', format: 'pem' }).toString() +
      under(text, 2),
  },
  { rule: 'digest-weak', name: 'SHA-1 in the proxy', plan: proxy({ signature: 'sha1' }) },
  { rule: 'digest-weak', name: 'MD5 in the EEC', plan: { endEntity: { signature: 'md5' } } },
  { rule: 'digest-pss-proxy', plan: proxy({ signature: 'pss' }) },
]

const YEAR = 365 * 86_400
const MINUTE = 60
const HOUR = 3600
export const timeCases: readonly DoctorCase[] = [
  { rule: 'proxy-ended', plan: proxy({ begins: -HOUR, ends: -MINUTE }) },
  { rule: 'proxy-ended', name: 'hours ago', plan: proxy({ begins: -4 * HOUR, ends: -2 * HOUR }) },
  { rule: 'proxy-not-begun', plan: proxy({ begins: 4 * MINUTE }) },
  { rule: 'proxy-not-begun', name: 'for hours', plan: proxy({ begins: 2 * HOUR }) },
  {
    rule: 'end-entity-ended',
    plan: { endEntity: { begins: -HOUR, ends: -MINUTE } },
    also: ['proxy-outlives-end-entity'],
  },
  { rule: 'end-entity-not-begun', plan: { endEntity: { begins: 4 * MINUTE } } },
  { rule: 'end-entity-not-begun', name: 'for hours', plan: { endEntity: { begins: 2 * HOUR } } },
  { rule: 'ca-out-of-time', name: 'ended', plan: { authority: { begins: -HOUR, ends: -MINUTE } } },
  { rule: 'ca-out-of-time', name: 'not begun', plan: { authority: { begins: HOUR } } },
  { rule: 'proxy-outlives-end-entity', plan: proxy({ ends: 12 * 24 * HOUR }) },
  {
    rule: 'time-left-glideinwms-minute',
    plan: proxy({ ends: 50 }),
    also: ['time-left-htcondor'],
  },
  {
    rule: 'time-left-htcondor',
    plan: proxy({ ends: 110 }),
    also: ['time-left-glideinwms-half-day'],
  },
  { rule: 'time-left-glideinwms-half-day', plan: proxy({ ends: 11 * HOUR }) },
  { rule: 'ends-after-2049', plan: { endEntity: { ends: 25 * YEAR } } },
  { rule: 'ca-ends-after-2049', plan: { authority: { ends: 25 * YEAR } } },
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
      proxyCertInfo: anyExtension(
        '1.3.6.1.4.1.3536.1.222',
        sequence(sequence(oid('1.3.6.1.5.5.7.21.1'))),
        true,
      ),
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
    rule: 'proxy-cert-info-first',
    plan: proxyExtensions({ keyUsage: undefined, last: keyUsage(['digitalSignature']) }),
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
    plan: proxyExtensions({
      keyUsage: undefined,
      proxyCertInfo: undefined,
      info: proxyCertInfoOf({ policy: 'x' }),
      last: keyUsage(['digitalSignature', 'keyEncipherment']),
    }),
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
