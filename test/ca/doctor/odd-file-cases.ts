/** Proxy files with odd lines and modes. */
import { toPem } from '../../../ca/pem.ts'
import { BOM, type OddCase } from './odd-files.ts'
import { blocks, type Illness } from './patient.ts'

const edit =
  (change: (text: string) => string): NonNullable<Illness['text']> =>
  ({ text }) =>
    change(text)
/** Changes the lines of base64 of one block of the file. */
const editBlock = (
  index: number,
  change: (block: string) => string,
): NonNullable<Illness['text']> =>
  edit((text) =>
    blocks(text)
      .map((block, at) => (at === index ? change(block) : block))
      .join(''),
  )

const modeCase = (mode: number, ...rules: readonly string[]): OddCase => ({
  name: `mode ${mode.toString(8)}`,
  fileFacts: { mode },
  rules,
})

export const textCases: readonly OddCase[] = [
  {
    name: 'all lines indented',
    text: edit((t) => t.replace(/^/gm, '  ').trimEnd() + '\n'),
    rules: ['file-pem-lines'],
  },
  {
    name: 'base64 of the proxy indented',
    text: editBlock(0, (b) => b.replace(/^(?!-)/gm, '  ').replace(/ +$/, '')),
    rules: [],
  },
  {
    name: 'base64 of the EEC indented',
    text: editBlock(2, (b) => b.replace(/^(?!-)/gm, '\t').replace(/\t$/, '')),
    rules: [],
  },
  {
    name: 'BEGIN of the proxy indented',
    text: editBlock(0, (b) => ' ' + b),
    rules: ['file-pem-lines'],
  },
  {
    name: 'END of the proxy indented',
    text: editBlock(0, (b) => b.replace('-----END', ' -----END')),
    rules: ['file-pem-lines'],
  },
  {
    name: 'BEGIN of the EEC indented',
    text: editBlock(2, (b) => ' ' + b),
    rules: ['file-pem-lines'],
  },
  {
    name: 'blank line after BEGIN of the proxy',
    text: editBlock(0, (b) => b.replace('-----\n', '-----\n\n')),
    rules: [],
  },
  {
    name: 'blank line in the middle of the proxy',
    text: editBlock(0, (b) => b.replace(/^((.*\n){5})/, '$1\n')),
    rules: ['file-pem-lines'],
  },
  {
    name: 'blank line before END of the proxy',
    text: editBlock(0, (b) => b.replace('-----END', '\n-----END')),
    rules: ['file-pem-lines'],
  },
  {
    name: 'blank line in the middle of the key',
    text: editBlock(1, (b) => b.replace(/^((.*\n){5})/, '$1\n')),
    rules: ['file-pem-lines'],
  },
  {
    name: 'blank line in the middle of the EEC',
    text: editBlock(2, (b) => b.replace(/^((.*\n){5})/, '$1\n')),
    rules: ['file-pem-lines'],
  },
  {
    name: 'double spaced',
    text: edit((t) => t.replaceAll('\n', '\n\n')),
    rules: ['file-pem-lines'],
  },
  { name: 'blank lines between blocks', text: edit((t) => blocks(t).join('\n\n')), rules: [] },
  {
    name: 'trailing blanks',
    text: edit((t) => t.replaceAll('\n', '  \n')),
    rules: ['file-pem-trailing-space'],
  },
  {
    name: 'old Mac line ends',
    text: edit((t) => t.replaceAll('\n', '\r')),
    rules: ['file-pem-lines'],
  },
  {
    name: 'one line of base64 a block',
    text: edit((t) => t.replace(/([^-])\n(?!-)/g, '$1')),
    rules: [],
  },
  {
    name: 'lines of 76 characters',
    text: edit((t) =>
      blocks(t)
        .map((b) => {
          const [begin = '', ...rest] = b.trim().split('\n')
          const end = rest.pop() ?? ''
          return [begin, ...(rest.join('').match(/.{1,76}/g) ?? []), end, ''].join('\n')
        })
        .join(''),
    ),
    rules: [],
  },
  { name: 'byte order mark', text: edit((t) => BOM + t), rules: ['file-byte-order-mark'] },
  { name: 'byte order mark and a first line', text: edit((t) => `${BOM}# proxy\n${t}`), rules: [] },
  {
    name: 'PKCS#8 key',
    text: ({ text, proxies }) => {
      const [a = '', , c = ''] = blocks(text)
      return a + String(proxies[0]?.privateKey.export({ type: 'pkcs8', format: 'pem' })) + c
    },
    rules: ['file-key-pkcs8'],
  },
  {
    name: 'root in the file',
    text: ({ text, authority }) => text + toPem('CERTIFICATE', authority.certificate.der),
    rules: [],
  },
  {
    name: 'EEC twice',
    text: ({ text }) => text + (blocks(text)[2] ?? ''),
    rules: ['file-unrelated-certificate'],
  },
  {
    name: 'label X509 CERTIFICATE',
    text: edit((t) => t.replaceAll(' CERTIFICATE', ' X509 CERTIFICATE')),
    rules: [],
  },
  {
    name: 'four dashes',
    text: editBlock(0, (b) => b.replace('-----BEGIN', '----BEGIN')),
    rules: [],
  },
  { name: 'comment between', text: edit((t) => blocks(t).join('# a comment\n')), rules: [] },
  {
    name: 'openssl text before each',
    text: edit((t) =>
      blocks(t)
        .map((b) => `Certificate:\n    Data:\n        Version: 3 (0x2)\n${b}`)
        .join(''),
    ),
    rules: [],
  },
]

export const modeCases: readonly OddCase[] = [
  modeCase(0o600),
  ...[0o400, 0o500, 0o700, 0o640, 0o644, 0o444, 0o604, 0o660, 0o440, 0o610].map((mode) =>
    modeCase(mode, 'file-mode-not-private'),
  ),
]
