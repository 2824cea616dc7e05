/** Networks as the critical option `source-address` takes them. */
import { CaError } from '../errors.ts'

/** Most networks in one certificate. */
const MAX_NETWORKS = 64

/**
 * Refuses networks that sshd cannot parse: with one wrong network in a certificate sshd refuses every login by it,
 * and only then. Address bits after the prefix must be 0, as sshd requires.
 *
 * @param networks for example `192.0.2.0/24`, `2001:db8::/32`, `198.51.100.7`
 * @throws {CaError} `bad_request`
 */
export function checkNetworks(networks: readonly string[]): void {
  if (networks.length === 0 || networks.length > MAX_NETWORKS)
    throw new CaError('bad_request', `source addresses must be 1 to ${MAX_NETWORKS} networks`, {
      field: 'sourceAddresses',
      reason: networks.length === 0 ? 'missing' : 'too_many',
      limit: MAX_NETWORKS,
      actual: networks.length,
    })
  for (const network of networks) {
    if (!isNetwork(network)) {
      throw new CaError(
        'bad_request',
        'source addresses must be networks like 192.0.2.0/24 or 2001:db8::/32, with no bits set after the prefix',
        { field: 'sourceAddresses', reason: 'bad_value' },
      )
    }
  }
}

function isNetwork(network: string): boolean {
  const [, address = '', length] = /^([0-9a-fA-F.:]{2,45})(?:\/(\d{1,3}))?$/.exec(network) ?? []
  const bits = address.includes(':') ? 128 : 32
  const value = bits === 128 ? ipv6(address) : ipv4(address)
  const prefix = length === undefined ? bits : Number(length)
  if (value === undefined || prefix > bits) return false
  return (value & ((1n << BigInt(bits - prefix)) - 1n)) === 0n
}

function ipv4(address: string): bigint | undefined {
  const octets = address.split('.')
  const good = octets.every((octet) => /^(0|[1-9]\d{0,2})$/.test(octet) && Number(octet) < 256)
  if (octets.length !== 4 || !good) return undefined
  return octets.reduce((value, octet) => (value << 8n) | BigInt(octet), 0n)
}

/** Without the form that ends like an IPv4 address: sshd compares such addresses as IPv4. */
function ipv6(address: string): bigint | undefined {
  const halves = address.split('::')
  if (halves.length > 2) return undefined
  const [head = [], tail = []] = halves.map((half) => (half === '' ? [] : half.split(':')))
  const given = head.length + tail.length
  const zeros = halves.length === 2 ? 8 - given : 0
  if (given + zeros !== 8 || (halves.length === 2 && zeros < 1)) return undefined
  const groups = [...head, ...Array.from({ length: zeros }, () => '0'), ...tail]
  if (!groups.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return undefined
  return groups.reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n)
}
