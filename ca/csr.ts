/**
 * Certificate signing requests (PKCS#10, RFC 2986). Only the public key and the proof of possession of its private
 * key are used; everything else (subject, extensions, challenge) is ignored.
 */
import {
  type Asn1Node,
  encode,
  preEncoded,
  sequence,
  smallInteger,
  bitString,
  Tag,
  implicitConstructed,
} from './asn1.ts'
import { bitStringBytes, childrenOf, contentOf, decode, oidOf } from './asn1-read.ts'
import { CaError, malformed, tooLarge } from './errors.ts'
import {
  algorithmNode,
  signVerified,
  type Signer,
  type SigningPlace,
  verifySignature,
  verifySignatureHere,
} from './key.ts'
import { type PublicKey, readPublicKey } from './public-key.ts'
import { type DistinguishedName, nameNode, readName } from './name.ts'
import { readPem, toPem } from './pem.ts'

/** Largest accepted request: one with RSA-8192 and many attributes is far smaller. */
export const MAX_CSR_BYTES = 16 * 1024

/** Signature algorithms that a request may carry; SHA-1 and MD5 prove nothing. */
const acceptedHashes = new Map([
  ['1.2.840.113549.1.1.11', { family: 'rsa', hash: 'sha256' }],
  ['1.2.840.113549.1.1.12', { family: 'rsa', hash: 'sha384' }],
  ['1.2.840.113549.1.1.13', { family: 'rsa', hash: 'sha512' }],
  ['1.2.840.10045.4.3.2', { family: 'ec', hash: 'sha256' }],
  ['1.2.840.10045.4.3.3', { family: 'ec', hash: 'sha384' }],
  ['1.2.840.10045.4.3.4', { family: 'ec', hash: 'sha512' }],
])

/**
 * Reads a request in PEM or DER, at most 16 KiB, checks its signature, and returns its public key under the key
 * policy. Everything else in the request (subject, extensions, challenge) is ignored.
 *
 * @param place where the signature is verified, as for `createSigner`
 * @throws {CaError} `too_large`, `malformed`, `weak_key`, `bad_signature`
 * @see RFC 2986 section 4
 * @example
 * const csr = await createCsr([], createSigner(await generatePrivateKey('ec-p256')))
 * const publicKey = await readCsr(Buffer.from(csr))
 * publicKey.kind // => 'ec-p256'
 */
export async function readCsr(input: Buffer, place: SigningPlace = 'pool'): Promise<PublicKey> {
  const der = csrDer(input)
  const [info, algorithm, signature, ...rest] = childrenOf(
    decode(der, 'CSR', MAX_CSR_BYTES),
    'CSR',
    Tag.sequence,
  )
  const [version, , publicKeyInfo] = childrenOf(info, 'CSR information', Tag.sequence)
  if (info === undefined || rest.length > 0) throw malformed('CSR', 'unexpected parts')
  if (!contentOf(version, 'CSR version', Tag.integer).equals(Buffer.of(0)))
    throw malformed('CSR', 'unknown version', { reason: 'unsupported' })
  const publicKey = readPublicKey(publicKeyInfo)
  const accepted = acceptedHashes.get(
    oidOf(childrenOf(algorithm, 'CSR algorithm', Tag.sequence)[0], 'CSR algorithm'),
  )
  if (accepted === undefined || !publicKey.kind.startsWith(accepted.family)) {
    throw new CaError(
      'bad_signature',
      'the signature algorithm of the CSR is not accepted for its key; use SHA-256',
      { field: 'CSR algorithm', reason: 'unsupported' },
    )
  }
  const signed = { data: encode(info), signature: bitStringBytes(signature, 'CSR signature') }
  const verify = place === 'pool' ? verifySignature : verifySignatureHere
  if (!(await verify(accepted.hash, signed, publicKey.key))) {
    throw new CaError('bad_signature', 'the signature of the CSR does not match its public key', {
      field: 'CSR signature',
      reason: 'not_verified',
    })
  }
  return publicKey
}

function csrDer(input: Buffer): Buffer {
  if (input.length > MAX_CSR_BYTES) {
    throw tooLarge('CSR', 'bytes', { actual: input.length, limit: MAX_CSR_BYTES })
  }
  // DER of a request begins with a SEQUENCE tag, which no PEM text does.
  if (input[0] === 0x30) return input
  const blocks = readPem(input.toString('latin1'), 'CSR').filter(({ label }) =>
    label.endsWith('CERTIFICATE REQUEST'),
  )
  const [block, ...others] = blocks
  if (block === undefined || others.length > 0) {
    throw malformed(
      'CSR',
      'send exactly one PKCS#10 request, in DER or PEM ("CERTIFICATE REQUEST")',
      {
        reason: block === undefined ? 'missing' : 'too_many',
      },
    )
  }
  return block.der
}

/**
 * Reads the subject of a request in PEM or DER, at most 16 KiB. Checks neither its signature nor its key.
 *
 * @throws {CaError} `too_large`, `malformed`
 * @see RFC 2986 section 4.1
 * @example
 * const csr = await createCsr(parseSlashDn('/O=Example/CN=Issuing CA'), authority.signer)
 * readCsrSubject(Buffer.from(csr)) // => parseSlashDn('/O=Example/CN=Issuing CA')
 */
export function readCsrSubject(input: Buffer): DistinguishedName {
  const request = decode(csrDer(input), 'CSR', MAX_CSR_BYTES)
  const [info] = childrenOf(request, 'CSR', Tag.sequence)
  const [, subject] = childrenOf(info, 'CSR information', Tag.sequence)
  return readName(subject, 'CSR subject')
}

/**
 * Makes a request for the signer's key, in PEM, without attributes.
 *
 * @throws {CaError} `bad_name`, `self_check_failed`
 * @see RFC 2986 section 4
 * @example
 * const csr = await createCsr(parseSlashDn('/O=Example/CN=Issuing CA'), authority.signer)
 * csr.startsWith('-----BEGIN CERTIFICATE REQUEST-----') // => true
 */
export async function createCsr(subject: DistinguishedName, signer: Signer): Promise<string> {
  const attributes: readonly Asn1Node[] = []
  const info = sequence(
    smallInteger(0),
    nameNode(subject),
    preEncoded(signer.publicKey.info),
    implicitConstructed(0, attributes),
  )
  const signature = await signVerified(signer, encode(info))
  if (signature === undefined) {
    throw new CaError('self_check_failed', 'the signature of the new CSR does not verify', {
      field: 'CSR signature',
      reason: 'not_verified',
    })
  }
  const request = sequence(info, algorithmNode(signer.algorithm), bitString(signature))
  return toPem('CERTIFICATE REQUEST', encode(request))
}
