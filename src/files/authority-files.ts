/**
 * The CA on disk: `ca/ca.pem` (certificate and chain), `ca/ca-key.pem` (PKCS#8, encrypted), `ca/passphrase` (made at
 * random unless one is configured), `ca/ca.csr` (while an intermediate CA waits for its certificate).
 */
import type { KeyObject } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type Authority,
  checkAuthorityName,
  createRootCertificate,
  openAuthority,
} from '../../ca/authority.ts'
import { wholeSeconds } from '../../ca/certificate.ts'
import { createCsr, readCsrSubject } from '../../ca/csr.ts'
import { CaError } from '../../ca/errors.ts'
import { createSigner, generatePrivateKey, type KeyKind } from '../../ca/key.ts'
import type { DistinguishedName } from '../../ca/name.ts'
import { parseSlashDn } from '../../ca/name-text.ts'
import { readPem, toPem } from '../../ca/pem.ts'
import { decryptPrivateKey, encryptPrivateKey } from '../../ca/private-key.ts'
import { END_ENTITY_SERIAL_BYTES, serialFrom } from '../../ca/serial.ts'
import { BACKDATE_SECONDS } from '../../ca/validity.ts'
import { TtsError } from '../base/errors.ts'
import { refuseOtherName, refuseUnusable } from './authority-certificate.ts'
import { makeDirectory } from './directory.ts'
import { createPrivateFile, readPrivateFile, writePrivateFile } from './private-file.ts'

/** Options for making and opening the CA. */
export interface AuthorityFilesOptions {
  readonly dataDirectory: string
  /** Directory of the CA in the data directory. Default `ca`; others during a roll-over of its key. */
  readonly place?: string
  /** Configured passphrase; undefined: the one in the file, which is made if missing. */
  readonly passphrase: string | undefined
  readonly randomBytes: (size: number) => Buffer
}

export interface NewAuthority {
  /** Slash-DN. */
  readonly subject: string
  readonly keyKind: KeyKind
  readonly lifetimeDays: number
  readonly now: Date
}

const MAX_FILE_BYTES = 256 * 1024

/** Returns the paths of the CA's files. */
export function authorityPaths(dataDirectory: string, place = 'ca') {
  const directory = join(dataDirectory, place)
  return {
    directory,
    certificate: join(directory, 'ca.pem'),
    privateKey: join(directory, 'ca-key.pem'),
    passphrase: join(directory, 'passphrase'),
    request: join(directory, 'ca.csr'),
  }
}

/** Whether there is a CA certificate. */
export function authorityExists(dataDirectory: string, place?: string): boolean {
  return existsSync(authorityPaths(dataDirectory, place).certificate)
}

/**
 * Opens the CA.
 *
 * @throws {TtsError} `configuration`, naming the faulty file
 */
export async function openAuthorityFiles(options: AuthorityFilesOptions): Promise<Authority> {
  const paths = authorityPaths(options.dataDirectory, options.place)
  const certificates = await readFile(paths.certificate, 'utf8').catch((cause: unknown) => {
    throw new TtsError('configuration', `the CA certificate ${paths.certificate} cannot be read`, {
      cause,
    })
  })
  return fromFiles(paths.directory, async () =>
    openAuthority(
      certificates,
      decryptPrivateKey(await keyPem(paths.privateKey), await readPassphrase(options)),
    ),
  )
}

/**
 * Makes a self-signed CA.
 *
 * @throws {TtsError} `conflict` (there is a CA already); `configuration` (bad name, or files that cannot be written)
 */
export async function initAuthorityFiles(
  options: AuthorityFilesOptions,
  request: NewAuthority,
): Promise<Authority> {
  const paths = authorityPaths(options.dataDirectory, options.place)
  return fromFiles(paths.directory, async () => {
    const subject = parseSlashDn(request.subject)
    checkAuthorityName(subject)
    const { privateKey } = await newKey(options, request.keyKind)
    return writeRoot(options, { ...request, subject, privateKey })
  })
}

/**
 * Makes a key and a CSR for an intermediate CA and returns the CSR in PEM. Further calls make a CSR for the same key.
 *
 * @throws {TtsError} `conflict` (there is a certificate already); `configuration`
 */
export async function requestAuthorityFiles(
  options: AuthorityFilesOptions,
  request: Pick<NewAuthority, 'subject' | 'keyKind'>,
): Promise<string> {
  const paths = authorityPaths(options.dataDirectory, options.place)
  return fromFiles(paths.directory, async () => {
    const subject = parseSlashDn(request.subject)
    checkAuthorityName(subject)
    const privateKey = existsSync(paths.privateKey)
      ? decryptPrivateKey(await keyPem(paths.privateKey), await readPassphrase(options))
      : (await newKey(options, request.keyKind)).privateKey
    const csr = await createCsr(subject, createSigner(privateKey))
    await writePrivateFile(paths.request, csr, { mode: 0o644 })
    return csr
  })
}

/**
 * Installs the certificate (with the chain above it, root last) that an outside CA issued.
 *
 * @throws {TtsError} `configuration` (it is not for our key or has another name, it or a certificate above is not valid
 *   now, or the chain is incomplete)
 */
export async function installAuthorityFiles(
  options: AuthorityFilesOptions,
  { certificates, now }: { readonly certificates: string; readonly now: Date },
): Promise<Authority> {
  const paths = authorityPaths(options.dataDirectory, options.place)
  return fromFiles(paths.directory, async () => {
    const privateKey = decryptPrivateKey(
      await keyPem(paths.privateKey),
      await readPassphrase(options),
    )
    const authority = openAuthority(certificates, privateKey)
    checkAuthorityName(authority.certificate.subject)
    refuseUnusable(authority, now)
    refuseOtherName(authority, await expectedName(options))
    const pem = readPem(certificates, 'certificates')
      .filter(({ label }) => label === 'CERTIFICATE')
      .map(({ der }) => toPem('CERTIFICATE', der))
      .join('')
    await writePrivateFile(paths.certificate, pem, { mode: 0o644 })
    return authority
  })
}

/**
 * Renews a self-signed CA: makes a new certificate with the same key and name. Everything issued stays valid, and
 * relying parties may use either certificate.
 *
 * @throws {TtsError} `conflict` (an intermediate CA: its root must sign again); `configuration`
 */
export async function renewAuthorityFiles(
  options: AuthorityFilesOptions,
  request: Pick<NewAuthority, 'lifetimeDays' | 'now'>,
): Promise<Authority> {
  const paths = authorityPaths(options.dataDirectory, options.place)
  const { certificate, chain } = await openAuthorityFiles(options)
  if (chain.length > 0) {
    throw new TtsError(
      'conflict',
      'this CA is signed by an outside root: make a request with `tts ca csr`, have it signed, and run `tts ca install FILE`',
    )
  }
  return fromFiles(paths.directory, async () => {
    const privateKey = decryptPrivateKey(
      await keyPem(paths.privateKey),
      await readPassphrase(options),
    )
    return writeRoot(options, { ...request, subject: certificate.subject, privateKey })
  })
}

/** Everything that was issued names the CA as its issuer, so a new certificate must have the same name. */
async function expectedName(
  options: AuthorityFilesOptions,
): Promise<DistinguishedName | undefined> {
  const paths = authorityPaths(options.dataDirectory, options.place)
  if (existsSync(paths.certificate)) return (await openAuthorityFiles(options)).certificate.subject
  return existsSync(paths.request) ? readCsrSubject(await readFile(paths.request)) : undefined
}

async function writeRoot(
  options: AuthorityFilesOptions,
  request: {
    readonly subject: DistinguishedName
    readonly privateKey: KeyObject
    readonly lifetimeDays: number
    readonly now: Date
  },
): Promise<Authority> {
  const begin = request.now.getTime() - BACKDATE_SECONDS * 1000
  const der = await createRootCertificate({
    subject: request.subject,
    privateKey: request.privateKey,
    validity: {
      notBefore: wholeSeconds(new Date(begin)),
      notAfter: wholeSeconds(new Date(begin + request.lifetimeDays * 86_400_000)),
    },
    serial: serialFrom(options.randomBytes, END_ENTITY_SERIAL_BYTES),
  })
  const pem = toPem('CERTIFICATE', der)
  await writePrivateFile(authorityPaths(options.dataDirectory, options.place).certificate, pem, {
    mode: 0o644,
  })
  return openAuthority(pem, request.privateKey)
}

async function newKey(options: AuthorityFilesOptions, kind: KeyKind) {
  const paths = authorityPaths(options.dataDirectory, options.place)
  refuseExisting(paths)
  await makeDirectory(paths.directory, 0o700)
  const passphrase = await readOrMakePassphrase(options)
  const privateKey = await generatePrivateKey(kind)
  await createPrivateFile(paths.privateKey, await encryptPrivateKey(privateKey, passphrase))
  return { privateKey }
}

/** Refuses to overwrite a CA, with advice for its state. */
function refuseExisting(paths: ReturnType<typeof authorityPaths>): void {
  const conflict = (message: string, remedy?: string): TtsError =>
    new TtsError('conflict', message, remedy === undefined ? {} : { remedy })
  if (existsSync(paths.certificate)) {
    throw conflict(`there is a CA in ${paths.directory} already; a CA is never overwritten`)
  }
  if (existsSync(paths.request)) {
    throw conflict(
      `the CA in ${paths.directory} waits for its certificate from an outside root`,
      `Have ${paths.request} signed, then run \`tts ca install FILE\`.`,
    )
  }
  if (existsSync(paths.privateKey)) {
    throw conflict(
      `there is a CA key but no certificate in ${paths.directory}: making the CA was interrupted, or another process makes it now`,
      `If no other process is making the CA, remove ${paths.privateKey} and start again: nothing was ever issued under this key.`,
    )
  }
}

async function keyPem(path: string): Promise<string> {
  try {
    return (await readPrivateFile(path, { maxBytes: MAX_FILE_BYTES })).toString('utf8')
  } catch (error) {
    if (!(error instanceof TtsError) || error.code !== 'not_found') throw error
    throw new TtsError('configuration', `the CA key ${path} is missing`, {
      cause: error,
      remedy: 'Restore it from the backup. Without it this CA is lost and a new one must be made.',
    })
  }
}

async function readPassphrase(options: AuthorityFilesOptions): Promise<string> {
  if (options.passphrase !== undefined) return options.passphrase
  const { passphrase } = authorityPaths(options.dataDirectory, options.place)
  return (await readPrivateFile(passphrase, { maxBytes: 4096 })).toString('utf8').trim()
}

async function readOrMakePassphrase(options: AuthorityFilesOptions): Promise<string> {
  const { passphrase } = authorityPaths(options.dataDirectory, options.place)
  if (options.passphrase !== undefined || existsSync(passphrase)) return readPassphrase(options)
  const text = options.randomBytes(32).toString('base64url')
  await createPrivateFile(passphrase, `${text}\n`)
  return text
}

async function fromFiles<T>(directory: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof CaError)) throw error
    throw new TtsError('configuration', `the CA in ${directory}: ${error.message}`, {
      cause: error,
    })
  }
}
