/**
 * What somebody who holds no proxy of ours can make renewal by possession do: one look into the records, and no
 * signature.
 */
import { X509Certificate } from 'node:crypto'
import { expect, onTestFinished, test, vi } from 'vitest'
import { createPossessionVerifier } from '../../../src/domain/possession/possession.ts'
import type { Store } from '../../../src/domain/store.ts'
import { makeAuthority, makeCredential } from '../../support/authority.ts'
import { NOW } from '../../support/certificate-builder.ts'

test('a chain of twenty certificates of somebody else: nothing is verified', async () => {
  const [authority, foreign] = [await makeAuthority(), await makeCredential()]
  const verify = vi.spyOn(X509Certificate.prototype, 'verify')
  onTestFinished(() => verify.mockRestore())
  const looks: string[] = []
  const store = {
    findCredentialByCertificate: async (serial: string) => {
      looks.push(serial)
      return undefined
    },
  } as unknown as Store
  const verifier = createPossessionVerifier({
    store,
    authority,
    others: [],
    now: () => NOW,
    maximumDays: 30,
  })
  const certificates = [
    foreign.proxy.der,
    ...Array.from({ length: 18 }, () => foreign.endEntity.der),
  ]
  await expect(verifier.verify({ certificates, proof: 'tls' })).rejects.toMatchObject({
    code: 'invalid_token',
    check: 'proxy_record',
  })
  expect(looks).toEqual([foreign.proxy.serial])
  expect(verify).not.toHaveBeenCalled()
})
