import { expect, test } from 'vitest'
import { trustedProxies } from '../../src/http/trusted-proxies.ts'

test.for([
  { networks: [], address: '127.0.0.1', trusted: false },
  { networks: ['127.0.0.1'], address: '127.0.0.1', trusted: true },
  { networks: ['127.0.0.1'], address: '::ffff:127.0.0.1', trusted: true },
  { networks: ['127.0.0.1'], address: '127.0.0.2', trusted: false },
  { networks: ['10.0.0.0/8'], address: '10.255.0.1', trusted: true },
  { networks: ['10.0.0.0/8'], address: '11.0.0.1', trusted: false },
  { networks: ['2001:db8::/32'], address: '2001:db8:1::1', trusted: true },
  { networks: ['2001:db8::/32'], address: '2001:db9::1', trusted: false },
  { networks: ['loopback'], address: '127.9.9.9', trusted: true },
  { networks: ['loopback'], address: '::1', trusted: true },
  { networks: ['uniquelocal'], address: '192.168.7.7', trusted: true },
  { networks: ['linklocal'], address: 'fe80::1', trusted: true },
  { networks: ['loopback', '10.0.0.0/8'], address: '10.1.1.1', trusted: true },
  { networks: ['10.0.0.0/8'], address: '', trusted: false },
  { networks: ['10.0.0.0/8'], address: 'no address', trusted: false },
])('$address by $networks: $trusted', ({ networks, address, trusted }) => {
  expect(trustedProxies(networks)(address)).toBe(trusted)
})
