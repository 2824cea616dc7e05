import { subjectHash, subjectHashOld } from '../../../ca/name-hash.ts'
import { readPem } from '../../../ca/pem.ts'
import type { DirectoryFile } from '../../../ca/trust-directory.ts'
import type { BuiltChain } from '../../support/certificate-builder.ts'
import type { DoctorCase } from './cases.ts'
import { DAY_MS, makeNamesake } from './patient.ts'

type Change = NonNullable<DoctorCase['files']>
const hash = ({ authority }: BuiltChain): string => subjectHash(authority.certificate.subjectNode)
const oldHash = ({ authority }: BuiltChain): string =>
  subjectHashOld(authority.certificate.subjectNode)

const without =
  (names: (chain: BuiltChain) => readonly string[]): Change =>
  (files, chain) =>
    files.filter(({ name }) => !names(chain).some((prefix) => name.startsWith(prefix)))
const changed =
  (suffix: string, change: (content: Buffer) => Buffer): Change =>
  (files) =>
    files.map((file): DirectoryFile =>
      file.name.endsWith(suffix) ? { ...file, content: change(file.content) } : file,
    )
const text =
  (change: (content: string) => string) =>
  (content: Buffer): Buffer =>
    Buffer.from(change(content.toString()))
const toDer = (content: Buffer): Buffer => readPem(content.toString(), 'file')[0]?.der ?? content
const later = (now: Date, milliseconds: number): Date => new Date(now.getTime() + milliseconds)

export const trustCases: readonly DoctorCase[] = [
  { rule: 'trust-ca-missing', files: () => [] },
  {
    rule: 'trust-ca-above-missing',
    plan: { intermediate: {} },
    files: without((chain) => [hash(chain), oldHash(chain)]),
    // caNl-Java wants a policy for the missing CA.
    also: ['signing-policy-missing'],
  },
  { rule: 'trust-hash-missing', files: without((chain) => [`${hash(chain)}.0`]) },
  { rule: 'trust-old-hash-missing', files: without((chain) => [`${oldHash(chain)}.0`]) },
  { rule: 'trust-ca-not-pem', files: changed('.0', toDer) },
  {
    rule: 'trust-ca-unreadable',
    files: (files, chain) =>
      files.map((file) =>
        file.name === `${hash(chain)}.0` || file.name === `${oldHash(chain)}.0`
          ? { ...file, content: Buffer.from('nothing') }
          : file,
      ),
  },
  {
    rule: 'trust-other-key',
    plan: {},
    files: async (files, chain) => {
      const { certificate } = await makeNamesake(chain)
      return files
        .filter(({ name }) => !name.includes('.r'))
        .map((file) =>
          file.name.endsWith('.0') ? { ...file, content: Buffer.from(pem(certificate.der)) } : file,
        )
    },
  },
  { rule: 'signing-policy-missing', files: without((chain) => [`${hash(chain)}.signing_policy`]) },
  {
    rule: 'signing-policy-forbids',
    name: 'another name',
    files: changed(
      '.signing_policy',
      text((policy) => policy.replace('/*', '/CN=TTS-CA" "/C=EU/O=INDIGO/OU=other/*')),
    ),
  },
  {
    rule: 'signing-policy-forbids',
    name: 'a question mark',
    files: changed(
      '.signing_policy',
      text((policy) =>
        policy.replace(
          '"/C=EU/O=INDIGO/OU=TTS/*"',
          '"/C=EU/O=INDIGO/OU=TT?/CN=9*" "/C=EU/O=INDIGO/OU=TTS/CN=TTS-CA"',
        ),
      ),
    ),
  },
  {
    rule: 'signing-policy-forbids',
    name: 'no CA:sign',
    files: changed(
      '.signing_policy',
      text((policy) => policy.replace('CA:sign', 'CA:none')),
    ),
    also: ['signing-policy-without-own-name'],
  },
  {
    rule: 'signing-policy-quotes',
    files: changed(
      '.signing_policy',
      text((policy) =>
        policy.replace(/globus {2}'.*'/, `globus "/C=X/*" "/C=EU/O=INDIGO/OU=TTS/*"`),
      ),
    ),
  },
  {
    rule: 'signing-policy-forbids',
    name: 'the CA in double quotes',
    files: changed(
      '.signing_policy',
      text((policy) => policy.replace(/'(.*TTS-CA)'/, '"$1"')),
    ),
    also: ['signing-policy-without-own-name'],
  },
  {
    rule: 'signing-policy-no-last-newline',
    files: changed(
      '.signing_policy',
      text((policy) => policy.trimEnd()),
    ),
  },
  {
    rule: 'signing-policy-without-own-name',
    files: changed(
      '.signing_policy',
      text((policy) => policy.replace('/*', '/CN=9*')),
    ),
  },
]

export const crlCases: readonly DoctorCase[] = [
  { rule: 'crl-not-pem', files: changed('.r0', toDer) },
  { rule: 'crl-unreadable', files: changed('.r0', () => Buffer.from('nothing')) },
  { rule: 'crl-bad-signature', files: changed('.r0', (content) => forge(content)) },
  {
    rule: 'crl-ended',
    crl: (_chain, now) => ({ nextUpdate: later(now, -1000) }),
    also: ['crl-ended-where-required'],
  },
  {
    rule: 'crl-ended-where-required',
    crl: (_chain, now) => ({ nextUpdate: now }),
    also: ['crl-ended'],
  },
  { rule: 'crl-not-begun', crl: (_chain, now) => ({ thisUpdate: later(now, DAY_MS) }) },
  { rule: 'crl-ends-soon', crl: (_chain, now) => ({ nextUpdate: later(now, DAY_MS / 2) }) },
  {
    rule: 'crl-revoked',
    crl: ({ endEntity }, now) => ({
      entries: [{ serial: endEntity.certificate.serial, revokedAt: now, reason: 'keyCompromise' }],
    }),
  },
  {
    rule: 'crl-missing-above',
    plan: { intermediate: {} },
    files: without((chain) => [`${hash(chain)}.r0`, `${oldHash(chain)}.r0`]),
  },
]

const pem = (der: Buffer): string =>
  `-----BEGIN CERTIFICATE-----\n${der
    .toString('base64')
    .match(/.{1,64}/g)
    ?.join('\n')}\n-----END CERTIFICATE-----\n`

/** A CRL with one bit of its signature turned. */
function forge(content: Buffer): Buffer {
  const der = Buffer.from(toDer(content))
  der[der.length - 1] = (der.at(-1) ?? 0) ^ 1
  return Buffer.from(pem(der).replaceAll('CERTIFICATE', 'X509 CRL'))
}
