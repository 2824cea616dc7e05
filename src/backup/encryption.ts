/**
 * The encryption of a backup: a key from the passphrase by scrypt, and AES-256-GCM for chunks of the content. Each
 * chunk is bound to its place and to being the last one or not, so nothing can be left out, moved or cut off.
 *
 * Format: the line `tts-backup 1`, a line of JSON with the parameters of scrypt, then the chunks, each with its length
 * in four octets before it.
 */
import { createHash, randomBytes, scrypt } from 'node:crypto'
import { Transform } from 'node:stream'
import { TtsError } from '../base/errors.ts'
import { openBytes, sealBytes } from '../sealing/aes-gcm.ts'

const MAGIC = 'tts-backup 1'
const CHUNK_BYTES = 64 * 1024
/** Initialisation vector and tag. */
const SEAL_BYTES = 28
/** 128 MiB and about half a second for each guess. */
const SCRYPT = { N: 2 ** 17, r: 8, p: 1 }
const MAX_HEADER_BYTES = 1024

/** @throws {TtsError} `invalid_request`, check `backup_passphrase` (it is too short) */
export function checkPassphrase(passphrase: string): void {
  if (passphrase.length >= 16) return
  throw new TtsError('invalid_request', 'the passphrase must have at least 16 characters', {
    check: 'backup_passphrase',
    remedy: 'Make one with `openssl rand -base64 24`.',
  })
}

/** Returns a stream that encrypts what is written to it. */
export async function encryptBackup(passphrase: string): Promise<Transform> {
  checkPassphrase(passphrase)
  const salt = randomBytes(16)
  const header = Buffer.from(
    `${MAGIC}\n${JSON.stringify({ kdf: 'scrypt', ...SCRYPT, salt: salt.toString('base64') })}\n`,
  )
  const key = await deriveKey(passphrase, salt, SCRYPT)
  const place = placesOf(header)
  let held = Buffer.alloc(0)
  const sealed = (content: Buffer, isLast: boolean): Buffer => {
    const bytes = sealBytes({ key, associatedData: place(isLast) }, content)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    return Buffer.concat([length, bytes])
  }
  const stream = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      held = Buffer.concat([held, chunk])
      // One chunk is kept back, because only the end of the stream shows which one is the last.
      while (held.length > CHUNK_BYTES) {
        this.push(sealed(held.subarray(0, CHUNK_BYTES), false))
        held = held.subarray(CHUNK_BYTES)
      }
      done()
    },
    flush(done) {
      this.push(sealed(held, true))
      done()
    },
  })
  stream.push(header)
  return stream
}

/**
 * Decrypts the bytes of a backup.
 *
 * @throws {TtsError} `configuration`, checks `backup_format` (not a backup), `backup_passphrase` (wrong passphrase, or
 *   a damaged first chunk), `backup_damaged` (changed or cut off)
 */
export async function* decryptBackup(
  source: AsyncIterable<Buffer>,
  passphrase: string,
): AsyncGenerator<Buffer> {
  let held = Buffer.alloc(0)
  let openChunk: Opener | undefined
  let isOver = false
  for await (const bytes of source) {
    held = Buffer.concat([held, bytes])
    if (openChunk === undefined) {
      const header = headerIn(held)
      if (header === undefined) continue
      held = held.subarray(header.length)
      openChunk = await openerFor(header, passphrase)
    }
    for (let sealed = nextChunk(held); sealed !== undefined; sealed = nextChunk(held)) {
      if (isOver) throw damaged()
      held = held.subarray(4 + sealed.length)
      const { content, isLast } = openChunk(sealed)
      isOver = isLast
      yield content
    }
  }
  if (openChunk === undefined) throw notABackup()
  if (!isOver || held.length > 0) throw damaged()
}

type Opener = (sealed: Buffer) => { readonly content: Buffer; readonly isLast: boolean }

async function openerFor(header: Buffer, passphrase: string): Promise<Opener> {
  const { salt, parameters } = readHeader(header)
  const key = await deriveKey(passphrase, salt, parameters)
  const place = placesOf(header)
  let isFirst = true
  return (sealed) => {
    const counter = place.next()
    for (const isLast of [false, true]) {
      try {
        const content = openBytes({ key, associatedData: place.at(counter, isLast) }, sealed)
        isFirst = false
        return { content, isLast }
      } catch {
        // Not this one of the two.
      }
    }
    throw isFirst ? wrongPassphrase() : damaged()
  }
}

/** The associated data of each chunk: header, number of the chunk, and whether it is the last one. */
function placesOf(header: Buffer) {
  const digest = createHash('sha256').update(header).digest()
  let count = 0
  const at = (counter: number, isLast: boolean): Buffer => {
    const number = Buffer.alloc(9)
    number.writeBigUInt64BE(BigInt(counter))
    number[8] = isLast ? 1 : 0
    return Buffer.concat([digest, number])
  }
  const next = (): number => {
    count += 1
    return count
  }
  return Object.assign((isLast: boolean) => at(next(), isLast), { at, next })
}

function nextChunk(bytes: Buffer): Buffer | undefined {
  if (bytes.length < 4) return undefined
  const length = bytes.readUInt32BE(0)
  if (length < SEAL_BYTES || length > CHUNK_BYTES + SEAL_BYTES) throw damaged()
  return bytes.length < 4 + length ? undefined : bytes.subarray(4, 4 + length)
}

/** Both lines of the header; undefined while they are not complete. */
function headerIn(bytes: Buffer): Buffer | undefined {
  const first = bytes.subarray(0, MAGIC.length + 1).toString('latin1')
  if (!`${MAGIC}\n`.startsWith(first)) throw notABackup()
  const end = bytes.indexOf('\n', MAGIC.length + 1)
  if (end >= 0) return bytes.subarray(0, end + 1)
  if (bytes.length > MAX_HEADER_BYTES) throw notABackup()
  return undefined
}

interface ScryptParameters {
  readonly N: number
  readonly r: number
  readonly p: number
}

function readHeader(header: Buffer): {
  readonly salt: Buffer
  readonly parameters: ScryptParameters
} {
  try {
    const [, line = ''] = header.toString('utf8').split('\n')
    const { N, r, p, salt } = JSON.parse(line) as ScryptParameters & { readonly salt: string }
    // Not more than we write: a file must not make us use more memory.
    if (N > SCRYPT.N || r > SCRYPT.r || p > SCRYPT.p) throw notABackup()
    return { salt: Buffer.from(salt, 'base64'), parameters: { N, r, p } }
  } catch {
    throw notABackup()
  }
}

async function deriveKey(
  passphrase: string,
  salt: Buffer,
  parameters: ScryptParameters,
): Promise<Buffer> {
  const options = { ...parameters, maxmem: 256 * 1024 * 1024 }
  return new Promise((resolve, reject) => {
    scrypt(passphrase.normalize('NFC'), salt, 32, options, (error, key) => {
      if (error) reject(notABackup())
      else resolve(key)
    })
  })
}

const notABackup = (): TtsError =>
  new TtsError('configuration', 'the file is not a backup of `tts backup`', {
    check: 'backup_format',
  })

const wrongPassphrase = (): TtsError =>
  new TtsError('configuration', 'the passphrase is not that of the backup', {
    check: 'backup_passphrase',
    remedy: 'Use the passphrase of the day on which the backup was made.',
  })

const damaged = (): TtsError =>
  new TtsError('configuration', 'the backup is damaged or incomplete', {
    check: 'backup_damaged',
    remedy: 'Use another copy, or the backup before it.',
  })
