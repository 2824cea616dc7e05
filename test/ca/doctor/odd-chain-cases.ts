/** Proxy files with odd chains and names. */
import { basicConstraints, keyUsage, proxyCertInfo } from '../../../ca/extensions.ts'
import { withCommonName } from '../../../ca/name.ts'
import { parseSlashDn } from '../../../ca/name-text.ts'
import { toPem } from '../../../ca/pem.ts'
import {
  baseName,
  buildChain,
  type ChainPlan,
  type Plan,
} from '../../support/certificate-builder.ts'
import { vomsAttributes } from '../../support/voms-attributes.ts'
import { edit, type OddCase } from './odd-files.ts'

const proxy = (plan: Plan): ChainPlan => ({ proxies: [plan] })
const proxyExtensions = (extensions: NonNullable<Plan['extensions']>): ChainPlan =>
  proxy({ extensions })
const named = (commonName: string): ChainPlan => ({
  endEntity: { subject: withCommonName(baseName, commonName) },
})
const unrelated = async (count: number): Promise<string> => {
  const chain = await buildChain({ authority: { subject: withCommonName(baseName, 'Other CA') } })
  return toPem('CERTIFICATE', chain.authority.certificate.der).repeat(count)
}

const chainOf = (count: number): ChainPlan => ({
  proxies: Array.from({ length: count }, () => ({})),
})

export const longCases: readonly OddCase[] = [
  { name: '5 proxies', plan: chainOf(5), rules: [] },
  { name: '8 proxies', plan: chainOf(8), rules: [] },
  { name: '9 proxies', plan: chainOf(9), rules: [] },
  { name: '12 proxies', plan: chainOf(12), rules: ['file-chain-too-deep'] },
  { name: '19 proxies', plan: chainOf(19), rules: ['file-chain-too-deep'] },
  { name: '22 proxies', plan: chainOf(22), rules: ['file-chain-too-deep'] },
  {
    name: '20 certificates in all',
    text: async ({ text }) => text + (await unrelated(18)),
    rules: ['file-unrelated-certificate'],
  },
  {
    name: '21 certificates in all',
    text: async ({ text }) => text + (await unrelated(19)),
    rules: ['file-unrelated-certificate'],
  },
  {
    name: '40 certificates in all',
    text: async ({ text }) => text + (await unrelated(38)),
    rules: ['file-unrelated-certificate'],
  },
  {
    name: '105 certificates in all',
    text: async ({ text }) => text + (await unrelated(103)),
    rules: ['file-unrelated-certificate'],
  },
  {
    name: 'proxy without ProxyCertInfo',
    plan: proxyExtensions({ proxyCertInfo: undefined }),
    rules: ['proxy-not-rfc3820'],
  },
  {
    name: 'path length 0',
    plan: proxyExtensions({ proxyCertInfo: proxyCertInfo('impersonation', 0) }),
    rules: ['proxy-path-length-short'],
  },
  {
    name: 'path length 0 of the CA',
    plan: { authority: { extensions: { basicConstraints: basicConstraints({ pathLength: 0 }) } } },
    rules: [],
  },
  {
    name: 'EC throughout',
    plan: {
      authority: { key: 'ec-p256' },
      endEntity: { key: 'ec-p256' },
      proxies: [{ key: 'ec-p256' }],
    },
    rules: ['key-ec-authority', 'key-ec-end-entity', 'key-ec-proxy'],
  },
  {
    name: 'intermediate with 1024 bits',
    plan: { intermediate: { key: 'rsa-1024' } },
    rules: ['crl-missing-above', 'key-rsa-too-small'],
  },
  {
    name: 'EEC with 512 bits',
    plan: { endEntity: { key: 'rsa-512' } },
    rules: ['key-rsa-too-small'],
  },
  { name: 'SHA-1 in the root', plan: { authority: { signature: 'sha1' } }, rules: [] },
  {
    name: 'SHA-1 in the intermediate',
    plan: { intermediate: { signature: 'sha1' } },
    rules: ['digest-weak'],
  },
  { name: 'PSS in the CA', plan: { authority: { signature: 'pss' } }, rules: [] },
  {
    name: 'keyUsage of the EEC with keyCertSign',
    plan: {
      endEntity: { extensions: { keyUsage: keyUsage(['digitalSignature', 'keyCertSign']) } },
    },
    rules: [],
  },
]

/** Not for the verdict test: no VOMS server signed these attributes, so tools refuse even those in time. */
export const vomsCases: readonly OddCase[] = [
  {
    name: 'VOMS attributes',
    plan: (now) => proxyExtensions({ voms: vomsAttributes(now, -3600, 3600 * 12) }),
    rules: [],
  },
  {
    name: 'VOMS attributes that have ended',
    plan: (now) => proxyExtensions({ voms: vomsAttributes(now, -7200, -3600) }),
    rules: ['voms-attributes-ended', 'voms-attributes-without-effect'],
  },
  {
    name: 'VOMS attributes of tomorrow',
    plan: (now) => proxyExtensions({ voms: vomsAttributes(now, 86_400, 2 * 86_400) }),
    rules: ['voms-attributes-ended', 'voms-attributes-without-effect'],
  },
]

const personCase = (name: string, ...rules: readonly string[]): OddCase => ({
  name: `EEC named ${name}`,
  plan: named(name),
  rules,
})
const authorityCase = (name: string, ...rules: readonly string[]): OddCase => ({
  name: `CA named ${name}`,
  plan: { authority: { subject: withCommonName(baseName, name) } },
  rules,
})
/** The name of the CA in its policy with a backslash before each backslash and apostrophe, as the remedy says. */
const escapedCase = (name: string): OddCase => ({
  ...authorityCase(name),
  name: `CA named ${name}, escaped in its policy`,
  files: edit('.signing_policy', (text) =>
    text.replace(
      /^access_id_CA X509 '(.*)'$/m,
      (_, authority: string) => `access_id_CA X509 '${authority.replaceAll(/[\\']/g, '\\$&')}'`,
    ),
  ),
})

export const nameCases: readonly OddCase[] = [
  personCase('robot/jane', 'name-map-file', 'name-slash-plus-backslash'),
  personCase('a+b', 'name-map-file', 'name-slash-plus-backslash'),
  personCase('say "hi"', 'name-map-file', 'name-quote', 'name-slash-plus-backslash'),
  personCase('a\\b', 'name-map-file', 'name-slash-plus-backslash'),
  personCase('Ren\u00e9', 'name-not-ascii'),
  personCase('\u4e2d\u6587', 'name-not-ascii'),
  personCase('Jane (test)', 'name-parentheses'),
  ...["O'Neill", 'a*b', 'a#b', '<x>', 'a;b', 'x,y', ' lead', 'trail ', 'a&b', 'CN=proxy'].map(
    (name) => personCase(name),
  ),
  {
    name: 'two values in one RDN',
    plan: {
      endEntity: {
        subject: [
          ...baseName,
          [...parseSlashDn('/CN=Jane').flat(), ...parseSlashDn('/UID=jane').flat()],
        ],
      },
    },
    rules: ['name-two-in-one', 'name-uid'],
  },
  {
    name: 'EEC named email',
    plan: {
      endEntity: { subject: [...baseName, ...parseSlashDn('/CN=Jane/emailAddress=j@a.example')] },
    },
    rules: ['name-email-or-serial-number'],
  },
  authorityCase('CA/x', 'ca-name-not-sayable'),
  authorityCase('CA+x', 'ca-name-not-sayable'),
  authorityCase('Caf\u00e9 CA', 'ca-name-not-sayable'),
  authorityCase("O'Neill CA", 'ca-name-not-sayable', 'signing-policy-missing'),
  ...['CA/x', 'CA+x', 'Caf\u00e9 CA', "O'Neill CA"].map((name) => escapedCase(name)),
  ...['CA "x"', 'CA\\x', 'CA (x)', 'CA*', 'CA #1'].map((name) => authorityCase(name)),
]
