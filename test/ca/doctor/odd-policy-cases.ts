/** Trust directories with odd signing_policy and namespaces files. */
import { formatSlashDn } from '../../../ca/name-text.ts'
import { authorityName } from '../../support/certificate-builder.ts'
import {
  all,
  BOM,
  edit,
  type FilesChange,
  type OddCase,
  withoutFile,
  writeBoth,
} from './odd-files.ts'

const root = formatSlashDn(authorityName)
const editPolicy = (change: (text: string) => string): FilesChange =>
  edit('.signing_policy', change)

/** Without namespaces caNl-Java goes by the signing_policy. */
const withoutNamespaces = (change: (text: string) => string): FilesChange =>
  all((files) => files.filter(({ name }) => !name.endsWith('.namespaces')), editPolicy(change))

const namespacesOf = (text: string): FilesChange => edit('.namespaces', () => `${text}\n`)

/** A long policy of other CAs, then one that does not let ours sign. */
const forbiddenAtTheEnd =
  `access_id_CA X509 '/CN=other'\npos_rights globus CA:sign\ncond_subjects globus '"/CN=x"'\n`.repeat(
    2000,
  ) + `access_id_CA X509 '${root}'\npos_rights globus CA:sign\ncond_subjects globus '"/CN=x*"'\n`

export const oddPolicyCases: readonly OddCase[] = [
  {
    name: 'comment lines',
    files: editPolicy((t) => `# policy\n\n${t.replace('\npos', '\n# rights\n pos')}# end\n`),
    rules: [],
  },
  {
    name: 'comments at the end of lines',
    files: editPolicy((t) => t.replace(/(?<=\S)\n/g, ' # why\n')),
    rules: [],
  },
  {
    name: 'a comment after the CA',
    files: editPolicy((t) => t.replace(/^(access_id_CA.*)$/m, '$1 # our CA')),
    rules: [],
  },
  {
    name: 'a comment after the rights',
    files: editPolicy((t) => t.replace(/^(pos_rights.*)$/m, '$1 # sign')),
    rules: [],
  },
  {
    name: 'a comment after the subjects',
    files: editPolicy((t) => t.replace(/^(cond_subjects.*)$/m, '$1 # all')),
    rules: [],
  },
  {
    name: 'byte order mark in the policy',
    files: editPolicy((t) => BOM + t),
    rules: ['signing-policy-unexpected-word'],
  },
  {
    name: 'byte order mark and a comment in the policy',
    files: editPolicy((t) => `${BOM}# policy\n${t}`),
    rules: ['signing-policy-unexpected-word'],
  },
  { name: 'policy with CRLF', files: editPolicy((t) => t.replaceAll('\n', '\r\n')), rules: [] },
  {
    name: 'policy with tabs',
    files: editPolicy((t) => t.replace(/ +(?=[A-Z'g])/g, '\t')),
    rules: [],
  },
  { name: 'policy indented', files: editPolicy((t) => t.replace(/^(?=\S)/gm, '   ')), rules: [] },
  {
    name: 'policy empty',
    files: editPolicy(() => ''),
    rules: ['signing-policy-forbids', 'signing-policy-without-own-name'],
  },
  {
    name: 'policy of comments only',
    files: editPolicy(() => '# nothing\n'),
    rules: ['signing-policy-forbids', 'signing-policy-without-own-name'],
  },
  {
    name: 'policy with a word that is not known',
    files: editPolicy((t) => `${t}\nfoo bar baz\n`),
    rules: ['signing-policy-unexpected-word'],
  },
  {
    name: 'policy of another CA before',
    files: editPolicy(
      (t) =>
        `access_id_CA X509 '/CN=other'\npos_rights globus CA:sign\ncond_subjects globus '"/CN=x*"'\n\n${t}`,
    ),
    rules: [],
  },
  {
    name: 'policy of another CA only',
    files: editPolicy((t) =>
      t.replace('CN=TTS-CA', 'CN=XXX-CA').replace(/'\/C=EU.*TTS-CA'/, "'/CN=other'"),
    ),
    rules: ['signing-policy-forbids', 'signing-policy-without-own-name'],
  },
  {
    name: 'policy in capitals',
    files: editPolicy((t) => t.replace(/\/C=EU\/O=INDIGO\/OU=TTS\/\*/, '/c=eu/o=indigo/ou=tts/*')),
    rules: [],
  },
  {
    name: 'policy with two patterns',
    files: editPolicy((t) => t.replace(/globus( +)'"/, `globus$1'"/C=X/*" "`)),
    rules: [],
  },
  {
    name: 'policy with a single star',
    files: editPolicy((t) => t.replace(/cond_subjects.*/, `cond_subjects globus '"*"'`)),
    rules: [],
  },
  {
    name: 'policy with neg_rights',
    files: editPolicy(
      (t) =>
        `${t}access_id_CA X509 '${root}'\nneg_rights globus CA:sign\ncond_subjects globus '"/CN=x"'\n`,
    ),
    rules: [],
  },
  {
    name: 'policy under the old hash only',
    files: withoutFile('.signing_policy', 'new'),
    rules: ['signing-policy-missing'],
  },
  {
    name: 'policy under the new hash only',
    files: withoutFile('.signing_policy', 'old'),
    rules: [],
  },
  {
    name: 'no policy at the root',
    plan: { intermediate: {} },
    files: withoutFile('.signing_policy'),
    rules: ['signing-policy-missing'],
  },
  {
    name: 'policy of the root forbids the intermediate',
    plan: { intermediate: {} },
    files: writeBoth(
      '.signing_policy',
      () =>
        `access_id_CA X509 '${root}'\npos_rights globus CA:sign\ncond_subjects globus '"${root}"'\n`,
    ),
    rules: ['signing-policy-forbids'],
  },
  {
    name: 'no namespaces',
    files: (files) => files.filter(({ name }) => !name.endsWith('.namespaces')),
    rules: [],
  },
  {
    name: 'namespaces forbid',
    files: edit('.namespaces', (t) =>
      t.replaceAll(/PERMIT +Subject +"[^"]*"/g, 'PERMIT Subject "/CN=x"'),
    ),
    rules: ['namespaces-forbid'],
  },
  {
    name: 'namespaces permit, no policy',
    files: (files) => files.filter(({ name }) => !name.endsWith('.signing_policy')),
    rules: ['signing-policy-missing'],
  },
  {
    name: 'namespaces permit, the policy forbids',
    files: editPolicy((t) => t.replace(/cond_subjects.*/, `cond_subjects globus '"/CN=x*"'`)),
    rules: ['signing-policy-forbids', 'signing-policy-without-own-name'],
  },
  {
    name: 'namespaces permit by a class',
    files: namespacesOf('TO Issuer SELF PERMIT Subject "/C=EU/O=[A-Z]+/OU=(TTS|XXX)/CN=.*"'),
    rules: [],
  },
  {
    name: 'namespaces permit others by a class',
    files: namespacesOf('TO Issuer SELF PERMIT Subject "/C=EU/O=[0-9]+/OU=TTS/CN=.*"'),
    rules: ['namespaces-forbid'],
  },
  {
    name: 'namespaces deny by SELF',
    files: edit('.namespaces', (t) => `${t}TO Issuer SELF DENY Subject ".*"\n`),
    rules: ['namespaces-forbid'],
  },
  {
    name: 'namespaces with a look-ahead that permits',
    files: namespacesOf('TO Issuer SELF PERMIT Subject "/C=EU(?=/).*"'),
    rules: ['namespaces-not-judged'],
  },
  {
    name: 'namespaces forbid, with an error behind',
    files: namespacesOf('TO Issuer SELF PERMIT Subject "/CN=x"\nnonsense'),
    rules: [],
  },
  {
    name: 'namespaces forbid, with tabs',
    files: namespacesOf('TO Issuer SELF\tPERMIT Subject "/CN=x"'),
    rules: [],
  },
  {
    name: 'namespaces of another version forbid',
    files: namespacesOf('#NAMESPACES-VERSION: 2.0\nTO Issuer SELF PERMIT Subject "/CN=x"'),
    rules: [],
  },
  {
    name: 'namespaces forbid, with a comment behind',
    files: namespacesOf('TO Issuer SELF PERMIT Subject "/CN=x" # none of ours'),
    rules: ['namespaces-forbid'],
  },
  {
    name: 'namespaces of 257 KiB',
    files: edit('.namespaces', (t) => t + '#'.repeat(257 * 1024)),
    rules: ['namespaces-not-judged'],
  },
  {
    name: 'a policy of 200 KiB that forbids at its end',
    files: edit('.signing_policy', () => forbiddenAtTheEnd),
    rules: ['signing-policy-forbids', 'signing-policy-without-own-name'],
  },
  { name: 'namespaces are nonsense', files: edit('.namespaces', () => 'nonsense\n'), rules: [] },
  {
    name: 'namespaces of comments only',
    files: edit('.namespaces', () => '# nothing\n'),
    rules: [],
  },
  {
    name: 'no namespaces, and the policy forbids',
    files: withoutNamespaces((t) =>
      t.replace(/cond_subjects.*/, `cond_subjects globus '"/CN=x*"'`),
    ),
    rules: ['signing-policy-forbids', 'signing-policy-without-own-name'],
  },
  {
    name: 'no namespaces, and a question mark in the policy',
    files: withoutNamespaces((t) => t.replace('/OU=TTS/*', '/OU=TT?/*')),
    rules: ['signing-policy-forbids', 'signing-policy-without-own-name'],
  },
  {
    name: 'no namespaces, and no CA:sign in the policy',
    files: withoutNamespaces((t) => t.replace('CA:sign', 'CA:none')),
    rules: ['signing-policy-forbids', 'signing-policy-missing', 'signing-policy-without-own-name'],
  },
  {
    name: 'no namespaces, and a comment behind a directive',
    files: withoutNamespaces((t) => t.replace(/^(pos_rights.*)$/m, '$1 # sign')),
    rules: ['signing-policy-missing'],
  },
  {
    name: 'no namespaces and no policy',
    files: (files) => files.filter(({ name }) => !/\.(namespaces|signing_policy)$/.test(name)),
    rules: ['signing-policy-missing'],
  },
  {
    name: 'no namespaces, and an empty policy',
    files: withoutNamespaces(() => ''),
    rules: ['signing-policy-forbids', 'signing-policy-missing', 'signing-policy-without-own-name'],
  },
  {
    name: 'no namespaces, and a byte order mark in the policy',
    files: withoutNamespaces((t) => BOM + t),
    rules: ['signing-policy-missing', 'signing-policy-unexpected-word'],
  },
]
