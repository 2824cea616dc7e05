/** SSH certificates in, fields out (PROTOCOL.certkeys). */
import { malformed, tooLarge } from '../errors.ts'
import {
  readKeyFields,
  readSshPublicKey,
  type SshKeyType,
  sshKeyTypes,
  type SshPublicKey,
} from './public-key.ts'
import { type WireReader, wireReader } from './wire.ts'

/** Largest certificate that is read; ours have 0.5 to 3 KiB. */
export const MAX_SSH_CERTIFICATE_BYTES = 16 * 1024
const MAX_PART_BYTES = 8 * 1024

/** A certificate that was read. */
export interface SshCertificate {
  readonly type: string
  readonly nonce: Buffer
  readonly publicKey: SshPublicKey
  readonly serial: bigint
  /** 1 for users, 2 for hosts. */
  readonly certificateType: number
  readonly keyId: string
  readonly principals: readonly string[]
  /** Seconds since 1970; 2^64-1 is for ever. */
  readonly validAfter: bigint
  readonly validBefore: bigint
  readonly criticalOptions: ReadonlyMap<string, string>
  readonly extensions: readonly string[]
  readonly signatureKey: SshPublicKey
  /** What the signature is over. */
  readonly signed: Buffer
  readonly signature: Buffer
}

/** The type of the certificate for a type of key. */
export function sshCertificateType(type: SshKeyType): string {
  return `${type.replace('@openssh.com', '')}-cert-v01@openssh.com`
}

/**
 * Reads a certificate in wire form. Checks its structure and its keys, not its signature.
 *
 * @throws {CaError} `too_large`, `malformed`, `weak_key`
 */
export function readSshCertificate(blob: Buffer): SshCertificate {
  if (blob.length > MAX_SSH_CERTIFICATE_BYTES)
    throw tooLarge('SSH certificate', 'bytes', {
      actual: blob.length,
      limit: MAX_SSH_CERTIFICATE_BYTES,
    })
  const reader = wireReader(blob, 'SSH certificate')
  const type = reader.text(64)
  const keyType = sshKeyTypes.find((candidate) => sshCertificateType(candidate) === type)
  if (keyType === undefined)
    throw malformed('SSH certificate', 'its type is not supported', { reason: 'unsupported' })
  const fields = {
    type,
    nonce: reader.string(64),
    publicKey: readKeyFields(keyType, reader),
    serial: reader.uint64(),
    certificateType: reader.uint32(),
    keyId: reader.text(1024),
    principals: readList(reader, (list) => list.text(255)),
    validAfter: reader.uint64(),
    validBefore: reader.uint64(),
    criticalOptions: readOptions(reader, (data) => data.text(MAX_PART_BYTES)),
    extensions: [...readOptions(reader, () => '').keys()],
  }
  reader.string(MAX_PART_BYTES)
  const signatureKey = readSshPublicKey(reader.string(MAX_PART_BYTES))
  const signed = blob.subarray(0, reader.position)
  const signature = reader.string(MAX_PART_BYTES)
  reader.end()
  return { ...fields, signatureKey, signed, signature }
}

/**
 * Reads the line of a certificate file.
 *
 * @throws {CaError} `too_large`, `malformed`, `weak_key`
 */
export function readSshCertificateLine(line: string): SshCertificate {
  if (line.length > 2 * MAX_SSH_CERTIFICATE_BYTES)
    throw tooLarge('SSH certificate', 'characters', {
      actual: line.length,
      limit: 2 * MAX_SSH_CERTIFICATE_BYTES,
    })
  const [type, base64 = ''] = line.trim().split(/[ \t]+/, 2)
  const certificate = readSshCertificate(Buffer.from(base64, 'base64'))
  if (certificate.type !== type)
    throw malformed('SSH certificate', 'its line names another type', { reason: 'mismatch' })
  return certificate
}

function readList<T>(reader: WireReader, read: (list: WireReader) => T): readonly T[] {
  const list = wireReader(reader.string(MAX_PART_BYTES), 'SSH certificate')
  const values: T[] = []
  while (list.left > 0) values.push(read(list))
  return values
}

function readOptions(
  reader: WireReader,
  readData: (data: WireReader) => string,
): ReadonlyMap<string, string> {
  const pairs = readList(reader, (list): readonly [string, string] => {
    const name = list.text(255)
    const data = wireReader(list.string(MAX_PART_BYTES), 'SSH certificate')
    const value = readData(data)
    data.end()
    return [name, value]
  })
  const found = new Map<string, string>()
  let before = ''
  for (const [name, value] of pairs) {
    // PROTOCOL.certkeys: in lexical order, each once.
    if (name <= before) throw malformed('SSH certificate', 'its options are not in lexical order')
    found.set(name, value)
    before = name
  }
  return found
}
