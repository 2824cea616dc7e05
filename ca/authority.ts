/**
 * The certification authority itself: its certificate, the chain above it, and its signer. A self-signed root, or an
 * intermediate whose certificate an outside root returned for our request.
 */
import { type Asn1Node, encode } from './asn1.ts'
import { decode, namedBitsOf } from './asn1-read.ts'
import {
  type Certificate,
  findExtension,
  isAuthorityCertificate,
  readCertificate,
  type Validity,
} from './certificate.ts'
import { signCertificate } from './sign-certificate.ts'
import { CaError, type CaErrorReason } from './errors.ts'
import {
  authorityKeyIdentifier,
  basicConstraints,
  extensionOids,
  keyUsage,
  keyUsageBits,
  subjectKeyIdentifier,
} from './extensions.ts'
import { type Signer, signerFor, type SigningKey } from './key.ts'
import { type DistinguishedName, nameNode, sameName } from './name.ts'
import { formatSlashDn } from './name-text.ts'
import { readPem } from './pem.ts'
import { verifyIssued } from './signature.ts'

/** An opened CA, ready to sign. */
export interface Authority {
  readonly certificate: Certificate
  /** Certificates above ours, nearest first, root last; empty for a root. */
  readonly chain: readonly Certificate[]
  readonly signer: Signer
}

/** The content of a self-signed CA certificate. */
export interface RootRequest {
  /** Must fit into policy files: letters, digits, spaces and `. , : @ ( ) _ -`, one attribute in each RDN. */
  readonly subject: DistinguishedName
  /** The CA's key, or a signer that has it. */
  readonly privateKey: SigningKey
  /** Must end before 2050. */
  readonly validity: Validity
  /** Big-endian, positive, 1 to 20 octets. */
  readonly serial: Buffer
}

/**
 * Makes a self-signed CA certificate and returns its DER. Path length 0: it issues EECs but no further CAs.
 *
 * @throws {CaError} `bad_name`, `bad_lifetime` (also for an end after 2049), `bad_request`, `weak_key`,
 *   `bad_authority` for a signer whose algorithm does not fit its key, `self_check_failed`
 * @see RFC 5280 section 4.2.1.9
 * @example
 * const subject = parseSlashDn('/C=EU/O=Example/CN=Example CA')
 * const validity = { notBefore: now, notAfter: new Date(now.getTime() + 3650 * 86_400_000) }
 * const serial = serialFrom(randomBytes, END_ENTITY_SERIAL_BYTES)
 * const der = await createRootCertificate({ subject, privateKey, validity, serial })
 * readCertificate(der).subject // => subject
 */
export async function createRootCertificate(request: RootRequest): Promise<Buffer> {
  checkAuthorityName(request.subject)
  // XRootD refuses a CA that ends in 2050 or later, where RFC 5280 section 4.1.2.5 changes the form of the date.
  if (request.validity.notAfter.getTime() >= Date.UTC(2050, 0, 1)) {
    throw new CaError(
      'bad_lifetime',
      'the CA certificate must not end after 2049: XRootD refuses later dates; choose a shorter lifetime',
      { field: 'validity.notAfter', reason: 'too_large' },
    )
  }
  if (!(request.validity.notBefore < request.validity.notAfter))
    throw new CaError('bad_lifetime', 'the CA certificate must not end before it begins', {
      field: 'validity',
      reason: 'bad_value',
    })
  const signer = signerFor(request.privateKey)
  const name = nameNode(request.subject)
  const { keyId } = signer.publicKey
  const extensions: readonly Asn1Node[] = [
    // Path length 0: it issues EECs only. Proxies do not count against it (RFC 3820 section 4.1).
    basicConstraints({ pathLength: 0 }),
    keyUsage(['keyCertSign', 'cRLSign']),
    subjectKeyIdentifier(keyId),
    authorityKeyIdentifier(keyId),
  ]
  const { validity, serial } = request
  return signCertificate(
    { serial, issuer: name, subject: name, validity, publicKey: signer.publicKey, extensions },
    signer,
  )
}

/**
 * Refuses CA names that relying parties cannot handle: signing_policy files have no form for apostrophes, slashes and
 * non-ASCII characters, and need a name.
 *
 * @throws {CaError} `bad_name`
 */
export function checkAuthorityName(subject: DistinguishedName): void {
  const values = subject.flat().map(({ value }) => value)
  if (values.length === 0) throw badName('is empty', 'missing')
  if (subject.some((rdn) => rdn.length !== 1)) {
    throw badName('must have one attribute in each RDN', 'too_many')
  }
  for (const value of values) {
    if (typeof value !== 'string' || !/^[A-Za-z0-9 .,:@()_-]{1,64}$/.test(value)) {
      throw badName(
        'may contain only letters, digits, spaces and . , : @ ( ) _ -; a signing_policy file has no form for others',
        'bad_value',
      )
    }
  }
}

function badName(problem: string, reason: CaErrorReason): CaError {
  return new CaError('bad_name', `the subject of the CA ${problem}`, { field: 'subject', reason })
}

/**
 * Opens a CA from its certificate (first) and chain in PEM, and its private key or a signer that has it. Does not
 * check whether the certificates are valid now.
 *
 * @throws {CaError} `bad_authority` when they do not belong together or the certificate is not that of a CA;
 *   `malformed`, `too_large`, `weak_key` when one of them cannot be read or is refused by the key policy
 * @see RFC 5280 section 4.2.1.3, section 4.2.1.9
 * @example
 * const opened = openAuthority(toPem('CERTIFICATE', authority.certificate.der), authority.signer)
 * opened.chain // => []
 */
export function openAuthority(certificatesPem: string, key: SigningKey): Authority {
  const [certificate, ...chain] = readCertificatesPem(certificatesPem, 'CA certificate')
  if (certificate === undefined)
    throw new CaError('bad_authority', 'the PEM text contains no CA certificate', {
      field: 'CA certificate',
      reason: 'missing',
    })
  const signer = signerFor(key)
  checkAuthorityCertificate(certificate, signer)
  checkChain([certificate, ...chain])
  return { certificate, chain, signer }
}

/**
 * Returns all certificates of a PEM text in their order; skips other blocks.
 *
 * @param what names the text in errors
 * @throws {CaError} `malformed`, `too_large`
 * @see RFC 7468 section 5
 * @example
 * const pem = toPem('CERTIFICATE', authority.certificate.der)
 * readCertificatesPem(pem + pem, 'CA file').length // => 2
 */
export function readCertificatesPem(pem: string, what: string): readonly Certificate[] {
  return readPem(pem, what)
    .filter(({ label }) => label === 'CERTIFICATE')
    .map(({ der }) => readCertificate(der))
}

function checkAuthorityCertificate(certificate: Certificate, signer: Signer): void {
  const fail = (why: string, reason: CaErrorReason): never => {
    throw new CaError(
      'bad_authority',
      `the CA certificate ${formatSlashDn(certificate.subject)} ${why}`,
      { field: 'CA certificate', reason },
    )
  }
  if (!certificateHasKey(certificate, signer))
    fail('does not belong to the private key', 'mismatch')
  if (!isAuthorityCertificate(certificate))
    fail('is not that of a CA (basicConstraints CA:TRUE is missing)', 'not_allowed')
  const usage = findExtension(certificate, extensionOids.keyUsage)
  const bits = usage ? namedBitsOf(decode(usage.value, 'keyUsage'), 'keyUsage') : undefined
  // Without cRLSign relying parties refuse everything as soon as there is a CRL.
  if (bits && !(bits.includes(keyUsageBits.keyCertSign) && bits.includes(keyUsageBits.cRLSign))) {
    fail('must have the keyUsage bits keyCertSign and cRLSign', 'not_allowed')
  }
}

function certificateHasKey(certificate: Certificate, signer: Signer): boolean {
  const { info } = signer.publicKey
  return encode(certificate.publicKeyInfo).equals(info)
}

function badChain(message: string, reason: CaErrorReason): CaError {
  return new CaError('bad_authority', message, { field: 'chain', reason })
}

function checkChain(certificates: readonly Certificate[]): void {
  certificates.forEach((certificate, index) => {
    const issuer = certificates[index + 1] ?? certificate
    const isRoot = sameName(certificate.subject, certificate.issuer)
    if (index === certificates.length - 1 && !isRoot) {
      throw badChain(
        `the chain ends at ${formatSlashDn(certificate.subject)}; add the certificates above it, the root last`,
        'missing',
      )
    }
    if (index < certificates.length - 1 && isRoot && verifyIssued(certificate, certificate)) {
      throw badChain('the chain has certificates after its root; remove them', 'unexpected')
    }
    if (index > 0 && !isAuthorityCertificate(certificate)) {
      throw badChain(
        `the certificate ${formatSlashDn(certificate.subject)} in the chain is not that of a CA`,
        'not_allowed',
      )
    }
    if (!sameName(certificate.issuer, issuer.subject) || !verifyIssued(certificate, issuer)) {
      throw badChain(
        `the certificate ${formatSlashDn(certificate.subject)} is not signed by the next certificate of the chain`,
        'not_verified',
      )
    }
  })
}
