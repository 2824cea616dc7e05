/** Trust directories with odd CRLs. */
import {
  type Asn1Node,
  explicit,
  implicitConstructed,
  implicitPrimitive,
  sequence,
  smallInteger,
} from '../../../ca/asn1.ts'
import { authorityKeyIdentifier, crlDistributionPoint, keyUsage } from '../../../ca/extensions.ts'
import { nameNode } from '../../../ca/name.ts'
import { authorityName, type BuiltChain, keyId } from '../../support/certificate-builder.ts'
import { anyExtension, unknownExtension } from '../../support/extensions.ts'
import {
  all,
  BOM,
  edit,
  type FilesChange,
  makeCrl,
  makeExtendedCrl,
  makeWeakCrl,
  type OddCase,
  pemToDer,
  rename,
  withoutCrls,
  withoutFile,
  writeBoth,
} from './odd-files.ts'

/** The reason keyCompromise alone, as bit string. */
const KEY_COMPROMISE = [6, 0x40]
const place = 'http://ca.example/crl'

const extended = (...extensions: readonly Asn1Node[]): FilesChange =>
  writeBoth('.r0', (chain) => makeExtendedCrl(chain, { extensions }))

/** issuingDistributionPoint (RFC 5280 section 5.2.5) with one of its booleans, [1] to [5], or a name of one URI. */
const distributionPoint = (part: number | 'name', critical = true): Asn1Node =>
  anyExtension(
    '2.5.29.28',
    sequence(
      part === 'name'
        ? implicitConstructed(0, [
            implicitConstructed(0, [implicitPrimitive(6, Buffer.from(place))]),
          ])
        : implicitPrimitive(part, Buffer.from(part === 3 ? KEY_COMPROMISE : [255])),
    ),
    critical,
  )
const deltaOf = anyExtension('2.5.29.27', smallInteger(6), true)
const entryWith = (entryExtension: Asn1Node): FilesChange =>
  writeBoth('.r0', (chain) => makeExtendedCrl(chain, { entryExtension }))
const certificateIssuer = anyExtension(
  '2.5.29.29',
  sequence(explicit(4, nameNode(authorityName))),
  true,
)

const keyIdOf = ({ authority }: BuiltChain): Buffer => keyId(authority.privateKey)

export const oddCrlCases: readonly OddCase[] = [
  {
    name: 'CRL with a critical extension',
    files: extended(unknownExtension(true)),
    rules: ['crl-not-usable'],
  },
  { name: 'CRL with an unknown extension', files: extended(unknownExtension(false)), rules: [] },
  {
    name: 'CRL for CAs only',
    files: extended(distributionPoint(2)),
    rules: ['crl-not-usable'],
  },
  {
    name: 'CRL for CAs only, not critical',
    files: extended(distributionPoint(2, false)),
    rules: ['crl-not-usable'],
  },
  {
    name: 'CRL for EECs only',
    files: extended(distributionPoint(1)),
    rules: ['crl-not-usable'],
  },
  {
    name: 'CRL for EECs only, not critical',
    files: extended(distributionPoint(1, false)),
    rules: ['crl-not-usable'],
  },
  {
    name: 'CRL for attributes only',
    files: extended(distributionPoint(5)),
    rules: ['crl-not-usable'],
  },
  {
    name: 'indirect CRL',
    files: extended(distributionPoint(4)),
    rules: ['crl-not-usable'],
  },
  {
    name: 'CRL with the name of its place',
    files: extended(distributionPoint('name')),
    rules: ['crl-not-usable'],
  },
  {
    name: 'CRL with the name of its place, not critical',
    files: extended(distributionPoint('name', false)),
    rules: ['crl-not-usable'],
  },
  { name: 'delta CRL', files: extended(deltaOf), rules: [] },
  {
    name: 'CRL for some reasons only',
    files: extended(distributionPoint(3)),
    rules: ['crl-not-usable'],
  },
  {
    name: 'CRL for EECs only, of a root above an intermediate',
    plan: { intermediate: {} },
    files: extended(distributionPoint(1)),
    rules: ['crl-not-usable'],
  },
  {
    name: 'CRL for CAs only, of a root above an intermediate',
    plan: { intermediate: {} },
    files: extended(distributionPoint(2)),
    rules: [],
  },
  {
    name: 'CRL with the name of its place, which the EEC has',
    plan: { endEntity: { extensions: { point: crlDistributionPoint(place) } } },
    files: extended(distributionPoint('name')),
    rules: ['crl-not-usable'],
  },
  {
    name: 'CRL with the name of its place, which EEC and root have',
    plan: {
      authority: { extensions: { point: crlDistributionPoint(place) } },
      endEntity: { extensions: { point: crlDistributionPoint(place) } },
    },
    files: extended(distributionPoint('name')),
    rules: [],
  },
  {
    name: 'CRL names another key',
    files: writeBoth('.r0', (chain) =>
      makeExtendedCrl(chain, {
        replace: [authorityKeyIdentifier(Buffer.alloc(20, 7))],
      }),
    ),
    rules: ['crl-not-usable'],
  },
  {
    name: 'CRL with a critical extension as .r0, good .r1',
    files: all(rename('.r0', '.r1'), extended(unknownExtension(true))),
    rules: ['crl-not-usable'],
  },
  {
    name: 'CRL with a critical key identifier',
    files: writeBoth('.r0', (chain) =>
      makeExtendedCrl(chain, {
        replace: [anyExtension('2.5.29.35', sequence(implicitPrimitive(0, keyIdOf(chain))), true)],
      }),
    ),
    rules: ['crl-not-usable'],
  },
  {
    name: 'CRL with a key identifier that is a list',
    files: writeBoth('.r0', (chain) =>
      makeExtendedCrl(chain, {
        replace: [anyExtension('2.5.29.35', sequence(implicitConstructed(0, [])))],
      }),
    ),
    rules: ['crl-not-usable'],
  },
  {
    name: 'CRL with a critical number',
    files: writeBoth('.r0', (chain) =>
      makeExtendedCrl(chain, { replace: [anyExtension('2.5.29.20', smallInteger(7), true)] }),
    ),
    rules: ['crl-not-usable'],
  },
  {
    name: 'CRL with a critical extension in an entry',
    files: entryWith(unknownExtension(true)),
    rules: ['crl-not-usable'],
  },
  {
    name: 'CRL with the issuer of an entry',
    files: entryWith(certificateIssuer),
    rules: [],
  },
  { name: 'CRL empty', files: edit('.r0', () => ''), rules: ['crl-unreadable'] },
  { name: 'CRL in DER', files: edit('.r0', pemToDer), rules: ['crl-not-pem'] },
  {
    name: 'CRL indented',
    files: edit('.r0', (t) => t.replace(/^(?=.)/gm, '  ')),
    rules: ['crl-unreadable'],
  },
  {
    name: 'CRL with a blank line in the middle',
    files: edit('.r0', (t) => t.replace(/^((.*\n){3})/, '$1\n')),
    rules: ['crl-unreadable'],
  },
  { name: 'CRL with byte order mark', files: edit('.r0', (t) => BOM + t), rules: [] },
  { name: 'CRL with CRLF', files: edit('.r0', (t) => t.replaceAll('\n', '\r\n')), rules: [] },
  { name: 'CRL with text before', files: edit('.r0', (t) => `# fetched\n${t}`), rules: [] },
  { name: 'CRL as .r00 only', files: rename('.r0', '.r00'), rules: ['crl-missing-above'] },
  { name: 'CRL as .r1 only', files: rename('.r0', '.r1'), rules: ['crl-missing-above'] },
  {
    name: 'expired .r0, good .r1',
    files: all(
      rename('.r0', '.r1'),
      writeBoth('.r0', (chain) => makeCrl(chain, { endsInDays: -2 })),
    ),
    rules: [],
  },
  {
    name: 'good .r0, expired .r1',
    files: writeBoth('.r1', (chain) => makeCrl(chain, { endsInDays: -2 })),
    rules: [],
  },
  {
    name: '.r0 of a namesake, good .r1',
    files: all(
      rename('.r0', '.r1'),
      writeBoth('.r0', (chain) => makeCrl(chain, { byNamesake: true })),
    ),
    rules: ['crl-bad-signature'],
  },
  {
    name: '.r0 of a namesake',
    files: writeBoth('.r0', (chain) => makeCrl(chain, { byNamesake: true })),
    rules: ['crl-bad-signature'],
  },
  {
    name: 'good .r0, newer .r1 of a namesake',
    files: writeBoth('.r1', (chain) => makeCrl(chain, { beganDaysAgo: 0.5, byNamesake: true })),
    rules: [],
  },
  {
    name: 'good .r0, newer .r1 that has ended',
    files: writeBoth('.r1', (chain) => makeCrl(chain, { beganDaysAgo: 0.5, endsInDays: -0.1 })),
    rules: [],
  },
  {
    name: 'revoked in a newer .r1',
    files: writeBoth('.r1', (chain) => makeCrl(chain, { beganDaysAgo: 0.5, revoke: true })),
    rules: ['crl-revoked'],
  },
  {
    name: 'revoked only in an older .r1',
    files: writeBoth('.r1', (chain) => makeCrl(chain, { revoke: true })),
    rules: ['crl-revoked'],
  },
  {
    name: 'revoked in an expired CRL',
    files: writeBoth('.r0', (chain) => makeCrl(chain, { endsInDays: -2, revoke: true })),
    rules: ['crl-ended', 'crl-ended-where-required', 'crl-revoked'],
  },
  {
    name: 'CRL under the old hash only',
    files: withoutFile('.r0', 'new'),
    rules: ['crl-missing-above'],
  },
  {
    name: 'CRL under the new hash only',
    files: withoutFile('.r0', 'old'),
    rules: [],
  },
  {
    name: 'CRL missing at the root',
    plan: { intermediate: {} },
    files: withoutFile('.r0'),
    rules: ['crl-missing-above'],
  },
  {
    name: 'CRL missing at the intermediate',
    plan: { intermediate: {} },
    files: all(
      withoutCrls,
      writeBoth('.r0', (chain) => makeCrl(chain)),
    ),
    rules: ['crl-missing-above'],
  },
  {
    name: 'no cRLSign and no CRL',
    plan: { authority: { extensions: { keyUsage: keyUsage(['keyCertSign']) } } },
    files: withoutCrls,
    rules: ['ca-no-crl-sign'],
  },
  {
    name: 'no cRLSign and a CRL',
    plan: { authority: { extensions: { keyUsage: keyUsage(['keyCertSign']) } } },
    rules: ['ca-no-crl-sign'],
  },
  {
    name: 'weak CA with a CRL',
    plan: { authority: { key: 'rsa-1024' } },
    files: writeBoth('.r0', makeWeakCrl),
    rules: ['key-rsa-too-small'],
  },
  { name: 'no CRL and an intermediate', plan: { intermediate: {} }, files: withoutCrls, rules: [] },
]
