/** Trust directories with odd CA files. */
import { subjectHash } from '../../../ca/name-hash.ts'
import {
  add,
  all,
  BOM,
  edit,
  hashesOf,
  makeCrl,
  makeOtherAuthority,
  type OddCase,
  pemOf,
  rename,
  withoutCrls,
  withoutFile,
  writeBoth,
} from './odd-files.ts'
import { makeNamesake } from './patient.ts'

export const oddCaCases: readonly OddCase[] = [
  { name: 'CA as .1 only', files: rename('.0', '.1'), rules: ['trust-number-missing'] },
  { name: 'CA as .00 only', files: rename('.0', '.00'), rules: ['trust-number-missing'] },
  {
    name: 'CA as .1 behind .00',
    files: all(
      rename('.0', '.1'),
      writeBoth('.00', (chain) => pemOf(chain.authority)),
    ),
    rules: ['trust-number-missing'],
  },
  {
    name: 'CA as .1 behind a namesake',
    files: all(
      rename('.0', '.1'),
      writeBoth('.0', async (chain) => pemOf(await makeNamesake(chain))),
    ),
    rules: ['trust-xrootd-file'],
  },
  {
    name: 'CA as .1 behind an empty .0',
    files: all(
      rename('.0', '.1'),
      writeBoth('.0', () => ''),
    ),
    rules: ['trust-number-missing'],
  },
  {
    name: 'CA as .0 before a namesake',
    files: writeBoth('.1', async (chain) => pemOf(await makeNamesake(chain))),
    rules: [],
  },
  {
    name: 'namesake only',
    files: writeBoth('.0', async (chain) => pemOf(await makeNamesake(chain))),
    rules: ['crl-bad-signature', 'trust-other-key'],
  },
  {
    name: 'CA under the hash of another',
    files: (files, chain) => {
      const [hash, oldHash] = hashesOf(chain)
      return files.map((file) =>
        file.name.endsWith('.0')
          ? { ...file, name: file.name.replace(hash, 'deadbeef').replace(oldHash, 'cafebabe') }
          : file,
      )
    },
    rules: ['trust-wrong-hash'],
  },
  {
    name: 'another CA under the hash',
    files: writeBoth('.0', async (chain) => pemOf(await makeOtherAuthority(chain))),
    rules: ['trust-ca-missing'],
  },
  {
    name: 'hash in capitals',
    files: (files) =>
      files.map((f) => ({ ...f, name: f.name.replace(/^[0-9a-f]{8}/, (h) => h.toUpperCase()) })),
    rules: ['trust-ca-missing'],
  },
  {
    name: 'two CAs in one file, own first',
    files: writeBoth(
      '.0',
      async (chain) => pemOf(chain.authority) + pemOf(await makeOtherAuthority(chain)),
    ),
    rules: ['trust-xrootd-file'],
  },
  {
    name: 'two CAs in one file, own second',
    files: writeBoth(
      '.0',
      async (chain) => pemOf(await makeOtherAuthority(chain)) + pemOf(chain.authority),
    ),
    rules: ['trust-java-file', 'trust-xrootd-file'],
  },
  {
    name: 'CA and its CRL in one file',
    files: all(
      withoutCrls,
      writeBoth('.0', async (chain) => pemOf(chain.authority) + (await makeCrl(chain))),
    ),
    rules: [],
  },
  {
    name: 'intermediate and root in the file of the intermediate',
    plan: { intermediate: {} },
    files: all(withoutFile('.0'), (files, chain) => {
      const { intermediate, authority } = chain
      return files.map((file) =>
        file.name.endsWith('.0') && intermediate
          ? { ...file, content: Buffer.from(pemOf(intermediate) + pemOf(authority)) }
          : file,
      )
    }),
    rules: ['trust-own-file', 'trust-xrootd-file'],
  },
  {
    name: 'text before the CA',
    files: edit('.0', (t) => `# our CA\nsubject= x\n\n${t}`),
    rules: [],
  },
  {
    name: 'byte order mark in the CA',
    files: edit('.0', (t) => BOM + t),
    rules: ['trust-java-file'],
  },
  {
    name: 'byte order mark and text in the CA',
    files: edit('.0', (t) => `${BOM}# our CA\n${t}`),
    rules: [],
  },
  {
    name: 'CA indented',
    files: edit('.0', (t) => t.replace(/^(?=.)/gm, '  ')),
    rules: ['trust-ca-lines'],
  },
  {
    name: 'CA with base64 indented',
    files: edit('.0', (t) => t.replace(/^(?=[^-\n])/gm, '  ')),
    rules: [],
  },
  {
    name: 'CA with blank lines',
    files: edit('.0', (t) => t.replaceAll('\n', '\n\n')),
    rules: ['trust-ca-lines'],
  },
  {
    name: 'CA with a blank line in the middle',
    files: edit('.0', (t) => t.replace(/^((.*\n){5})/, '$1\n')),
    rules: ['trust-ca-lines'],
  },
  {
    name: 'CA with a blank line after BEGIN',
    files: edit('.0', (t) => t.replace('-----\n', '-----\n\n')),
    rules: [],
  },
  { name: 'CA with CRLF', files: edit('.0', (t) => t.replaceAll('\n', '\r\n')), rules: [] },
  {
    name: 'CA with trailing blanks',
    files: edit('.0', (t) => t.replaceAll('\n', '   \n')),
    rules: ['trust-java-file'],
  },
  {
    name: 'CA as X509 CERTIFICATE',
    files: edit('.0', (t) => t.replaceAll(' CERTIFICATE', ' X509 CERTIFICATE')),
    rules: [],
  },
  {
    name: 'CA as TRUSTED CERTIFICATE',
    files: edit('.0', (t) => t.replaceAll(' CERTIFICATE', ' TRUSTED CERTIFICATE')),
    rules: ['trust-xrootd-file'],
  },
  { name: 'CA file empty', files: edit('.0', () => ''), rules: ['trust-ca-unreadable'] },
  { name: 'a broken unrelated CA', files: add('deadbeef.0', 'not a certificate'), rules: [] },
  {
    name: 'a broken unrelated policy',
    files: add('deadbeef.signing_policy', '\u0000\u0001 nonsense'),
    rules: [],
  },
  { name: 'a broken unrelated CRL', files: add('deadbeef.r0', 'nothing'), rules: [] },
  {
    name: 'other CAs beside',
    files: async (files, chain) => {
      const other = await makeOtherAuthority(chain)
      const name = `${subjectHash(other.certificate.subjectNode)}.0`
      return [...files, { name, content: Buffer.from(pemOf(other)) }]
    },
    rules: [],
  },
]
