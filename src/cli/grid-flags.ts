/**
 * Translates the flags of grid-proxy-init, grid-proxy-info, grid-proxy-destroy and their VOMS siblings, which have one
 * dash and a word (`-valid 12:00`), to the options of our commands. commander would read `-valid` as five flags.
 */
import { TtsError } from '../base/errors.ts'
import { proxyFields } from './proxy-fields.ts'

/** Our words for a flag. A function gets the value after the flag. */
type Translation = readonly string[] | ((value: string) => readonly string[])

type Flags = Readonly<Record<string, Translation | { readonly refused: string }>>

const noCertificate = {
  refused: 'the proxy comes from an access token, so there is no certificate and no passphrase',
}
const vomsOfService = {
  refused: 'the service itself gives the VOMS attributes: name the VO with -voms',
}
const onlyRfc = { refused: 'the service makes proxies of RFC 3820 only' }
const hours = (value: string): string => (/^\d+$/.test(value) ? `${value}h` : value)

const shared: Flags = {
  debug: ['--verbose'],
  help: ['--help'],
  usage: ['--help'],
  version: ['--version'],
}

const init: Flags = {
  ...shared,
  valid: ['--lifetime'],
  hours: (value) => ['--lifetime', hours(value)],
  out: ['--out'],
  file: ['--out'],
  bits: (value) => ['--key-type', `rsa-${value}`],
  limited: ['--type', 'limited'],
  independent: ['--type', 'independent'],
  pathlength: ['--path-length'],
  'path-length': ['--path-length'],
  pathlen: ['--path-length'],
  quiet: ['--quiet'],
  rfc: [],
  verify: [],
  timeout: ['--timeout'],
  cert: noCertificate,
  key: noCertificate,
  user: noCertificate,
  pwstdin: noCertificate,
  certdir: { refused: 'set X509_CERT_DIR, or name the CA of the server with --cacert' },
  voms: ['--voms'],
  vomses: vomsOfService,
  vomslife: { refused: 'the service gives VOMS attributes the longest life that the VO allows' },
  order: { refused: 'the FQANs come in the order in which -voms names them' },
  old: onlyRfc,
  draft: onlyRfc,
  legacy: onlyRfc,
  proxyver: onlyRfc,
  noregen: { refused: 'the service makes a proxy from the token, not from another proxy' },
}

const info: Flags = {
  help: ['--help'],
  usage: ['--help'],
  version: ['--version'],
  file: ['--file'],
  valid: ['--valid'],
  hours: (value) => ['--valid', hours(value)],
  bits: ['--bits'],
  exists: ['--exists'],
  ...Object.fromEntries([...proxyFields, 'all', 'text'].map((name) => [name, [`--${name}`]])),
  acexists: ['--acexists'],
  acissuer: { refused: '--json has the issuer of the VOMS attributes' },
  acsubject: { refused: 'the subject of the VOMS attributes is that of -identity' },
}

const destroy: Flags = {
  help: ['--help'],
  usage: ['--help'],
  version: ['--version'],
  file: ['--file'],
  dryrun: ['--dry-run'],
  dry: ['--dry-run'],
  debug: [],
  default: ['--default'],
}

const byCommand: Readonly<Record<string, Flags>> = { init, info, destroy }

/**
 * Returns the words with all flags of `tts proxy …` translated.
 *
 * @throws {TtsError} `invalid_request` (a flag for which there is no counterpart)
 */
export function translateGridFlags(argv: readonly string[]): readonly string[] {
  const proxy = wordIndex(argv, 0)
  const command = wordIndex(argv, proxy + 1)
  const flags = argv[proxy] === 'proxy' ? byCommand[argv[command] ?? ''] : undefined
  if (flags === undefined) return argv
  const translated = argv.slice(0, command + 1)
  for (let index = command + 1; index < argv.length; index += 1) {
    const word = argv[index] ?? ''
    if (word === '--') return [...translated, ...argv.slice(index)]
    const flag = readFlag(flags, word)
    const needsValue = typeof flag?.translation === 'function' && flag.value === undefined
    if (needsValue) index += 1
    translated.push(...translateFlag(word, flag, argv[index]))
  }
  return translated
}

/** Returns the index of the first word from `start` that is not an option of all commands. */
function wordIndex(argv: readonly string[], start: number): number {
  let index = start
  while (argv[index]?.startsWith('-'))
    index += ['-c', '--config'].includes(argv[index] ?? '') ? 2 : 1
  return index
}

interface Flag {
  readonly translation: Flags[string]
  /** The value in the same word (`-valid=12:00`). */
  readonly value: string | undefined
}

/** Returns the flag that a word is, with one dash or two; undefined for all other words. */
function readFlag(flags: Flags, word: string): Flag | undefined {
  const [, name = '', value] = /^--?([a-z][a-z-]+)(?:=(.*))?$/s.exec(word) ?? []
  const translation = Object.hasOwn(flags, name) ? flags[name] : undefined
  return translation === undefined ? undefined : { translation, value }
}

function translateFlag(
  word: string,
  flag: Flag | undefined,
  next: string | undefined,
): readonly string[] {
  if (flag === undefined) return [word]
  const { translation, value } = flag
  if ('refused' in translation)
    throw new TtsError('invalid_request', `${word}: ${translation.refused}`, {
      remedy: 'Leave the flag out. `--help` lists the options.',
    })
  if (typeof translation === 'function') return translation(value ?? next ?? '')
  const [option, ...more] = translation
  return option === undefined || value === undefined ? translation : [`${option}=${value}`, ...more]
}
