/** What was encrypted by earlier versions opens, and nothing opens elsewhere or changed. */
import { createSecretKey } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { openRecord, sealRecord } from '../../src/certcache/state/state-key.ts'
import { openBytes, sealBytes } from '../../src/sealing/aes-gcm.ts'
import { openKey, sealKey } from '../../src/store/encryption/sealed-key.ts'

/** Of tests alone: it opens two blobs with nothing in them. */
const key = Buffer.alloc(32, 7)
const masterKeys = { currentId: 'm1', keys: new Map([['m1', createSecretKey(key)]]) }
const owner = { serial: '0a0b', identityId: 'someone' }

test('a record of certcache, as the first version wrote it', () => {
  const sealed = Buffer.from('Ae6FRmuKfbyLc+b7JE3T8xaF+GaevV1ccEUUBliehgsUSKbwhG0X/6M=', 'base64')
  const state = { cluster: 'default', key }
  expect(openRecord(state, 'delegation', sealed).toString()).toBe('{"id":"one"}')
  for (const [cluster, record] of [
    ['default', 'custody'],
    ['other', 'delegation'],
  ] as const)
    expect(() => openRecord({ cluster, key }, record, sealed)).toThrow(/cannot be decrypted/)
  // One byte for the form, 12, 16, and as long as the content.
  const again = sealRecord(state, 'delegation', Buffer.from('{"id":"one"}'))
  expect([again.length, again[0]]).toEqual([sealed.length, 1])
})

test('a held key in the database, as the first version wrote it', () => {
  const sealed = Buffer.from('OcaT5vnWnRy/UIOEZrNlr2nOCJRdXEKTGfRkD6oPHFol', 'base64')
  const kept = { masterKeyId: 'm1', sealed }
  expect(openKey(masterKeys, owner, kept).toString()).toBe('a key')
  expect(() => openKey(masterKeys, { ...owner, serial: '0a0c' }, kept)).toThrow(/cannot be decrypt/)
  expect(sealKey(masterKeys, owner, Buffer.from('a key')).sealed.length).toBe(sealed.length)
})

test('any content opens again, at its place, unchanged, and nowhere else', () => {
  const bytes = fc.uint8Array({ maxLength: 300 })
  fc.assert(
    fc.property(bytes, bytes, fc.nat(), (content, associatedData, seed) => {
      const place = { key, associatedData }
      const sealed = sealBytes(place, content)
      expect(openBytes(place, sealed)).toEqual(Buffer.from(content))
      const elsewhere = { key, associatedData: Buffer.concat([associatedData, Buffer.of(0)]) }
      expect(() => openBytes(elsewhere, sealed)).toThrow()
      const index = seed % sealed.length
      sealed[index] = (sealed[index] ?? 0) ^ 1
      expect(() => openBytes(place, sealed)).toThrow()
      expect(() => openBytes(place, sealed.subarray(0, index))).toThrow()
    }),
  )
})
