/**
 * PKCS#12 files (RFC 7292), with which browsers import a certificate and its key. Key and certificates are encrypted as
 * in `pbes2.ts`; the file is authenticated by HMAC-SHA-256. These are the defaults of OpenSSL 3; NSS (Firefox,
 * Chromium) and Windows 10 and later read them. PBMAC1 (RFC 9579) would be better, but few programs know it yet.
 */
import { createHash, createHmac, hash, type KeyObject, randomBytes } from 'node:crypto'
import {
  type Asn1Node,
  characterString,
  encode,
  encodedSequence,
  explicit,
  implicitPrimitive,
  nullValue,
  octetString,
  oid,
  sequence,
  set,
  smallInteger,
  Tag,
} from './asn1.ts'
import { CaError } from './errors.ts'
import { encryptByPassword, encryptedPrivateKeyInfo } from './pbes2.ts'

/**
 * Iterations for each of key, certificates and authentication. The same for all, because an attacker guesses at the
 * cheapest; and not more, because Windows refuses files that need more than 600,000 in all.
 */
export const PKCS12_ITERATIONS = 150_000

/** Programs differ in how they encode other characters of a password. */
const PASSWORD = /^[\x20-\x7e]{1,256}$/

/** What goes into a PKCS#12 file. */
export interface Pkcs12Content {
  readonly privateKey: KeyObject
  /** DER: the certificate of the key first, then those above it. */
  readonly certificates: readonly Uint8Array[]
  /** Name under which programs list the certificate; ASCII. */
  readonly friendlyName: string
}

/** How a file is made. */
export interface Pkcs12Options {
  /** 1 to 256 printable ASCII characters. */
  readonly password: string
  /** Default `PKCS12_ITERATIONS`, 150,000; lower in tests only. */
  readonly iterations?: number
  /** Called now and then during the derivation of the MAC key, which takes 0.1 s, to give way to other work. */
  readonly pause?: () => Promise<void>
}

const DATA = '1.2.840.113549.1.7.1'
const ENCRYPTED_DATA = '1.2.840.113549.1.7.6'
const SHROUDED_KEY_BAG = '1.2.840.113549.1.12.10.1.2'
const CERTIFICATE_BAG = '1.2.840.113549.1.12.10.1.3'
const X509_CERTIFICATE = '1.2.840.113549.1.9.22.1'
const FRIENDLY_NAME = '1.2.840.113549.1.9.20'
const LOCAL_KEY_ID = '1.2.840.113549.1.9.21'
const SHA256 = '2.16.840.1.101.3.4.2.1'

/**
 * Returns a PKCS#12 file in DER.
 *
 * @throws {CaError} `bad_request` (another password or name, or no certificate)
 * @see RFC 7292 section 4
 */
export async function pkcs12File(
  { privateKey, certificates, friendlyName }: Pkcs12Content,
  { password, iterations = PKCS12_ITERATIONS, pause }: Pkcs12Options,
): Promise<Buffer> {
  const [own] = certificates
  requireAscii('password', password)
  requireAscii('friendly name', friendlyName)
  if (own === undefined)
    throw new CaError('bad_request', 'a PKCS#12 file must have a certificate', {
      field: 'certificates',
      reason: 'missing',
    })
  const attributes = set(
    attribute(FRIENDLY_NAME, characterString(Tag.bmpString, Buffer.from(friendlyName, 'latin1'))),
    attribute(LOCAL_KEY_ID, octetString(createHash('sha256').update(own).digest())),
  )
  const clear = privateKey.export({ type: 'pkcs8', format: 'der' })
  const key = encryptedPrivateKeyInfo(await encryptByPassword(clear, password, iterations))
  clear.fill(0)
  const keyBags = sequence(sequence(oid(SHROUDED_KEY_BAG), explicit(0, key), attributes))
  const certificateBags = sequence(
    ...certificates.map((der) => certificateBag(der, der === own ? attributes : undefined)),
  )
  const safe = encode(
    sequence(
      await encryptedContent(encode(certificateBags), password, iterations),
      sequence(oid(DATA), explicit(0, octetString(encode(keyBags)))),
    ),
  )
  return encodedSequence([
    encode(smallInteger(3)),
    encode(sequence(oid(DATA), explicit(0, octetString(safe)))),
    encode(await macData(safe, { password, iterations, pause })),
  ])
}

function requireAscii(field: string, text: string): void {
  if (PASSWORD.test(text)) return
  throw new CaError('bad_request', `the ${field} must be 1 to 256 printable ASCII characters`, {
    field,
    reason: 'bad_value',
  })
}

function attribute(type: string, value: Asn1Node): Asn1Node {
  return sequence(oid(type), set(value))
}

function certificateBag(der: Uint8Array, attributes: Asn1Node | undefined): Asn1Node {
  const certificate = sequence(oid(X509_CERTIFICATE), explicit(0, octetString(der)))
  return sequence(oid(CERTIFICATE_BAG), explicit(0, certificate), attributes)
}

/** EncryptedData (RFC 5652 section 8). */
async function encryptedContent(
  clear: Uint8Array,
  password: string,
  iterations: number,
): Promise<Asn1Node> {
  const { scheme, encrypted } = await encryptByPassword(clear, password, iterations)
  const content = sequence(oid(DATA), scheme, implicitPrimitive(0, encrypted))
  return sequence(oid(ENCRYPTED_DATA), explicit(0, sequence(smallInteger(0), content)))
}

interface MacOptions {
  readonly password: string
  readonly iterations: number
  readonly pause: Pkcs12Options['pause'] | undefined
}

async function macData(content: Uint8Array, options: MacOptions): Promise<Asn1Node> {
  const salt = randomBytes(16)
  const secret = await macKey(salt, options)
  const mac = createHmac('sha256', secret).update(content).digest()
  const algorithm = sequence(oid(SHA256), nullValue())
  const digest = sequence(algorithm, octetString(mac))
  return sequence(digest, octetString(salt), smallInteger(options.iterations))
}

/** Block size of SHA-256, in bytes. */
const BLOCK = 64
/** Purpose of the derived key: a MAC. */
const MAC_PURPOSE = 3
const ROUNDS_PER_PAUSE = 2000

/**
 * Derives the key of the MAC. One block of SHA-256 is exactly the key, so the steps for further blocks are left out.
 *
 * @see RFC 7292 appendix B.2
 */
async function macKey(salt: Buffer, { password, iterations, pause }: MacOptions): Promise<Buffer> {
  // A BMPString with a terminating NUL character.
  const text = Buffer.from(`${password}\0`, 'utf16le').swap16()
  let digest = createHash('sha256')
    .update(Buffer.alloc(BLOCK, MAC_PURPOSE))
    .update(filled(salt))
    .update(filled(text))
    .digest()
  for (let round = 1; round < iterations; round += 1) {
    digest = hash('sha256', digest, 'buffer')
    if (round % ROUNDS_PER_PAUSE === 0) await pause?.()
  }
  return digest
}

/** Repeats the bytes up to a whole number of blocks. */
function filled(bytes: Buffer): Buffer {
  return Buffer.alloc(Math.ceil(bytes.length / BLOCK) * BLOCK, bytes)
}
