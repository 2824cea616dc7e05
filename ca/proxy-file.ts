/**
 * The proxy file of grid middleware: proxy, its private key, EEC, then the chain without the root. This file handles
 * its text only; the caller must write it to disk privately and atomically.
 */
import { createPrivateKey, createPublicKey, KeyObject } from 'node:crypto'
import { encode } from './asn1.ts'
import { type Certificate, readCertificate } from './certificate.ts'
import { CaError, type CaErrorDetails } from './errors.ts'
import { readPem, toPem } from './pem.ts'

/** Largest accepted proxy file: chains with VOMS attributes are far smaller. */
export const MAX_PROXY_FILE_LENGTH = 256 * 1024

/** Formats of an RSA key: `pkcs1` is `RSA PRIVATE KEY`, `pkcs8` is `PRIVATE KEY`. */
export const keyFormats = ['pkcs1', 'pkcs8'] as const
export type KeyFormat = (typeof keyFormats)[number]

/** A private key with the format in which a file holds it. */
export interface FormattedKey {
  readonly privateKey: KeyObject
  readonly format: KeyFormat
}

/**
 * The PEM block of an unencrypted private key. JGlobus finds RSA keys in PKCS#1 only, and every relying party that was
 * tried reads that. EC keys are in PKCS#8 whatever the format: Globus does not read `EC PRIVATE KEY`.
 *
 * @see RFC 8017 appendix A.1.2 (PKCS#1), RFC 5958 section 2 (PKCS#8)
 */
export function formatPrivateKey({ privateKey, format }: FormattedKey): string {
  return format === 'pkcs1' && privateKey.asymmetricKeyType === 'rsa'
    ? toPem('RSA PRIVATE KEY', privateKey.export({ type: 'pkcs1', format: 'der' }))
    : toPem('PRIVATE KEY', privateKey.export({ type: 'pkcs8', format: 'der' }))
}

/**
 * The text of a proxy file. Without a private key (it stayed with the owner of the CSR) the owner inserts it second.
 *
 * @param key without a format in `pkcs1`
 * @param chain certificates below the proxy in file order: EEC, then intermediates; DER
 * @see RFC 7468 section 5, section 10
 * @example
 * const text = formatProxyFile(proxy.der, proxyKey, [endEntity.certificate.der])
 * text.match(/BEGIN [A-Z ]+/g) // => ['BEGIN CERTIFICATE', 'BEGIN RSA PRIVATE KEY', 'BEGIN CERTIFICATE']
 */
export function formatProxyFile(
  proxy: Buffer,
  key: KeyObject | FormattedKey | undefined,
  chain: readonly Buffer[],
): string {
  const formatted = key instanceof KeyObject ? { privateKey: key, format: keyFormats[0] } : key
  return [
    toPem('CERTIFICATE', proxy),
    formatted === undefined ? '' : formatPrivateKey(formatted),
    ...chain.map((der) => toPem('CERTIFICATE', der)),
  ].join('')
}

/** A parsed proxy file. */
export interface ProxyFile {
  /** All certificates in file order, the proxy first. */
  readonly certificates: readonly Certificate[]
  readonly privateKey: KeyObject | undefined
  /** Labels of all blocks in file order, for checks of the order. */
  readonly labels: readonly string[]
}

/**
 * Reads a proxy file of at most 262,144 characters, whatever its order; `examine` judges it.
 *
 * @throws {CaError} `bad_proxy_file`, `malformed`, `too_large`, `weak_key`
 * @see RFC 7468 section 5
 * @example
 * const { certificates } = parseProxyFile(formatProxyFile(proxy.der, proxyKey, []))
 * certificates[0].serial // => proxy.serial
 */
export function parseProxyFile(text: string): ProxyFile {
  const blocks = readPem(text, 'proxy file', MAX_PROXY_FILE_LENGTH)
  const certificates = blocks
    .filter(({ label }) => label === 'CERTIFICATE')
    .map(({ der }) => readCertificate(der))
  if (certificates.length === 0)
    throw badFile('there is no certificate in the file', { reason: 'missing' })
  const keys = blocks.filter(({ label }) => label.endsWith('PRIVATE KEY'))
  if (keys.length > 1)
    throw badFile('there is more than one private key in the file', {
      field: 'private key',
      reason: 'too_many',
      limit: 1,
      actual: keys.length,
    })
  const [key] = keys
  return {
    certificates,
    privateKey: key && importKey(toPem(key.label, key.der)),
    labels: blocks.map(({ label }) => label),
  }
}

function badFile(
  message: string,
  details: Partial<CaErrorDetails> & { readonly cause?: unknown },
): CaError {
  return new CaError('bad_proxy_file', message, {
    field: 'proxy file',
    reason: 'bad_encoding',
    ...details,
  })
}

function importKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch (cause) {
    throw badFile('the private key in the file is encrypted or cannot be read', {
      field: 'private key',
      cause,
    })
  }
}

/** True when the private key belongs to the certificate. */
export function keyBelongsTo(privateKey: KeyObject, certificate: Certificate): boolean {
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' })
  return encode(certificate.publicKeyInfo).equals(spki)
}
