/** `tts proxy info`: prints the output of grid-proxy-info without Globus; `--explain` diagnoses the proxy. */
import { execFile } from 'node:child_process'
import { open } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { homeDirectory } from '../files/home-directory.ts'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Command } from 'commander'
import { examine, type Finding, formatFindings } from '../../ca/doctor/examine.ts'
import { parseExaminedFile } from '../../ca/doctor/file-lines.ts'
import { CaError } from '../../ca/errors.ts'
import { MAX_PROXY_FILE_LENGTH, type ProxyFile } from '../../ca/proxy-file.ts'
import { describeProxy, formatProxyInfo, type ProxyFacts } from '../../ca/proxy-info.ts'
import { readTrustAnchors } from '../../ca/trust-directory.ts'
import { TtsError } from '../base/errors.ts'
import { isMachineFault } from '../base/system-error.ts'
import { cannotRead } from '../files/file-errors.ts'
import { INPUT_FLAGS } from '../files/input-file.ts'
import { readTrustAnchorDirectory } from '../files/trust-anchor-directory.ts'
import { exitCodes } from './exit-codes.ts'
import { duration, wholeNumberOption } from './duration.ts'
import { toSnakeCase } from './json-output.ts'
import { type FieldOptions, formatCertificates, formatFields } from './proxy-fields.ts'
import { proxyPath, type Terminal } from './terminal.ts'

interface InfoOptions extends FieldOptions {
  readonly file?: string
  readonly exists?: boolean
  readonly acexists?: string
  readonly bits?: number
  readonly all?: boolean
  readonly text?: boolean
  readonly explain?: boolean
  readonly trustAnchors?: string
  readonly as?: string
  readonly valid?: number
  readonly json?: boolean
}

export function proxyInfoCommand(terminal: Terminal): Command {
  const command = new Command('info')
    .argument('[file]', 'the proxy file (default: X509_USER_PROXY, or /tmp/x509up_u$ID)')
    .description(
      'show the content of a proxy file: subject, issuer, identity, type, strength, path, time left',
    )
    .option('--explain', 'show which relying parties would refuse the proxy, why, and what to do')
    .option(
      '--trust-anchors <DIR>',
      'trust anchor directory for --explain (default: X509_CERT_DIR, ~/.globus/certificates, /etc/grid-security/certificates)',
    )
    .option(
      '--as <USER>',
      'judge the mode and owner of the file for this user, by name or number (default: yourself; for root, the owner of the file)',
    )
    .option(
      '--valid <TIME>',
      'exit with code 1 unless the proxy is valid now and for at least this long: 12h30m, or 12:00',
      duration,
    )
  return addGridOptions(command)
    .addHelpText(
      'after',
      `
The flags of grid-proxy-info work with one dash too: -file F, -timeleft, -exists -valid H:M, -hours N, -subject, -all;
and of voms-proxy-info -vo, -fqan, -actimeleft, -acexists VO.

Exit codes: 0 success, 1 the proxy has expired or expires within --valid, 5 no such file,
6 (with --explain) a relying party would refuse it.

Examples:
  tts proxy info
  tts proxy info --valid 12h && echo good for half a day
  tts proxy info -exists -valid 12:00 || tts proxy init
  tts proxy info --explain --trust-anchors /etc/grid-security/certificates gwms_proxy
  sudo tts proxy info --explain --as alice`,
    )
    .action(async (file: string | undefined, _options, self: Command) => {
      const options = self.optsWithGlobals<InfoOptions>()
      const user = options.as === undefined ? undefined : await findUser(options.as)
      const path =
        file ??
        options.file ??
        proxyPath(user === undefined ? terminal : { ...terminal, environment: {}, uid: user })
      if (options.exists || options.acexists !== undefined) await exists(terminal, path, options)
      else await info(terminal, path, { ...options, ...(user === undefined ? {} : { user }) })
    })
}

/** Adds the options of grid-proxy-info and voms-proxy-info. */
function addGridOptions(command: Command): Command {
  return command
    .option('--file <FILE>', 'the proxy file, as for grid-proxy-info')
    .option('--exists', 'print nothing; exit with code 1 unless there is a valid proxy')
    .option('--bits <N>', 'exit with code 1 unless the key has at least N bits', wholeNumberOption)
    .option('--subject', 'print only the subject')
    .option('--issuer', 'print only the issuer')
    .option('--identity', 'print only the identity')
    .option('--type', 'print only the type')
    .option('--strength', 'print only the strength of the key, in bits')
    .option('--path', 'print only the path of the file')
    .option('--timeleft', 'print only the time left, in seconds; 0 unless the proxy is valid now')
    .option('--vo', 'print only the VOs of the VOMS attributes')
    .option('--fqan', 'print only the FQANs of the VOMS attributes')
    .option('--actimeleft', 'print only the time left of the VOMS attributes, in seconds')
    .option(
      '--acexists <VO>',
      'print nothing; exit with code 1 unless there are attributes of the VO',
    )
    .option('--text', 'print each certificate of the file')
    .option('--all', 'print everything: the usual facts, then each certificate')
}

interface ReadFile {
  readonly proxyFile: ProxyFile
  readonly text: string
  readonly mode: number
  readonly ownerUid: number
}

/** What `--explain` looked at, and what it found. */
interface Explanation {
  readonly trustAnchors: string | undefined
  /** Number of the user for whom mode and owner of the file were judged. */
  readonly examinedAs: number
  readonly findings: readonly Finding[]
}

/** Prints nothing, as scripts expect it of grid-proxy-info -exists. */
async function exists(terminal: Terminal, path: string, options: InfoOptions): Promise<void> {
  const file = await readProxy(path).catch((error: unknown) => {
    if (error instanceof TtsError && !isMachineFault(error)) return undefined
    throw error
  })
  const facts = file && describeProxy(file.proxyFile, { now: terminal.now(), path })
  const isGood = facts !== undefined && suffices(facts, options) && hasAttributes(facts, options)
  if (!isGood) terminal.exitWith(exitCodes.failed)
}

/** Whether there are attributes of the VO, for as long as the proxy must be valid. */
function hasAttributes({ attributes }: ProxyFacts, { acexists, valid = 0 }: InfoOptions): boolean {
  const lasting = attributes.filter(({ timeLeftSeconds }) => timeLeftSeconds >= Math.max(valid, 1))
  return acexists === undefined || lasting.some(({ vo }) => vo === acexists)
}

function suffices(facts: ProxyFacts, { valid = 0, bits = 0 }: InfoOptions): boolean {
  return facts.timeLeftSeconds >= Math.max(valid, 1) && facts.strengthBits >= bits
}

/** Prints what is asked for. */
function print(
  terminal: Terminal,
  file: ProxyFile,
  { facts, options }: { readonly facts: ProxyFacts; readonly options: InfoOptions },
): void {
  const { all = false, text = all } = options
  const fields = all ? undefined : formatFields(facts, options)
  if (all || (fields === undefined && !text)) terminal.out(formatProxyInfo(facts))
  if (fields !== undefined) terminal.out(fields)
  if (text) terminal.out(formatCertificates(file, facts))
}

async function info(
  terminal: Terminal,
  path: string,
  options: InfoOptions & { readonly user?: number },
): Promise<void> {
  const file = await readProxy(path)
  const now = terminal.now()
  const description = describeProxy(file.proxyFile, { now, path })
  const explanation = options.explain ? await explain(terminal, file, options) : undefined
  if (options.json) {
    const { trustAnchors = null, ...rest } = explanation ?? {}
    const explained = explanation ? { trustAnchors, ...rest } : {}
    const output = toSnakeCase({ ...description, ...explained })
    terminal.out(`${JSON.stringify(output, null, 2)}\n`)
  } else {
    print(terminal, file.proxyFile, { facts: description, options })
    if (explanation) terminal.out(`\n${formatFindings(explanation.findings, explanation)}`)
  }
  if (description.state === 'expired') terminal.note(`The proxy ${path} has expired.`)
  if (description.state === 'not yet valid')
    terminal.note(
      `The proxy ${path} is not valid before ${description.notBefore.toISOString()}. Check the clock of this machine.`,
    )
  if (!suffices(description, options)) terminal.exitWith(exitCodes.failed)
  else if (explanation?.findings.some(({ severity }) => severity === 'refuses'))
    terminal.exitWith(exitCodes.wouldBeRefused)
}

async function explain(
  terminal: Terminal,
  file: ReadFile,
  options: InfoOptions & { readonly user?: number },
): Promise<Explanation> {
  const trustAnchors = options.trustAnchors ?? defaultTrustAnchors(terminal)
  const { mode, ownerUid, text } = file
  // Root looks at files of others; the question is whether their owners can use them.
  const examinedAs = options.user ?? (terminal.uid === 0 ? ownerUid : terminal.uid)
  if (examinedAs !== terminal.uid)
    terminal.note(`tts: mode and owner of the file are judged for user ${examinedAs}`)
  const findings = examine({
    proxyFile: file.proxyFile,
    fileFacts: { mode, ownerUid, uid: examinedAs, text },
    ...(trustAnchors === undefined
      ? {}
      : { trustAnchors: readTrustAnchors(await readDirectory(trustAnchors)) }),
    now: terminal.now(),
  })
  return { trustAnchors, examinedAs, findings }
}

/** Returns the number of a user, as `id` knows it: from /etc/passwd, or a directory service. */
async function findUser(user: string): Promise<number> {
  if (/^\d{1,10}$/.test(user)) return Number(user)
  try {
    const { stdout } = await promisify(execFile)('id', ['-u', '--', user], { timeout: 10_000 })
    return Number(stdout.trim())
  } catch (cause) {
    throw new TtsError('invalid_request', `--as ${user}: there is no user of this name`, { cause })
  }
}

function defaultTrustAnchors(terminal: Terminal): string | undefined {
  const named = terminal.environment['X509_CERT_DIR']
  // Grid tools fail when it does not exist, and do not look elsewhere.
  if (named !== undefined && named !== '') return named
  const home = homeDirectory(terminal.environment)
  return [
    ...(home === undefined ? [] : [join(home, '.globus', 'certificates')]),
    '/etc/grid-security/certificates',
  ].find((path) => existsSync(path))
}

async function readDirectory(directory: string) {
  return readTrustAnchorDirectory(directory).catch((cause: unknown) => {
    throw cannotRead(`the trust anchors in ${directory}`, cause)
  })
}

async function readProxy(path: string): Promise<ReadFile> {
  const file = await open(path, INPUT_FLAGS).catch((cause: NodeJS.ErrnoException) => {
    const remedy = 'Create a proxy with `tts proxy init`, or give the path of its file.'
    throw cannotRead(`the proxy file ${path}`, cause, cause.code === 'ENOENT' ? { remedy } : {})
  })
  try {
    const stats = await file.stat()
    const { mode, uid, size } = stats
    if (!stats.isFile()) throw new TtsError('invalid_request', `${path} is not a regular file`)
    if (size > MAX_PROXY_FILE_LENGTH)
      throw new TtsError('invalid_request', `${path} is too large to be a proxy file`)
    const text = await file.readFile('latin1')
    return { proxyFile: parse(text, path), text, mode: mode & 0o7777, ownerUid: uid }
  } finally {
    await file.close()
  }
}

function parse(text: string, path: string): ProxyFile {
  try {
    return parseExaminedFile(text)
  } catch (error) {
    if (!(error instanceof CaError)) throw error
    throw new TtsError('invalid_request', `${path} is not a proxy file: ${error.message}`, {
      cause: error,
    })
  }
}
