import { describe, expect, test } from 'vitest'
import { addressKey } from '../../src/limits/address-key.ts'

describe('addressKey: one key per IPv4 address, one per IPv6 /64', () => {
  test.for([
    ['127.0.0.1', '127.0.0.1'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8:1:2::', '2001:db8:1:2'],
    ['2001:db8:1:2::1', '2001:db8:1:2'],
    ['2001:db8::1', '2001:db8:0:0'],
    ['2001:db8::1:2:3:4:5', '2001:db8:0:1'],
    ['2001::1', '2001:0:0:0'],
    ['::1', '0:0:0:0'],
    ['::', '0:0:0:0'],
    ['fe80::1%eth0', 'fe80:0:0:0'],
    ['1::3:4:5:6:7:8', '1:0:3:4'],
    ['64:ff9b::192.0.2.1', '64:ff9b:0:0'],
    ['unknown', 'unknown'],
    ['', ''],
  ] as const)('%s: %s', ([address, key]) => {
    expect(addressKey(address)).toBe(key)
  })

  test('neighbours share, others do not', () => {
    expect(addressKey('2001:db8:1:2::1')).toBe(addressKey('2001:db8:1:2:ffff::9'))
    expect(addressKey('2001:db8:1:2::1')).not.toBe(addressKey('2001:db8:1:3::1'))
    expect(addressKey('192.0.2.1')).not.toBe(addressKey('192.0.2.2'))
  })

  test('whatever the text is, it gives a key', () => {
    for (const text of [':::::', 'a::b::c', ':'.repeat(10_000), '1:2:3:4:5:6:7:8:9:a::'])
      expect(addressKey(text).split(':').length).toBeLessThanOrEqual(4)
  })
})
