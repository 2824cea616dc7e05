/** The file with the CAs whose client certificates are accepted. */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { TtsError } from '../../base/errors.ts'
import { cannotRead } from '../../files/file-errors.ts'

const BEGIN = '-----BEGIN CERTIFICATE-----'

/**
 * Reads the CAs in PEM, and parses each of them: OpenSSL would leave out those that it cannot read, and their clients
 * would be refused without a reason.
 *
 * @throws {TtsError} `configuration`
 */
export function readClientCa(path: string): string {
  const pem = read(path)
  const certificates = pem.split(BEGIN).slice(1)
  if (certificates.length === 0) throw unusable(`${path} contains no CA certificate in PEM`)
  for (const certificate of certificates)
    try {
      new X509Certificate(`${BEGIN}${certificate}`)
    } catch (cause) {
      throw unusable(`${path} contains a certificate that cannot be parsed`, cause)
    }
  return pem
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    const options = { code: 'configuration', check: 'tls_file' } as const
    throw cannotRead(`access.client_ca_file: ${path}`, cause, options)
  }
}

const unusable = (problem: string, cause?: unknown): TtsError =>
  new TtsError('configuration', `access.client_ca_file: ${problem}`, {
    check: 'tls_file',
    remedy: 'Name a PEM file with the certificates of the CAs that sign client certificates.',
    cause,
  })
