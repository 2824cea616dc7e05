import { sequence, smallInteger } from '../../ca/asn1.ts'
import { basicConstraints, keyUsage, proxyCertInfo } from '../../ca/extensions.ts'
import { anyExtension, unknownExtension } from '../support/extensions.ts'
import { type ChainCase, proxyCases } from './chain-proxy-cases.ts'

const limited = { extensions: { proxyCertInfo: proxyCertInfo('limited', undefined) } }
const independent = { extensions: { proxyCertInfo: proxyCertInfo('independent', undefined) } }
const HOUR = 3600
/** One row a rule, and good ones. */
export const chainCases: readonly ChainCase[] = [
  { name: 'EEC and proxy', plan: {}, problems: [] },
  { name: 'EEC alone', plan: { proxies: [] }, problems: [] },
  { name: 'three proxies', plan: { proxies: [{}, {}, {}] }, problems: [] },
  { name: 'intermediate CA', plan: { intermediate: {} }, problems: [] },
  {
    name: 'EC keys all through',
    plan: {
      authority: { key: 'ec-p384' },
      endEntity: { key: 'ec-p256' },
      proxies: [{ key: 'ec-p256' }],
    },
    problems: [],
  },
  { name: 'limited on limited', plan: { proxies: [limited, limited] }, problems: [] },
  { name: 'limited signs independent', plan: { proxies: [limited, independent] }, problems: [] },
  {
    name: 'proxy path length that is kept',
    plan: { proxies: [{ extensions: { proxyCertInfo: proxyCertInfo('impersonation', 1) } }, {}] },
    problems: [],
  },
  {
    name: 'proxies do not count against the CA path length',
    plan: { intermediate: {}, proxies: [{}, {}] },
    problems: [],
  },
  {
    name: 'ends this very second',
    plan: { proxies: [{ ends: 0 }] },
    problems: [],
    openssl: 'refuses',
  },

  {
    name: 'proxy with a broken signature',
    plan: { proxies: [{ brokenSignature: true }] },
    problems: ['0 bad_signature'],
  },
  {
    name: 'EEC with a broken signature',
    plan: { endEntity: { brokenSignature: true } },
    problems: ['1 bad_signature'],
  },
  {
    name: 'proxy has ended',
    plan: { proxies: [{ begins: -HOUR, ends: -60 }] },
    problems: ['0 expired'],
  },
  {
    name: 'proxy begins later',
    plan: { proxies: [{ begins: 60 }] },
    problems: ['0 not_yet_valid'],
  },
  {
    name: 'EEC has ended',
    plan: { endEntity: { begins: -HOUR, ends: -60 } },
    problems: ['1 expired'],
  },
  {
    name: 'CA has ended',
    plan: { authority: { begins: -HOUR, ends: -60 } },
    problems: ['2 expired'],
  },
  {
    name: 'RSA-1024 in the proxy',
    plan: { proxies: [{ key: 'rsa-1024' }] },
    problems: ['0 weak_key'],
    openssl: 'accepts',
  },
  {
    name: 'RSA-1024 in the EEC',
    plan: { endEntity: { key: 'rsa-1024' } },
    problems: ['1 weak_key'],
    openssl: 'accepts',
  },
  {
    name: 'SHA-1 in the proxy',
    plan: { proxies: [{ signature: 'sha1' }] },
    problems: ['0 weak_digest'],
    openssl: 'accepts',
  },
  {
    name: 'MD5 in the EEC',
    plan: { endEntity: { signature: 'md5' } },
    problems: ['1 weak_digest'],
    openssl: 'accepts',
  },
  {
    name: 'version 1 EEC',
    plan: {
      endEntity: {
        version: 1,
        extensions: {
          basicConstraints: undefined,
          keyUsage: undefined,
          extKeyUsage: undefined,
          subjectKeyIdentifier: undefined,
          authorityKeyIdentifier: undefined,
        },
      },
    },
    problems: ['1 bad_version'],
    openssl: 'accepts',
  },
  {
    name: 'unknown critical extension in the EEC',
    plan: { endEntity: { extensions: { other: unknownExtension(true) } } },
    problems: ['1 unknown_critical_extension'],
  },
  {
    name: 'unknown extension in the EEC',
    plan: { endEntity: { extensions: { other: unknownExtension(false) } } },
    problems: [],
  },
  {
    name: 'unknown critical extension in the proxy',
    plan: { proxies: [{ extensions: { other: unknownExtension(true) } }] },
    problems: ['0 unknown_critical_extension'],
  },
  {
    name: 'extension twice',
    plan: { endEntity: { extensions: { again: keyUsage(['digitalSignature']) } } },
    problems: ['1 duplicate_extension'],
  },
  {
    name: 'unreadable keyUsage',
    plan: {
      endEntity: { extensions: { keyUsage: anyExtension('2.5.29.15', smallInteger(1), true) } },
    },
    problems: ['1 malformed_extension'],
  },
  {
    name: 'name constraints',
    openssl: 'accepts',
    plan: {
      intermediate: { extensions: { constraints: anyExtension('2.5.29.30', sequence(), true) } },
    },
    problems: ['2 constraints_not_evaluated'],
  },
  {
    name: 'intermediate is no CA',
    plan: { intermediate: { extensions: { basicConstraints: basicConstraints() } } },
    problems: ['2 not_a_ca'],
  },
  {
    name: 'CA without basicConstraints',
    plan: { authority: { extensions: { basicConstraints: undefined } } },
    problems: ['2 not_a_ca'],
  },
  {
    name: 'CA without keyCertSign',
    plan: { intermediate: { extensions: { keyUsage: keyUsage(['cRLSign']) } } },
    problems: ['2 no_key_cert_sign'],
  },
  {
    name: 'CA path length',
    plan: {
      authority: { extensions: { basicConstraints: basicConstraints({ pathLength: 0 }) } },
      intermediate: {},
    },
    problems: ['3 path_length'],
  },
  ...proxyCases,
]
