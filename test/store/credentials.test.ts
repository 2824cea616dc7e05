import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import {
  auditLine,
  certificate,
  credential,
  DAY_MS,
  describeStores,
  heldEndEntity,
  newCredential,
  newEndEntity,
  NOW,
  origin,
} from './support.ts'

const at = (offsetMs: number): Date => new Date(NOW.getTime() + offsetMs)

const hostile = [
  `'; drop table credentials; --"\`$1 ?1 :a`,
  'nul \0 in the middle\0',
  'back\\slash \\0 \\u0041 \\\\',
  'new\nline\r\ttab \u001b[31m',
  'emoji 👩‍🔬 and 日本語 and \u202e',
  'lone \ud800 surrogates \udfff',
  'x'.repeat(300),
  '',
]

describeStores('credentials', ({ newDatabase, open }) => {
  test('a credential is shown as it was recorded', async () => {
    const store = await open(await newDatabase())
    const { identity, serial } = await newEndEntity(store)
    const certificates = [
      certificate({ issuerSerial: serial }),
      certificate({ issuerSerial: serial }),
    ]
    const made = await newCredential(store, identity, serial, { certificates })
    const { identityId, ...shown } = made
    const expected = { ...shown, identity, revokedAt: undefined, revocationReason: undefined }
    expect(await store.findCredential(made.id)).toEqual(expected)
    expect(await store.findCredential(made.id, identityId)).toEqual(expected)
    expect(await store.findCredential(made.id, randomUUID())).toBeUndefined()
    expect(await store.listCredentials({})).toEqual([expected])
  })

  test('paging gives every credential once, newest first, also when times are equal', async () => {
    const store = await open(await newDatabase())
    const { identity, serial } = await newEndEntity(store)
    const times = [5, 5, 5, 4, 4, 9, 1, 5]
    await Promise.all(
      times.map((time) => newCredential(store, identity, serial, { issuedAt: at(time) })),
    )
    const seen: { id: string; issuedAt: Date }[] = []
    for (let after: string | undefined; ; after = seen.at(-1)?.id) {
      const page = await store.listCredentials({
        limit: 3,
        ...(after === undefined ? {} : { after }),
      })
      if (page.length === 0) break
      seen.push(...page)
    }
    expect(new Set(seen.map((view) => view.id)).size).toBe(times.length)
    expect(seen.map((view) => view.issuedAt)).toEqual(times.toSorted((a, b) => b - a).map(at))
  })

  test('filters by identity, service and life', async () => {
    const store = await open(await newDatabase())
    const [alice, bob] = [await newEndEntity(store), await newEndEntity(store)]
    const ended = await newCredential(store, alice.identity, alice.serial, { notAfter: at(10) })
    const living = await newCredential(store, alice.identity, alice.serial, { serviceId: 'x509' })
    const revoked = await newCredential(store, bob.identity, bob.serial)
    await store.revoke({ credentialId: revoked.id, reason: 'superseded', at: NOW, origin })
    const ids = async (filter: Parameters<typeof store.listCredentials>[0]): Promise<string[]> =>
      (await store.listCredentials(filter)).map((view) => view.id)
    expect(await ids({ serviceId: 'x509' })).toEqual([living.id])
    expect(await ids({ identityId: bob.identity.id })).toEqual([revoked.id])
    expect(await ids({ activeAt: at(10) })).toEqual([living.id])
    expect((await ids({ activeAt: at(9) })).toSorted()).toEqual([ended.id, living.id].toSorted())
  })

  test.for([0, -1, 1.5, Number.NaN])('limit %s is refused', async (limit) => {
    const store = await open(await newDatabase())
    await expect(store.listCredentials({ limit })).rejects.toMatchObject({
      code: 'invalid_request',
    })
    await expect(store.listAudit({ limit })).rejects.toMatchObject({ code: 'invalid_request' })
  })

  test('paging after a credential that is not there is refused', async () => {
    const store = await open(await newDatabase())
    await expect(store.listCredentials({ after: randomUUID() })).rejects.toMatchObject({
      check: 'after',
    })
  })

  test('paging after the place of a credential that is gone', async () => {
    const store = await open(await newDatabase())
    const { identity, serial } = await newEndEntity(store)
    const make = (second: number) =>
      newCredential(store, identity, serial, { issuedAt: at(second) })
    const [oldest, gone] = [await make(1), await make(2)]
    await make(3)
    await store.endedRecords.removeCredentials([gone.id])
    const after = { at: at(2).getTime(), id: gone.id }
    expect((await store.listCredentials({ after })).map(({ id }) => id)).toEqual([oldest.id])
  })

  test('hostile text comes back unchanged from every column', async () => {
    const store = await open(await newDatabase())
    for (const text of hostile) {
      const key = { issuer: `i${text}`, sub: text }
      const candidate = { subject: `/CN=${text}`, comparable: `/cn=${text}` }
      const identity = await store.ensureIdentity(key, [candidate], NOW)
      expect(identity).toMatchObject({ ...key, subject: candidate.subject })
      const held = heldEndEntity({
        serial: `s${text}`,
        subject: text,
        keyKind: text,
        fingerprint: text,
      })
      const where = { requestId: text, address: text, interface: text }
      await store.recordEndEntity(identity.id, held, auditLine({ origin: where }))
      expect(await store.findHeldEndEntity(identity.id, NOW, text)).toEqual(held)
      const made = credential(identity, held.certificate.serial, {
        id: `c${text}`,
        serviceId: text,
        clientId: text,
        origin: where,
        certificates: [certificate({ serial: `p${text}`, subject: text, issuerSerial: text })],
      })
      const line = auditLine({
        event: text,
        origin: where,
        issuer: text,
        sub: text,
        serviceId: text,
        credentialId: text,
        code: text,
        check: text,
        detail: text,
        at: at(DAY_MS),
      })
      await store.recordCredential(made, line)
      const { identityId: _, ...shown } = made
      expect(await store.findCredential(made.id)).toMatchObject({ ...shown, identity })
      const [stored] = await store.listAudit({ limit: 1 })
      expect(stored).toEqual({ ...line, number: stored?.number })
    }
  })

  test('the audit trail is newest first and can be asked for refusals', async () => {
    const store = await open(await newDatabase())
    const refusal = auditLine({
      outcome: 'refused',
      code: 'access_denied',
      check: 'rule',
      at: at(2),
    })
    await store.recordAudit(auditLine({ at: at(1) }))
    await store.recordAudit(refusal)
    await store.recordAudit(auditLine({ at: at(3) }))
    expect((await store.listAudit({})).map((line) => line.at)).toEqual([at(3), at(2), at(1)])
    expect(await store.listAudit({ outcome: 'refused' })).toEqual([
      { ...refusal, number: expect.any(Number) as number },
    ])
  })

  test('the held EEC that lives longest is found, of the right kind, not ended', async () => {
    const store = await open(await newDatabase())
    const { identity } = await newEndEntity(store)
    const long = heldEndEntity({ notAfter: at(5 * DAY_MS) })
    const other = heldEndEntity({ notAfter: at(9 * DAY_MS), keyKind: 'ec-p256' })
    await store.recordEndEntity(identity.id, long, auditLine())
    await store.recordEndEntity(identity.id, other, auditLine())
    expect(await store.findHeldEndEntity(identity.id, NOW, 'rsa-2048')).toEqual(long)
    expect(await store.findHeldEndEntity(identity.id, at(5 * DAY_MS), 'rsa-2048')).toBeUndefined()
    expect(await store.findHeldEndEntity(randomUUID(), NOW, 'rsa-2048')).toBeUndefined()
  })

  test('prune removes ended keys and old audit lines, and no certificate', async () => {
    const settings = await newDatabase()
    const store = await open(settings)
    const { identity, serial } = await newEndEntity(store)
    const made = await newCredential(store, identity, serial)
    await store.recordAudit(auditLine({ at: at(5 * DAY_MS) }))
    await store.prune(at(2 * DAY_MS), at(DAY_MS))
    expect(await store.findHeldEndEntity(identity.id, NOW, 'rsa-2048')).toBeUndefined()
    expect((await store.listAudit({})).map((line) => line.at)).toEqual([at(5 * DAY_MS)])
    expect((await store.findCredential(made.id))?.certificates).toEqual(made.certificates)
  })
})
