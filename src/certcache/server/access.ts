/** The access rules. A proxy file holds a private key, so it goes only to this machine or to authorised clients. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { BlockList, isIP } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { z } from 'zod'
import { TtsError } from '../../base/errors.ts'
import { plainAddress } from '../../limits/address-key.ts'
import { isLoopback, type accessSettings } from '../settings/listen-settings.ts'

export type AccessSettings = Readonly<z.output<typeof accessSettings>>

/** Why a request is refused. The set is fixed, because the reasons are labels of a metric. */
export const refusalReasons = [
  'foreign_host',
  'address_not_allowed',
  'secret_missing',
  'secret_wrong',
  'client_certificate',
] as const
export type RefusalReason = (typeof refusalReasons)[number]

export interface Refusal {
  readonly status: 401 | 403
  readonly reason: RefusalReason
  /** One sentence for the client. It does not reveal what would have been correct. */
  readonly message: string
}

/**
 * The rules, in two steps. Every configured rule applies, in every mode. First the origin of the request: `allow`,
 * and in mode `local` the Host header. Then the caller: the secret or a client certificate; if both are configured,
 * either is enough.
 */
export interface AccessRules {
  /** Applies to every path. */
  refuseOrigin(request: IncomingMessage): Refusal | undefined
  /** Applies to paths that show a private key or a name. */
  refuseCaller(request: IncomingMessage): Refusal | undefined
}

/**
 * Creates the rules.
 *
 * @param isUnixSocket requests come through a Unix socket: its permissions decide who connects, and no browser can
 * @throws {TtsError} `configuration`
 */
export function createAccessRules(settings: AccessSettings, isUnixSocket: boolean): AccessRules {
  const allowed = allowList(settings.allow)
  const secret = settings.secret === undefined ? undefined : digest(checkedSecret(settings.secret))
  const acceptsCertificate = settings.client_ca_file !== undefined
  const checksHost = settings.mode === 'local' && !isUnixSocket
  return {
    refuseOrigin: (request) => {
      if (checksHost && !isLoopbackHostHeader(request.headers.host ?? '')) return foreignHost
      if (allowed && !isUnixSocket && !allowed(request.socket.remoteAddress ?? ''))
        return addressNotAllowed
      return undefined
    },
    refuseCaller: (request) => {
      if (acceptsCertificate && (request.socket as TLSSocket).authorized) return undefined
      if (secret) return refuseSecret(request.headers.authorization, secret)
      return acceptsCertificate ? noCertificate : undefined
    },
  }
}

const foreignHost: Refusal = {
  status: 403,
  reason: 'foreign_host',
  message:
    'This certcache serves this machine only. Use localhost or 127.0.0.1 in the URL, not another host name.',
}
const addressNotAllowed: Refusal = {
  status: 403,
  reason: 'address_not_allowed',
  message: 'Your address is not allowed to fetch proxies here (access.allow).',
}
const noCertificate: Refusal = {
  status: 403,
  reason: 'client_certificate',
  message: 'A TLS client certificate of a trusted CA is required (access.client_ca_file).',
}
const secretMissing: Refusal = {
  status: 401,
  reason: 'secret_missing',
  message:
    'The secret of this certcache is required, as bearer token or as password (access.secret_file).',
}
const secretWrong: Refusal = {
  status: 401,
  reason: 'secret_wrong',
  message: 'The secret is wrong.',
}

/** Blanks and control characters cannot be sent in headers, and a short secret can be guessed. */
function checkedSecret(secret: string): string {
  if (/^[\x21-\x7e]{16,1024}$/.test(secret)) return secret
  throw new TtsError(
    'configuration',
    'access.secret: must be 16 to 1024 printable characters without blanks',
    { remedy: 'Generate one with `openssl rand -hex 24`.' },
  )
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

/** Compares digests in constant time, so that the timing reveals neither content nor length. */
const isSecret = (candidate: string, secret: Buffer): boolean =>
  timingSafeEqual(digest(candidate), secret)

function refuseSecret(header: string | undefined, secret: Buffer): Refusal | undefined {
  const candidates = findSecrets(header)
  if (candidates === undefined) return secretMissing
  // Compare all candidates, so that the timing does not reveal which one matches.
  const matches = candidates.map((candidate) => isSecret(candidate, secret))
  return matches.includes(true) ? undefined : secretWrong
}

/**
 * Returns the parts of the Authorization header that may be the secret: the bearer token (RFC 6750 section 2.1), or the
 * password or user of Basic authentication (RFC 7617 section 2), as `curl http://SECRET@host` sends it.
 */
function findSecrets(header: string | undefined): readonly string[] | undefined {
  const [, scheme = '', value = ''] = /^(\w+) +(\S+) *$/.exec(header ?? '') ?? []
  switch (scheme.toLowerCase()) {
    case 'bearer':
      return [value]
    case 'basic': {
      const decoded = Buffer.from(value, 'base64').toString('utf8')
      const colon = decoded.indexOf(':')
      return colon < 0 ? [decoded] : [decoded, decoded.slice(0, colon), decoded.slice(colon + 1)]
    }
    default:
      return undefined
  }
}

/**
 * Tells whether a Host header names the loopback interface. An attacker's web page can make its own name resolve to
 * 127.0.0.1 (DNS rebinding), but the browser still sends that name in the header.
 */
export function isLoopbackHostHeader(host: string): boolean {
  const [, bracketed, plain] = /^(?:\[([0-9a-f:]+)\]|([^:[\]]+))(?::\d{1,5})?$/i.exec(host) ?? []
  return isLoopback((bracketed ?? plain ?? '').toLowerCase())
}

function allowList(networks: readonly string[]): ((address: string) => boolean) | undefined {
  if (networks.length === 0) return undefined
  const list = new BlockList()
  for (const network of networks.flatMap((name) => namedNetworks[name] ?? [name]))
    addNetwork(list, network)
  return (address) => {
    const plain = plainAddress(address)
    const family = isIP(plain)
    return family !== 0 && list.check(plain, family === 4 ? 'ipv4' : 'ipv6')
  }
}

/** Network names that the settings may use. */
const namedNetworks: Readonly<Record<string, readonly string[]>> = {
  loopback: ['127.0.0.0/8', '::1'],
  linklocal: ['169.254.0.0/16', 'fe80::/10'],
  uniquelocal: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'],
}

function addNetwork(list: BlockList, network: string): void {
  const [address = '', prefix] = network.split('/')
  const family = isIP(address) === 4 ? 'ipv4' : 'ipv6'
  const bits = Number(prefix ?? (family === 'ipv4' ? 32 : 128))
  if (bits === 0) {
    throw new TtsError(
      'configuration',
      `access.allow: ${network} allows every address; remove it, or name the networks of your workers`,
    )
  }
  try {
    list.addSubnet(address, bits, family)
  } catch (cause) {
    throw new TtsError(
      'configuration',
      `access.allow: "${network}" is not an address or a network such as 10.0.0.0/8`,
      { cause },
    )
  }
}
