import { type KeyObject, randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { openAuthority } from '../../../ca/authority.ts'
import { signCertificate } from '../../../ca/sign-certificate.ts'
import { basicConstraints, keyUsage, subjectKeyIdentifier } from '../../../ca/extensions.ts'
import { createSigner, generatePrivateKey } from '../../../ca/key.ts'
import { nameNode } from '../../../ca/name.ts'
import { parseSlashDn } from '../../../ca/name-text.ts'
import { toPem } from '../../../ca/pem.ts'
import {
  createEndEntityCache,
  type EndEntityCache,
} from '../../../src/domain/issuing/end-entities.ts'
import type { HeldEndEntity, Identity, Origin } from '../../../src/domain/records.ts'
import type { Store } from '../../../src/domain/store.ts'

const now = new Date('2026-11-23T12:00:00.000Z')
const DAY_MS = 86_400_000
const origin: Origin = { requestId: 'r', address: 'local', interface: 'cli' }
const identity: Identity = {
  id: 'i',
  issuer: 'https://iam.example.org',
  sub: 'alice',
  subject: '/O=T/CN=alice@iam',
  createdAt: now,
}

/** A CA whose certificate states a key id of its own making, as an outside root may give an intermediate. */
async function authorityOf(privateKey: KeyObject, statedKeyId: Buffer) {
  const signer = createSigner(privateKey)
  const name = nameNode(parseSlashDn('/O=T/CN=CA'))
  const der = await signCertificate(
    {
      serial: Buffer.from('0102', 'hex'),
      issuer: name,
      subject: name,
      validity: {
        notBefore: new Date(now.getTime() - DAY_MS),
        notAfter: new Date(now.getTime() + 1000 * DAY_MS),
      },
      publicKey: signer.publicKey,
      extensions: [
        basicConstraints({ pathLength: 0 }),
        keyUsage(['keyCertSign', 'cRLSign']),
        subjectKeyIdentifier(statedKeyId),
      ],
    },
    signer,
  )
  return openAuthority(toPem('CERTIFICATE', der), privateKey)
}

/** Records of one identity; each cache over them is a process that has just started. */
function records() {
  const held: HeldEndEntity[] = []
  const store: Pick<Store, 'findHeldEndEntity' | 'recordEndEntity'> = {
    findHeldEndEntity: async () => held.at(-1),
    recordEndEntity: async (_identityId, endEntity) => {
      // The cache wipes its own copy of the key once it is on record.
      held.push({ ...endEntity, privateKeyDer: Buffer.from(endEntity.privateKeyDer) })
    },
  }
  const start = (authority: Awaited<ReturnType<typeof authorityOf>>): EndEntityCache =>
    createEndEntityCache({
      store: store as Store,
      authority,
      keyPool: {
        take: generatePrivateKey,
        state: { ready: new Map(), waiting: 0 },
        close: () => undefined,
      },
      now: () => now,
      randomBytes,
      keyKind: 'ec-p256',
      lifetimeSeconds: 11 * 86_400,
      profile: { crlUrl: undefined, policyOids: [] },
      withSubjectUri: false,
    })
  return { start, held }
}

describe('the held EEC', () => {
  test('is taken up again after a restart, also under a CA that states another key id', async () => {
    const { start, held } = records()
    const authority = await authorityOf(await generatePrivateKey('ec-p256'), Buffer.alloc(20, 7))
    const first = await start(authority).hold(identity, 3600, origin)
    const second = await start(authority).hold(identity, 3600, origin)
    expect(second.certificate.serial).toBe(first.certificate.serial)
    expect(held).toHaveLength(1)
  })

  test('of a former CA of the same name is not taken', async () => {
    const { start, held } = records()
    const former = await authorityOf(await generatePrivateKey('ec-p256'), Buffer.alloc(20, 7))
    await start(former).hold(identity, 3600, origin)
    const present = await authorityOf(await generatePrivateKey('ec-p256'), Buffer.alloc(20, 7))
    await start(present).hold(identity, 3600, origin)
    expect(held).toHaveLength(2)
  })

  test('is made once, however many ask at once', async () => {
    const { start, held } = records()
    const cache = start(await authorityOf(await generatePrivateKey('ec-p256'), Buffer.alloc(20, 7)))
    await Promise.all(Array.from({ length: 20 }, async () => cache.hold(identity, 3600, origin)))
    expect(held).toHaveLength(1)
  })

  test('that ends before the proxy would is replaced', async () => {
    const { start, held } = records()
    const cache = start(await authorityOf(await generatePrivateKey('ec-p256'), Buffer.alloc(20, 7)))
    await cache.hold(identity, 10 * 86_400, origin)
    await cache.hold(identity, 12 * 86_400, origin)
    expect(held).toHaveLength(2)
  })
})
