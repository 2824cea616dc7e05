/**
 * Key revocation lists of OpenSSH (PROTOCOL.krl) that revoke certificates of one CA, by serial number or key id. They
 * are not signed, because sshd ignores signatures; the list must come over a trusted channel.
 */
import { CaError, malformed, tooLarge } from '../errors.ts'
import { readSshPublicKey, type SshPublicKey } from './public-key.ts'
import { type WireReader, wireReader, wireString, wireUint32, wireUint64 } from './wire.ts'

/** `SSHKRL\n\0`. */
const MAGIC = 0x5353484b524c0a00n
const FORMAT_VERSION = 1
const CERTIFICATES_SECTION = 1
const SERIAL_LIST = 0x20
const KEY_ID = 0x23

/** Most serial numbers, and most key ids, in one list: 8 MB. Entries whose certificates have ended need not stay. */
export const MAX_KRL_ENTRIES = 1_000_000
/** Largest list that is read. */
export const MAX_KRL_BYTES = 32 * 1024 * 1024

/** The contents of a list. */
export interface Krl {
  /** Grows with each list; for people and scripts, sshd does not look at it. */
  readonly version: bigint
  readonly generatedAt: Date
  /** Printable US-ASCII. */
  readonly comment: string
  /** The CA whose certificates are revoked; undefined when none are. */
  readonly authority: SshPublicKey | undefined
  /** Above 0, in ascending order, each once. */
  readonly serials: readonly bigint[]
  readonly keyIds: readonly string[]
}

export interface KrlRequest extends Omit<Krl, 'authority'> {
  readonly authority: SshPublicKey
}

/** Returns a version that grows with time, in seconds since 1970, so that no counter must be stored. */
export function krlVersionAt(generatedAt: Date): bigint {
  return secondsOf(generatedAt)
}

/**
 * Writes a key revocation list; serial numbers and key ids may come in any order and more than once. With none of
 * either it revokes nothing, and sshd accepts it.
 *
 * @throws {CaError} `bad_request`, `self_check_failed`
 * @see RFC 4251 section 5 (the encoding; the format is PROTOCOL.krl of OpenSSH)
 * @example
 * const list = { version: 1n, generatedAt: now, comment: '', serials: [7n, 5n, 7n], keyIds: [] }
 * readKrl(createKrl({ ...list, authority: sshAuthority.publicKey })).serials // => [5n, 7n]
 */
export function createKrl(request: KrlRequest): Buffer {
  const serials = [...new BigUint64Array(checkedSerials(request.serials)).sort()]
  const keyIds = [...new Set(request.keyIds)].sort()
  const list = {
    ...request,
    serials: serials.filter((serial, index) => serial !== serials[index - 1]),
    keyIds,
  }
  checkRequest(list)
  const krl = Buffer.concat([
    wireUint64(MAGIC),
    wireUint32(FORMAT_VERSION),
    wireUint64(request.version),
    wireUint64(secondsOf(request.generatedAt)),
    wireUint64(0n),
    wireString(''),
    wireString(request.comment),
    certificatesSection(list),
  ])
  checkMade(krl, list)
  return krl
}

function badRequest(field: keyof KrlRequest, message: string): CaError {
  return new CaError('bad_request', message, { field, reason: 'bad_value' })
}

function tooMany(field: 'serials' | 'keyIds', actual: number): CaError {
  const limit = MAX_KRL_ENTRIES
  const message = `a KRL may have at most ${limit} ${field === 'serials' ? 'serial numbers' : 'key ids'}`
  return new CaError('bad_request', message, { field, reason: 'too_many', limit, actual })
}

function checkedSerials(serials: readonly bigint[]): readonly bigint[] {
  if (serials.length > MAX_KRL_ENTRIES) throw tooMany('serials', serials.length)
  // sshd refuses a list with number 0 as a whole, and with it every login.
  if (!serials.every((serial) => serial > 0n && serial < 1n << 64n))
    throw badRequest('serials', 'serial numbers in a KRL must be 1 to 2^64-1')
  return serials
}

function checkRequest({ keyIds, comment }: KrlRequest): void {
  if (keyIds.length > MAX_KRL_ENTRIES) throw tooMany('keyIds', keyIds.length)
  if (!keyIds.every((keyId) => /^[ -~]{1,1024}$/.test(keyId)) || !/^[ -~]{0,255}$/.test(comment))
    throw badRequest('keyIds', 'key ids and comment of a KRL must be printable US-ASCII')
}

function secondsOf(date: Date): bigint {
  const seconds = Math.floor(date.getTime() / 1000)
  if (!Number.isSafeInteger(seconds) || seconds < 0)
    throw badRequest('generatedAt', 'the time of a KRL must be after 1970')
  return BigInt(seconds)
}

function certificatesSection({ authority, serials, keyIds }: KrlRequest): Buffer {
  if (serials.length === 0 && keyIds.length === 0) return Buffer.alloc(0)
  const numbers = Buffer.alloc(serials.length * 8)
  serials.forEach((serial, index) => numbers.writeBigUInt64BE(serial, index * 8))
  const ids = Buffer.concat(keyIds.map(wireString))
  return section(
    CERTIFICATES_SECTION,
    Buffer.concat([
      wireString(authority.blob),
      wireString(''),
      serials.length > 0 ? section(SERIAL_LIST, numbers) : Buffer.alloc(0),
      keyIds.length > 0 ? section(KEY_ID, ids) : Buffer.alloc(0),
    ]),
  )
}

function section(type: number, data: Buffer): Buffer {
  return Buffer.concat([Buffer.of(type), wireString(data)])
}

function checkMade(krl: Buffer, request: KrlRequest): void {
  const made = readKrl(krl)
  const same =
    made.version === request.version &&
    made.comment === request.comment &&
    made.serials.length === request.serials.length &&
    made.serials.every((serial, index) => serial === request.serials[index]) &&
    made.keyIds.length === request.keyIds.length &&
    made.keyIds.every((keyId, index) => keyId === request.keyIds[index]) &&
    (made.authority === undefined || made.authority.blob.equals(request.authority.blob))
  if (!same)
    throw new CaError('self_check_failed', 'the new KRL differs from the request', {
      field: 'KRL',
      reason: 'mismatch',
    })
}

/**
 * Reads a list of the kind that `createKrl` writes, at most 32 MiB. There is no signature to check.
 *
 * @throws {CaError} `too_large`; `malformed`, also for sections that are not written here; `weak_key`
 * @see RFC 4251 section 5 (the encoding; the format is PROTOCOL.krl of OpenSSH)
 * @example
 * const list = { version: 3n, generatedAt: now, comment: 'test', serials: [], keyIds: ['alice'] }
 * readKrl(createKrl({ ...list, authority: sshAuthority.publicKey })).keyIds // => ['alice']
 */
export function readKrl(krl: Buffer): Krl {
  if (krl.length > MAX_KRL_BYTES)
    throw tooLarge('KRL', 'bytes', { actual: krl.length, limit: MAX_KRL_BYTES })
  const reader = wireReader(krl, 'KRL')
  if (reader.uint64() !== MAGIC || reader.uint32() !== FORMAT_VERSION)
    throw malformed('KRL', 'it does not begin with the magic number and version 1')
  const version = reader.uint64()
  const generatedAt = new Date(Number(reader.uint64()) * 1000)
  if (reader.uint64() !== 0n)
    throw malformed('KRL', 'it has unknown flags', { reason: 'unsupported' })
  reader.string(MAX_KRL_BYTES)
  const comment = reader.text(1024)
  if (reader.left === 0)
    return { version, generatedAt, comment, authority: undefined, serials: [], keyIds: [] }
  expectSection(reader.uint8(), [CERTIFICATES_SECTION])
  const certificates = wireReader(reader.string(MAX_KRL_BYTES), 'KRL')
  reader.end()
  return { version, generatedAt, comment, ...readCertificates(certificates) }
}

function expectSection(type: number, known: readonly number[]): void {
  if (!known.includes(type))
    throw malformed('KRL', `unexpected section of type ${type}`, { reason: 'unexpected' })
}

function readCertificates(reader: WireReader): Pick<Krl, 'authority' | 'serials' | 'keyIds'> {
  const authority = readSshPublicKey(reader.string(MAX_KRL_BYTES))
  reader.string(MAX_KRL_BYTES)
  const serials: bigint[] = []
  const keyIds: string[] = []
  while (reader.left > 0) {
    const type = reader.uint8()
    expectSection(type, [SERIAL_LIST, KEY_ID])
    const data = wireReader(reader.string(MAX_KRL_BYTES), 'KRL')
    while (data.left > 0) {
      if (type === SERIAL_LIST) serials.push(data.uint64())
      else keyIds.push(data.text(1024))
    }
  }
  return { authority, serials, keyIds }
}
