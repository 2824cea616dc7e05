import { type ChildProcess, execFile } from 'node:child_process'
import { createPublicKey } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { type Authority, createRootCertificate, openAuthority } from '../../ca/authority.ts'
import { readCertificate } from '../../ca/certificate.ts'
import { createCrl } from '../../ca/crl.ts'
import { createCsr, readCsr } from '../../ca/csr.ts'
import { issueEndEntity } from '../../ca/end-entity.ts'
import { createSigner, type KeyKind, type SignatureAlgorithm, type Signer } from '../../ca/key.ts'
import { importPublicKey } from '../../ca/public-key.ts'
import { toPem } from '../../ca/pem.ts'
import { issueProxy } from '../../ca/proxy.ts'
import { authorityName, day, endEntityRequest, now, validFor } from '../support/issuing.ts'
import { pkcs8Pem, sharedKey, sharedSigner } from '../support/keys.ts'
import { openssl, opensslRefusal } from '../support/openssl.ts'

const directory = mkdtempSync(join(tmpdir(), 'tts-signer-'))
afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
})

/** Signs by `openssl dgst` with a key file, as an HSM would: this process has the public key only. */
async function opensslSigner(kind: KeyKind): Promise<Signer & { readonly calls: () => number }> {
  const privateKey = await sharedKey(kind, 'openssl signer')
  const file = join(directory, `${kind}.pem`)
  writeFileSync(file, pkcs8Pem(privateKey), { mode: 0o600 })
  const hash = kind === 'ec-p384' ? 'sha384' : 'sha256'
  let calls = 0
  return {
    publicKey: importPublicKey(createPublicKey(privateKey)),
    algorithm: algorithmOf(kind),
    calls: () => calls,
    sign: (data) => {
      calls += 1
      return new Promise((resolve, reject) => {
        const child: ChildProcess = execFile(
          'openssl',
          ['dgst', `-${hash}`, '-sign', file],
          { encoding: 'buffer', timeout: 10_000 },
          (error, stdout) => {
            if (error) reject(error)
            else resolve(stdout)
          },
        )
        child.stdin?.end(data)
      })
    },
  }
}

function algorithmOf(kind: KeyKind): SignatureAlgorithm {
  if (kind.startsWith('rsa')) return 'sha256WithRSAEncryption'
  return kind === 'ec-p384' ? 'ecdsa-with-SHA384' : 'ecdsa-with-SHA256'
}

const rootRequest = (privateKey: Signer) => ({
  subject: authorityName,
  privateKey,
  validity: validFor(-300, 7300 * day),
  serial: Buffer.of(0x40, 1),
})

async function authorityOf(signer: Signer): Promise<Authority> {
  return openAuthority(
    toPem('CERTIFICATE', await createRootCertificate(rootRequest(signer))),
    signer,
  )
}

const refusal = (code: string, details: object): Error =>
  expect.objectContaining({
    name: 'CaError',
    code,
    details: expect.objectContaining(details) as object,
  }) as Error

describe('a signer outside of this process', () => {
  test.for(['rsa-3072', 'ec-p256', 'ec-p384'] as const)(
    'with %s signs root, EEC, proxy and CRL, and openssl verifies the chain',
    async (kind) => {
      const signer = await opensslSigner(kind)
      const authority = await authorityOf(signer)
      const userSigner = await opensslSigner('rsa-2048')
      const endEntity = readCertificate(
        await issueEndEntity(authority, {
          ...(await endEntityRequest()),
          publicKey: userSigner.publicKey,
        }),
      )
      const proxy = readCertificate(
        await issueProxy(
          { certificate: endEntity, signer: userSigner },
          {
            type: 'impersonation',
            pathLength: undefined,
            publicKey: (await sharedSigner('ec-p256', 'proxy')).publicKey,
            validity: endEntity.validity,
            serial: Buffer.of(0x41, 1),
          },
        ),
      )
      const crl = await createCrl(authority, {
        number: 1,
        thisUpdate: now,
        nextUpdate: new Date(now.getTime() + day * 1000),
        entries: [],
      })
      const chain = {
        untrusted: [endEntity],
        anchors: [authority.certificate],
        now: new Date(now.getTime() + 1000),
      }
      expect(await opensslRefusal({ ...chain, leaf: proxy })).toBeUndefined()
      const judged = { ...chain, leaf: endEntity, untrusted: [], crls: [crl] }
      expect(await opensslRefusal(judged)).toBeUndefined()
      expect([signer.calls(), userSigner.calls()]).toEqual([3, 1])
    },
  )

  test.for(['rsa-2048', 'ec-p384'] as const)('with %s signs a CSR', async (kind) => {
    const signer = await opensslSigner(kind)
    const csr = await createCsr(authorityName, signer)
    expect((await readCsr(Buffer.from(csr))).keyId).toEqual(signer.publicKey.keyId)
    const { ok, text } = await openssl(['req', '-in', 'csr', '-verify', '-noout'], { csr })
    expect(ok, text).toBe(true)
  })
})

describe('a signer that errs', () => {
  const broken = async (changes: Partial<Signer>): Promise<Signer> => ({
    ...(await sharedSigner('ec-p256', 'authority')),
    ...changes,
  })
  const foreign = async () => createSigner(await sharedKey('ec-p256', 'somebody else'))

  test.for<readonly [string, () => Promise<Buffer>]>([
    ['nothing', async () => Buffer.alloc(0)],
    ['garbage', async () => Buffer.alloc(70, 0x30)],
    ['the signature of another key', async () => (await foreign()).sign(Buffer.from('x'))],
  ])('with %s for a signature makes nothing', async ([, sign]) => {
    const good = await sharedSigner('ec-p256', 'authority')
    const bad = await broken({ sign })
    const failure = refusal('self_check_failed', { reason: 'not_verified' })
    await expect(createRootCertificate(rootRequest(bad))).rejects.toThrow(failure)
    await expect(createCsr(authorityName, bad)).rejects.toThrow(failure)
    const authority = { ...(await authorityOf(good)), signer: bad }
    await expect(issueEndEntity(authority, await endEntityRequest())).rejects.toThrow(failure)
    const crl = { number: 1, thisUpdate: now, nextUpdate: new Date(now.getTime() + 1), entries: [] }
    await expect(createCrl(authority, crl)).rejects.toThrow(failure)
  })

  test('is refused when its algorithm is not the one for its key', async () => {
    const signer = await broken({ algorithm: 'ecdsa-with-SHA384' })
    const failure = refusal('bad_authority', { field: 'signer.algorithm', reason: 'mismatch' })
    await expect(createRootCertificate(rootRequest(signer))).rejects.toThrow(failure)
    const authority = await authorityOf(await broken({}))
    const pem = toPem('CERTIFICATE', authority.certificate.der)
    expect(() => openAuthority(pem, signer)).toThrow(failure)
  })

  test('is refused when the certificate is for another key', async () => {
    const authority = await authorityOf(await broken({}))
    const pem = toPem('CERTIFICATE', authority.certificate.der)
    const other = await foreign()
    expect(() => openAuthority(pem, other)).toThrow(
      refusal('bad_authority', { field: 'CA certificate', reason: 'mismatch' }),
    )
  })

  test('its own error is passed on', async () => {
    const bad = await broken({ sign: () => Promise.reject(new Error('the HSM does not answer')) })
    await expect(createRootCertificate(rootRequest(bad))).rejects.toThrow('the HSM does not answer')
  })
})
