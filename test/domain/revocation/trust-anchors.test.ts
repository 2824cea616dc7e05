/** The trust anchors of two CAs, as during a roll-over of the key. */
import { expect, test } from 'vitest'
import { type Authority, createRootCertificate, openAuthority } from '../../../ca/authority.ts'
import { wholeSeconds } from '../../../ca/certificate.ts'
import { createCrl } from '../../../ca/crl.ts'
import { createSigner, generatePrivateKey, type Signer } from '../../../ca/key.ts'
import { parseSlashDn } from '../../../ca/name-text.ts'
import { toPem } from '../../../ca/pem.ts'
import { createTrustAnchors } from '../../../src/domain/revocation/trust-anchors.ts'
import type { CrlRecord } from '../../../src/domain/records.ts'

const now = wholeSeconds(new Date())
const later = wholeSeconds(new Date(Date.now() + 86_400_000))

async function newAuthority(name: string, signer: Signer): Promise<Authority> {
  const certificate = await createRootCertificate({
    subject: parseSlashDn(name),
    privateKey: signer,
    validity: { notBefore: now, notAfter: later },
    serial: Buffer.from('0102', 'hex'),
  })
  return openAuthority(toPem('CERTIFICATE', certificate), signer)
}

test('a failure to sign the CRL of the other CA is not remembered', async () => {
  const authority = await newAuthority(
    '/O=T/CN=CA',
    createSigner(await generatePrivateKey('ec-p256')),
  )
  const signer = createSigner(await generatePrivateKey('ec-p256'))
  let isBroken = false
  const other = await newAuthority('/O=T/CN=CA 2', {
    ...signer,
    sign: async (data) => {
      if (isBroken) throw new Error('the HSM is away')
      return signer.sign(data)
    },
  })
  const der = await createCrl(authority, {
    number: 1,
    thisUpdate: now,
    nextUpdate: later,
    entries: [],
  })
  const crl: CrlRecord = { number: 1, thisUpdate: now, nextUpdate: later, der, revocations: 0 }
  const anchors = createTrustAnchors({
    authority,
    shortId: '00000001',
    others: [{ authority: other, shortId: '00000002', role: 'next' }],
    oldest: undefined,
    crls: { current: async () => crl, published: async () => crl },
    alias: 'tts',
    crlUrlOf: () => undefined,
    userNamespace: parseSlashDn('/O=T'),
  })
  isBroken = true
  await expect(anchors.archive()).rejects.toThrow('the HSM is away')
  isBroken = false
  expect((await anchors.archive()).length).toBeGreaterThan(1000)
})
