/** Reads the CA certificates that TLS connections trust in addition to those of Node. */
import { X509Certificate } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { TtsError } from '../base/errors.ts'
import { fileErrorReason } from '../base/system-error.ts'
import { readInputFileSync } from '../files/input-file.ts'

/** A file or directory with CA certificates. */
export interface AuthoritySource {
  readonly kind: 'file' | 'directory'
  readonly path: string
  /** The setting or environment variable that names it, for messages. */
  readonly setting: string
  /** True: problems with the path itself are errors. False: they are warnings. */
  readonly required: boolean
}

/** Certificates in PEM, and warnings about files that were not used. */
export interface AuthorityReading {
  readonly certificates: readonly string[]
  readonly warnings: readonly string[]
}

/**
 * Names of certificate files in directories of OpenSSL and IGTF: `ab12cd34.0`, `NAME.pem`, `NAME.crt`. CRLs (`.r0`),
 * `.signing_policy`, `.namespaces`, `.info` and other files are not read.
 */
const CERTIFICATE_FILE = /\.(pem|crt|\d+)$/
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g
const MAX_WARNINGS = 5
/** A bundle of all public CAs has 250 kB. */
const MAX_FILE_BYTES = 16 * 1024 * 1024

/**
 * Reads all sources. Each certificate is returned once.
 *
 * @throws {TtsError} `configuration` (a required source cannot be read, is broken, or is empty)
 */
export function readAuthorities(sources: readonly AuthoritySource[]): AuthorityReading {
  const certificates = new Set<string>()
  const warnings: string[] = []
  for (const source of sources) {
    const reading = readSource(source)
    const [problem] = reading.problems
    if (source.required && (reading.certificates.length === 0 || source.kind === 'file')) {
      const message = problem ?? (reading.certificates.length === 0 ? emptyText(source) : undefined)
      if (message !== undefined)
        throw new TtsError('configuration', `${source.setting}: ${message}`)
    }
    const problems =
      reading.certificates.length === 0 && problem === undefined
        ? [emptyText(source)]
        : reading.problems
    warnings.push(...shorten(problems).map((text) => `${source.setting}: ${text}`))
    for (const pem of reading.certificates) certificates.add(pem)
  }
  return { certificates: [...certificates], warnings }
}

interface SourceReading {
  readonly certificates: readonly string[]
  readonly problems: readonly string[]
}

function readSource({ kind, path }: AuthoritySource): SourceReading {
  if (kind === 'file') return readFile(path)
  let names: readonly string[]
  try {
    names = readdirSync(path).filter((name) => CERTIFICATE_FILE.test(name))
  } catch (error) {
    return { certificates: [], problems: [unreadable(path, error)] }
  }
  const readings = names.toSorted().map((name) => readFile(join(path, name)))
  return {
    // A host certificate in the directory must not become a trust anchor.
    certificates: readings.flatMap((one) => one.certificates).filter(isAuthority),
    problems: readings.flatMap((one) => one.problems),
  }
}

function readFile(path: string): SourceReading {
  let text: string
  try {
    text = readInputFileSync(path, { maxBytes: MAX_FILE_BYTES }).toString('latin1')
  } catch (error) {
    return { certificates: [], problems: [unreadable(path, error)] }
  }
  const blocks = text.match(CERTIFICATE) ?? []
  if (blocks.length === 0)
    return { certificates: [], problems: [`${path} holds no PEM certificate`] }
  const certificates = blocks.flatMap((block) => {
    const pem = normalisedPem(block)
    return pem === undefined ? [] : [pem]
  })
  const isBroken = certificates.length < blocks.length
  return {
    certificates,
    problems: isBroken ? [`${path} holds a certificate that cannot be parsed`] : [],
  }
}

/** The same certificate always gives the same text, so that copies are found. */
function normalisedPem(block: string): string | undefined {
  try {
    return new X509Certificate(block).toString()
  } catch {
    return undefined
  }
}

const isAuthority = (pem: string): boolean => new X509Certificate(pem).ca

function unreadable(path: string, error: unknown): string {
  return error instanceof TtsError
    ? error.message
    : `${path} cannot be read: ${fileErrorReason(error)}`
}

const emptyText = ({ kind, path }: AuthoritySource): string =>
  `${path} holds no ${kind === 'file' ? 'PEM' : 'CA'} certificate`

function shorten(problems: readonly string[]): readonly string[] {
  if (problems.length <= MAX_WARNINGS) return problems
  const more = problems.length - MAX_WARNINGS
  return [...problems.slice(0, MAX_WARNINGS), `${more} more files cannot be used`]
}
