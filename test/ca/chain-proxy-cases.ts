import { smallInteger } from '../../ca/asn1.ts'
import type { ChainProblemCode } from '../../ca/chain-link.ts'
import {
  basicConstraints,
  keyUsage,
  proxyCertInfo,
  subjectAltNameUri,
} from '../../ca/extensions.ts'
import { withCommonName } from '../../ca/name.ts'
import { parseSlashDn } from '../../ca/name-text.ts'
import { baseName, type ChainPlan, userName } from '../support/certificate-builder.ts'
import { anyExtension, dnsName, extendedKeyUsage, proxyCertInfoOf } from '../support/extensions.ts'

const limited = { extensions: { proxyCertInfo: proxyCertInfo('limited', undefined) } }

export interface ChainCase {
  readonly name: string
  readonly plan: ChainPlan
  /** Codes with the index of the certificate, in order of the index. */
  readonly problems: readonly `${number} ${ChainProblemCode}`[]
  /** What openssl says, where that differs from what we say; it does not know the rule. */
  readonly openssl?: 'accepts' | 'refuses'
}

/** Rows for RFC 3820. */
export const proxyCases: readonly ChainCase[] = [
  {
    name: 'ProxyCertInfo that is not critical',
    plan: { proxies: [{ extensions: { proxyCertInfo: proxyCertInfoOf({ critical: false }) } }] },
    problems: ['0 proxy_cert_info_not_critical'],
    openssl: 'accepts',
  },
  {
    name: 'ProxyCertInfo twice',
    plan: { proxies: [{ extensions: { again: proxyCertInfo('impersonation', undefined) } }] },
    problems: ['0 duplicate_extension'],
  },
  {
    name: 'unreadable ProxyCertInfo',
    plan: {
      proxies: [
        {
          extensions: { proxyCertInfo: anyExtension('1.3.6.1.5.5.7.1.14', smallInteger(1), true) },
        },
      ],
    },
    problems: ['0 malformed_extension'],
  },
  {
    name: 'anyLanguage',
    plan: {
      proxies: [
        { extensions: { proxyCertInfo: proxyCertInfoOf({ language: '1.3.6.1.5.5.7.21.0' }) } },
      ],
    },
    problems: ['0 proxy_policy_unknown'],
    openssl: 'accepts',
  },
  {
    name: 'unknown language',
    plan: {
      proxies: [
        { extensions: { proxyCertInfo: proxyCertInfoOf({ language: '1.3.6.1.4.1.99999.2' }) } },
      ],
    },
    problems: ['0 proxy_policy_unknown'],
    openssl: 'accepts',
  },
  {
    name: 'policy with inheritAll',
    openssl: 'accepts',
    plan: { proxies: [{ extensions: { proxyCertInfo: proxyCertInfoOf({ policy: 'x' }) } }] },
    problems: ['0 proxy_policy_not_absent'],
  },
  {
    name: 'two CNs more',
    plan: { proxies: [{ subject: withCommonName(withCommonName(userName, '1'), '2') }] },
    problems: ['0 proxy_subject'],
  },
  {
    name: 'another person under the proxy',
    plan: { proxies: [{ subject: withCommonName(withCommonName(baseName, 'eve'), '1') }] },
    problems: ['0 proxy_subject'],
  },
  {
    name: 'an OU more instead of a CN',
    plan: { proxies: [{ subject: [...userName, ...parseSlashDn('/OU=1')] }] },
    problems: ['0 proxy_subject'],
  },
  {
    name: 'the same subject as the issuer',
    plan: { proxies: [{ subject: userName }] },
    problems: ['0 proxy_subject'],
    openssl: 'refuses',
  },
  {
    name: 'proxy path length that is not kept',
    plan: { proxies: [{ extensions: { proxyCertInfo: proxyCertInfo('impersonation', 0) } }, {}] },
    problems: ['1 proxy_path_length'],
  },
  {
    name: 'keyCertSign in the proxy',
    plan: {
      proxies: [{ extensions: { keyUsage: keyUsage(['digitalSignature', 'keyCertSign']) } }],
    },
    problems: ['0 proxy_key_usage'],
  },
  {
    name: 'nonRepudiation in the proxy',
    plan: {
      proxies: [{ extensions: { keyUsage: keyUsage(['digitalSignature', 'nonRepudiation']) } }],
    },
    problems: ['0 proxy_key_usage'],
    openssl: 'accepts',
  },
  {
    name: 'proxy without digitalSignature',
    plan: { proxies: [{ extensions: { keyUsage: keyUsage(['keyEncipherment']) } }] },
    problems: ['0 proxy_key_usage'],
    openssl: 'accepts',
  },
  {
    name: 'EEC without digitalSignature',
    plan: { endEntity: { extensions: { keyUsage: keyUsage(['keyEncipherment']) } } },
    problems: ['0 proxy_issuer_key_usage'],
  },
  {
    name: 'alternative name in the proxy',
    plan: { proxies: [{ extensions: { name: subjectAltNameUri('https://a.example/') } }] },
    problems: ['0 proxy_alternative_name'],
  },
  {
    name: "issuer's alternative name in the proxy",
    plan: { proxies: [{ extensions: { name: dnsName('a.example', '2.5.29.18') } }] },
    problems: ['0 proxy_alternative_name'],
  },
  {
    name: 'proxy that is a CA',
    plan: {
      proxies: [{ extensions: { basicConstraints: basicConstraints({ pathLength: undefined }) } }],
    },
    problems: ['0 proxy_is_ca'],
  },
  {
    name: 'proxy signed by a CA',
    plan: {
      endEntity: {
        extensions: {
          basicConstraints: basicConstraints({ pathLength: undefined }),
          keyUsage: keyUsage(['keyCertSign', 'digitalSignature']),
        },
      },
    },
    problems: ['0 proxy_issuer_is_ca'],
  },
  {
    name: 'EEC signs an EEC',
    plan: { proxies: [{ extensions: { proxyCertInfo: undefined } }] },
    problems: ['1 not_a_ca', '1 no_key_cert_sign'],
  },
  {
    name: 'limited signs full',
    plan: { proxies: [limited, {}] },
    problems: ['0 limited_signs_full'],
    openssl: 'accepts',
  },
  {
    name: 'serverAuth alone is for others to judge',
    plan: { endEntity: { extensions: { extKeyUsage: extendedKeyUsage('1.3.6.1.5.5.7.3.1') } } },
    problems: [],
  },
]
