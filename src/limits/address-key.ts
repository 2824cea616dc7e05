/** An IPv4 address that came in by an IPv6 socket, as itself. */
export function plainAddress(address: string): string {
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address
}

/** What one client is known by, where limits are counted by address. IPv6 clients own a /64 and may come from each of its addresses. */
export function addressKey(address: string): string {
  const plain = plainAddress(address)
  if (!plain.includes(':')) return plain
  const [head = '', tail = ''] = plain.split('::')
  const front = head === '' ? [] : head.split(':')
  const back = tail === '' ? [] : tail.split(':')
  const middle = plain.includes('::')
    ? Array.from({ length: 8 - front.length - back.length }, () => '0')
    : []
  return [...front, ...middle, ...back].slice(0, 4).join(':')
}
