/**
 * CRLs and KRLs of 300,000 entries on their whole way: made, packed as trust anchors, unpacked, and read by ourselves
 * and by others.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, onTestFinished, test } from 'vitest'
import { readCertificate } from '../../ca/certificate.ts'
import { createCrl, type CrlEntry, MAX_CRL_BYTES } from '../../ca/crl.ts'
import { issueEndEntity } from '../../ca/end-entity.ts'
import { trustAnchorFiles } from '../../ca/trust-anchors.ts'
import { readTrustAnchors } from '../../ca/trust-directory.ts'
import { packTrustAnchors } from '../../src/files/trust-anchor-archive.ts'
import { readTrustAnchorDirectory } from '../../src/files/trust-anchor-directory.ts'
import {
  endEntityRequest,
  makeAuthority,
  makeEndEntity,
  now,
  validFor,
} from '../support/issuing.ts'
import { opensslRefusal } from '../support/openssl.ts'

const ENTRIES = 300_000
const { notBefore: thisUpdate, notAfter: nextUpdate } = validFor(-300, 30 * 86_400)
const revokedAt = validFor(-60, 0).notBefore
/** 16 octets, as our EECs have, and a reason: the longest entries that we make. */
const entries = Array.from({ length: ENTRIES }, (_, index): CrlEntry => {
  const serial = `4${index.toString(16).padStart(31, '0')}`
  return { serial, revokedAt, reason: 'superseded' }
})

describe(`a CRL with ${ENTRIES} entries`, { timeout: 120_000 }, () => {
  test('goes the whole way to relying parties', async () => {
    const authority = await makeAuthority('ec-p256')
    const good = await makeEndEntity(authority, 'ec-p256')
    const serial = Buffer.from('4fffffffffffffffffffffffffffffff', 'hex')
    const request = { ...(await endEntityRequest('ec-p256')), serial }
    const bad = readCertificate(await issueEndEntity(authority, request))
    const revoked: CrlEntry = { serial: bad.serial, revokedAt, reason: 'keyCompromise' }
    const times = { number: 7, thisUpdate, nextUpdate }
    const der = await createCrl(authority, { ...times, entries: [...entries, revoked] })

    const check = { untrusted: [], anchors: [authority.certificate], crls: [der], now }
    expect(await opensslRefusal({ ...check, leaf: good.certificate })).toBeUndefined()
    expect(await opensslRefusal({ ...check, leaf: bad })).toMatch(/revoked/)

    const files = trustAnchorFiles({
      certificates: [authority.certificate],
      crls: [der],
      alias: 'tts',
      crlUrl: undefined,
      userNamespace: authority.certificate.subject.slice(0, -1),
    })
    const directory = await mkdtemp(join(tmpdir(), 'tts-large-'))
    onTestFinished(async () => rm(directory, { recursive: true, force: true }))
    await writeFile(join(directory, 'anchors.tar.gz'), await packTrustAnchors(files))
    await promisify(execFile)('tar', ['-xzf', join(directory, 'anchors.tar.gz'), '-C', directory])
    await rm(join(directory, 'anchors.tar.gz'))
    const read = readTrustAnchors(await readTrustAnchorDirectory(directory))
    expect(read.unreadable).toEqual([])
    expect(read.crls.map(({ value }) => value.revoked.size)).toEqual([ENTRIES + 1, ENTRIES + 1])
  })

  test('one that our own readers would refuse is not made', async () => {
    const authority = await makeAuthority('ec-p256')
    const encodedEntries = [Buffer.alloc(MAX_CRL_BYTES, 0x30)]
    const request = { number: 1, thisUpdate, nextUpdate, entries: [], encodedEntries }
    // Not the list itself where this fails: a report of 32 MiB ends the test process.
    const made = createCrl(authority, request).then(({ length }) => length)
    await expect(made).rejects.toMatchObject({ code: 'too_large' })
  })
})
