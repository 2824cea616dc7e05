/** Trust directories with odd CRLs. */
import { keyUsage } from '../../../ca/extensions.ts'
import {
  all,
  BOM,
  edit,
  makeCrl,
  makeWeakCrl,
  type OddCase,
  pemToDer,
  rename,
  withoutCrls,
  withoutFile,
  writeBoth,
} from './odd-files.ts'

export const oddCrlCases: readonly OddCase[] = [
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
