/**
 * Makes user certificates of OpenSSH (PROTOCOL.certkeys): signs them, reads them back and verifies them. Host
 * certificates are not supported.
 */
import { CaError, type CaErrorReason } from '../errors.ts'
import { type SshAuthority, verifySshSignature } from './authority.ts'
import type { SshPublicKey } from './public-key.ts'
import { readSshCertificate, sshCertificateType, type SshCertificate } from './read-certificate.ts'
import { checkNetworks } from './source-address.ts'
import { wireString, wireUint32, wireUint64 } from './wire.ts'

/** What a certificate can permit. sshd refuses everything that it does not name. */
export const sshExtensions = [
  'permit-X11-forwarding',
  'permit-agent-forwarding',
  'permit-port-forwarding',
  'permit-pty',
  'permit-user-rc',
] as const
export type SshExtension = (typeof sshExtensions)[number]

/**
 * What a principal may be: an account or a role as sshd compares it, octet for octet, with the lines of
 * AuthorizedPrincipalsFile. No space, comma, quote, `#`, wildcard or control character, and no leading `-`.
 */
export const principalPattern = /^[A-Za-z0-9_][A-Za-z0-9_.@+:/=-]{0,127}$/
/** sshd refuses certificates with more than 256. */
const MAX_PRINCIPALS = 64
/** Valid key ids: one word without special meaning in logs and shells. */
export const keyIdPattern = /^[A-Za-z0-9_][A-Za-z0-9_.,@+:/=%~-]{0,511}$/
/** Octets of a nonce at least. */
const MIN_NONCE_BYTES = 16
const USER_CERTIFICATE = 1

export interface SshCertificateRequest {
  readonly publicKey: SshPublicKey
  /** 1 to 2^64-1: 0 means no number, and sshd cannot revoke by it. */
  readonly serial: bigint
  /** What sshd logs; `keyIdPattern`. */
  readonly keyId: string
  /** At least one: a certificate without principals is valid for every account. */
  readonly principals: readonly string[]
  /** Whole seconds; valid after <= now < valid before. */
  readonly validAfter: Date
  readonly validBefore: Date
  readonly extensions: readonly SshExtension[]
  /** Networks from which it may be used; undefined: from everywhere. */
  readonly sourceAddresses?: readonly string[] | undefined
  /** The only command that it can run; undefined: any. */
  readonly forceCommand?: string | undefined
  /** At least 16 random octets. */
  readonly nonce: Buffer
}

/**
 * Makes and signs a certificate and returns its wire form.
 *
 * @throws {CaError} `bad_request`, `bad_lifetime`, `self_check_failed`
 */
export async function createSshCertificate(
  authority: SshAuthority,
  request: SshCertificateRequest,
): Promise<Buffer> {
  checkRequest(request)
  const { publicKey } = request
  const signed = Buffer.concat([
    wireString(sshCertificateType(publicKey.type)),
    wireString(request.nonce),
    publicKey.fields,
    wireUint64(request.serial),
    wireUint32(USER_CERTIFICATE),
    wireString(request.keyId),
    wireString(Buffer.concat(request.principals.map(wireString))),
    wireUint64(secondsOf(request.validAfter)),
    wireUint64(secondsOf(request.validBefore)),
    wireString(options(criticalOptions(request))),
    wireString(options(request.extensions.map((name) => [name, Buffer.alloc(0)]))),
    wireString(''),
    wireString(authority.publicKey.blob),
  ])
  const certificate = Buffer.concat([signed, wireString(await authority.sign(signed))])
  await checkMade(certificate, { authority, request })
  return certificate
}

function checkRequest(request: SshCertificateRequest): void {
  const refuse = (
    field: keyof SshCertificateRequest,
    why: string,
    reason: CaErrorReason = 'bad_value',
  ): never => {
    throw new CaError('bad_request', `bad SSH certificate request: ${why}`, { field, reason })
  }
  const { principals, forceCommand } = request
  if (request.serial < 1n || request.serial >= 1n << 64n)
    refuse('serial', 'the serial number must be 1 to 2^64-1')
  if (request.nonce.length < MIN_NONCE_BYTES || request.nonce.length > 64)
    refuse('nonce', 'the nonce must have 16 to 64 octets')
  if (!keyIdPattern.test(request.keyId))
    refuse('keyId', 'the key id contains characters that are not allowed')
  if (principals.length === 0)
    refuse('principals', 'without a principal it would be valid for every account', 'missing')
  if (principals.length > MAX_PRINCIPALS)
    refuse('principals', `at most ${MAX_PRINCIPALS} principals are allowed`, 'too_many')
  if (!principals.every((principal) => principalPattern.test(principal)))
    refuse('principals', 'a principal contains characters that are not allowed')
  if (request.sourceAddresses !== undefined) checkNetworks(request.sourceAddresses)
  if (forceCommand !== undefined && !/^[ -~]{1,1024}$/.test(forceCommand))
    refuse('forceCommand', 'the command must have 1 to 1024 printable characters')
  if (!(secondsOf(request.validAfter) < secondsOf(request.validBefore)))
    throw new CaError('bad_lifetime', 'an SSH certificate must not end before it begins', {
      field: 'validBefore',
      reason: 'bad_value',
    })
}

function secondsOf(date: Date): bigint {
  const seconds = date.getTime() / 1000
  if (!Number.isSafeInteger(seconds) || seconds < 0)
    throw new CaError(
      'bad_lifetime',
      'times of an SSH certificate must be whole seconds since 1970',
      {
        field: 'validity',
        reason: 'bad_value',
      },
    )
  return BigInt(seconds)
}

type Option = readonly [name: string, data: Buffer]

function criticalOptions({ forceCommand, sourceAddresses }: SshCertificateRequest): Option[] {
  const found: Option[] = []
  if (forceCommand !== undefined) found.push(['force-command', wireString(forceCommand)])
  if (sourceAddresses !== undefined)
    found.push(['source-address', wireString(sourceAddresses.join(','))])
  return found
}

/** Sorted by the octets of their names, each once; sshd refuses them otherwise. */
function options(given: readonly Option[]): Buffer {
  const byName = new Map(given)
  const names = [...byName.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  return Buffer.concat(
    names.flatMap((name) => [wireString(name), wireString(byName.get(name) ?? '')]),
  )
}

/** Reads the new certificate back, verifies it and compares it with the request. */
async function checkMade(
  blob: Buffer,
  {
    authority,
    request,
  }: { readonly authority: SshAuthority; readonly request: SshCertificateRequest },
): Promise<void> {
  try {
    const made = readSshCertificate(blob)
    await verifySshSignature(authority.publicKey, { data: made.signed, signature: made.signature })
    const wrong = difference(made, request)
    if (wrong !== undefined) throw mismatch(`its ${wrong} differs`)
    if (!made.signatureKey.blob.equals(authority.publicKey.blob))
      throw mismatch('it names another CA')
  } catch (cause) {
    throw new CaError('self_check_failed', 'the new SSH certificate differs from the request', {
      field: 'SSH certificate',
      reason: 'mismatch',
      cause,
    })
  }
}

function mismatch(message: string): CaError {
  return new CaError('self_check_failed', message, { field: 'SSH certificate', reason: 'mismatch' })
}

function difference(made: SshCertificate, request: SshCertificateRequest): string | undefined {
  const same = {
    type: made.certificateType === USER_CERTIFICATE,
    'public key': made.publicKey.blob.equals(request.publicKey.blob),
    'serial number': made.serial === request.serial,
    'key id': made.keyId === request.keyId,
    principals: made.principals.join(' ') === request.principals.join(' '),
    begin: made.validAfter === secondsOf(request.validAfter),
    end: made.validBefore === secondsOf(request.validBefore),
    command: made.criticalOptions.get('force-command') === request.forceCommand,
    'source addresses':
      made.criticalOptions.get('source-address') === request.sourceAddresses?.join(','),
    extensions: [...new Set(request.extensions)].sort().join(' ') === made.extensions.join(' '),
  }
  return Object.entries(same).find(([, isSame]) => !isSame)?.[0]
}
