/** The TLS certificate and key of a listener, read and checked. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { TtsError } from '../base/errors.ts'
import { fileErrorReason } from '../base/system-error.ts'

/** Paths of PEM files. */
export interface TlsFilePaths {
  /** Certificate and chain. */
  readonly certificateFile: string
  readonly keyFile: string
}

/** Files that a TLS server can use. */
export interface TlsFileContents {
  readonly certificatePem: Buffer
  readonly keyPem: Buffer
  /** The certificate of the server itself. */
  readonly certificate: X509Certificate
}

/**
 * Reads both files, and checks that they are a certificate and its key. Does not check whether the certificate is valid
 * now: an expired one is a reason for a warning, not for stopping the service.
 *
 * @throws {TtsError} `configuration`, checks `tls_file` (a file cannot be read or parsed), `tls_key_encrypted`,
 *   `tls_key_differs`
 */
export function readTlsFiles({ certificateFile, keyFile }: TlsFilePaths): TlsFileContents {
  const [certificatePem, keyPem] = [readFile(certificateFile), readFile(keyFile)]
  const certificate = parse(
    certificateFile,
    'a certificate in PEM',
    () => new X509Certificate(certificatePem),
  )
  const key = parseKey(keyFile, keyPem)
  if (!certificate.checkPrivateKey(key))
    throw new TtsError(
      'configuration',
      `the key ${keyFile} is not that of the certificate ${certificateFile}`,
      {
        check: 'tls_key_differs',
        remedy:
          'Use the key that the certificate was requested with. The certificate of the server must come first in its file, before the chain.',
      },
    )
  parse(certificateFile, 'a certificate that OpenSSL accepts, with its chain', () =>
    createSecureContext({ cert: certificatePem, key: keyPem }),
  )
  return { certificatePem, keyPem, certificate }
}

function readFile(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (cause) {
    const { code = 'unknown error' } = cause as NodeJS.ErrnoException
    const problems: Readonly<Record<string, string>> = {
      ENOENT: 'does not exist',
      EACCES: `cannot be read by this user (user id ${process.geteuid?.() ?? '?'})`,
      EISDIR: 'is a directory',
    }
    throw new TtsError(
      'configuration',
      `the TLS file ${path} ${problems[code] ?? `cannot be read: ${fileErrorReason(cause)}`}`,
      {
        check: 'tls_file',
        remedy:
          'Check listen.tls_certificate_file and listen.tls_key_file, and who may read the files.',
        cause,
      },
    )
  }
}

function parseKey(path: string, pem: Buffer): KeyObject {
  if (/ENCRYPTED/.test(pem.toString('latin1')))
    throw new TtsError('configuration', `the TLS key ${path} is encrypted with a passphrase`, {
      check: 'tls_key_encrypted',
      remedy: `Decrypt it into a private file: (umask 077; openssl pkey -in '${path}' -out tls-key.pem).`,
    })
  return parse(path, 'a private key in PEM', () => createPrivateKey(pem))
}

function parse<Result>(path: string, expected: string, work: () => Result): Result {
  try {
    return work()
  } catch (cause) {
    throw new TtsError('configuration', `the TLS file ${path} must be ${expected}`, {
      check: 'tls_file',
      remedy: 'Check listen.tls_certificate_file and listen.tls_key_file.',
      cause,
    })
  }
}
