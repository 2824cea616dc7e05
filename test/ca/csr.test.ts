import { createPublicKey } from 'node:crypto'
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { smallInteger } from '../../ca/asn1.ts'
import { decode } from '../../ca/asn1-read.ts'
import { createCsr, MAX_CSR_BYTES, readCsr } from '../../ca/csr.ts'
import { CaError } from '../../ca/errors.ts'
import { createSigner, type KeyKind, keyKinds } from '../../ca/key.ts'
import { parseSlashDn } from '../../ca/name-text.ts'
import { readPem, toPem } from '../../ca/pem.ts'
import { buildCsr, signatureOids } from '../support/csr-builder.ts'
import { pkcs8Pem, sharedKey, sharedSigner } from '../support/keys.ts'
import { openssl } from '../support/openssl.ts'

/** A request as a person with bad intentions makes it. */
async function opensslCsr(kind: KeyKind, more: readonly string[] = []): Promise<Buffer> {
  const extensions = [
    'subjectAltName=DNS:*.example.org,email:root@example.org',
    'basicConstraints=critical,CA:TRUE',
    'keyUsage=critical,keyCertSign,cRLSign',
    '1.3.6.1.5.5.7.1.14=critical,DER:300c300a06082b06010505071501',
  ].flatMap((extension) => ['-addext', extension])
  const subject = '/DC=org/O=evil\\/CN=x/CN=admin\\, root'
  const args = ['req', '-new', '-key', 'key', '-utf8', '-subj', subject, ...extensions, ...more]
  const { ok, stdout, text } = await openssl(args, { key: pkcs8Pem(await sharedKey(kind)) })
  expect(ok, text).toBe(true)
  return stdout
}

const refusal = (code: string, message: RegExp): Error =>
  expect.objectContaining({
    name: 'CaError',
    code,
    message: expect.stringMatching(message) as string,
  }) as Error

let rsa: Buffer
let ec: Buffer
beforeAll(async () => {
  rsa = await opensslCsr('rsa-2048', ['-outform', 'DER'])
  ec = await opensslCsr('ec-p256', ['-outform', 'DER'])
})

describe('good requests', () => {
  test.for(keyKinds)('%s by openssl, PEM and DER: the key and nothing else', async (kind) => {
    const pem = await opensslCsr(kind)
    const [block] = readPem(pem.toString(), 'CSR')
    const own = createSigner(await sharedKey(kind)).publicKey
    for (const input of [pem, block?.der ?? Buffer.alloc(0)]) {
      const read = await readCsr(input)
      expect(Object.keys(read).toSorted()).toEqual(['info', 'key', 'keyId', 'kind'])
      expect(read.kind).toBe(kind)
      expect(read.keyId).toEqual(own.keyId)
      expect(read.info).toEqual(
        createPublicKey(await sharedKey(kind)).export({ type: 'spki', format: 'der' }),
      )
      expect(read.key.equals(own.key)).toBe(true)
    }
  })

  test.for(['-sha384', '-sha512'])('signed with %s', async (digest) => {
    for (const kind of ['rsa-2048', 'ec-p384'] as const)
      await expect(readCsr(await opensslCsr(kind, [digest]))).resolves.toMatchObject({ kind })
  })

  test('PEM with text around, CRLF, the old label and no last line end', async () => {
    const pem = toPem('NEW CERTIFICATE REQUEST', rsa).replaceAll('\n', '\r\n').trim()
    await expect(
      readCsr(Buffer.from(`Certificate Request:\r\n  Data:\r\n${pem}`)),
    ).resolves.toMatchObject({ kind: 'rsa-2048' })
  })

  test.for(keyKinds)('our own %s request passes here and with openssl', async (kind) => {
    const pem = await createCsr(parseSlashDn('/O=a/CN=b\\/c'), await sharedSigner(kind))
    await expect(readCsr(Buffer.from(pem))).resolves.toMatchObject({ kind })
    const answer = await openssl(
      ['req', '-verify', '-in', 'csr', '-noout', '-subject', '-nameopt', 'compat'],
      { csr: pem },
    )
    expect(answer.ok).toBe(true)
    expect(answer.text).toMatch(/verify OK/)
    expect(answer.text).toContain('subject=/O=a/CN=b\\/c')
  })
})

describe('bytes that are no request', () => {
  test('cut at every 50th byte', async () => {
    const pem = Buffer.from(toPem('CERTIFICATE REQUEST', rsa))
    for (const whole of [rsa, ec, pem]) {
      for (let length = 0; length < whole.length - 1; length += 50)
        await expect(readCsr(whole.subarray(0, length)), `${length}`).rejects.toThrow(
          refusal('malformed', /./),
        )
    }
  })

  const pem = (label: string, der: Buffer): string => toPem(label, der)
  const pemLine = (): string => pem('CERTIFICATE REQUEST', rsa)
  const certificate = async (): Promise<string> => {
    const args = ['req', '-x509', '-key', 'key', '-subj', '/CN=a']
    const files = { key: pkcs8Pem(await sharedKey('rsa-2048')) }
    return (await openssl(args, files)).stdout.toString()
  }
  const derOf = (text: string): Buffer => readPem(text, 'PEM')[0]?.der ?? Buffer.alloc(0)
  /** The outer length once more, in a form that BER takes and DER does not. */
  const ber = (): Buffer => {
    expect(rsa.subarray(0, 2)).toEqual(Buffer.of(0x30, 0x82))
    return Buffer.concat([Buffer.of(0x30, 0x83, 0), rsa.subarray(2)])
  }
  const indefinite = (): Buffer =>
    Buffer.concat([Buffer.of(0x30, 0x80), rsa.subarray(4), Buffer.of(0, 0)])

  type Input = string | Buffer | Promise<string | Buffer>
  test.for<readonly [string, () => Input, string, RegExp]>([
    ['nothing', () => '', 'malformed', /exactly one PKCS#10 request/],
    ['garbage', () => 'hello', 'malformed', /exactly one PKCS#10 request/],
    ['binary garbage', () => Buffer.from('0402ffff', 'hex'), 'malformed', /exactly one/],
    ['an empty sequence', () => Buffer.of(0x30, 0), 'malformed', /CSR/],
    ['a SEQUENCE tag', () => Buffer.of(0x30), 'malformed', /must be one complete DER/],
    ['zeros', () => Buffer.alloc(1000), 'malformed', /exactly one/],
    ['a trailing byte', () => Buffer.concat([rsa, Buffer.of(0)]), 'malformed', /one complete DER/],
    ['two requests in DER', () => Buffer.concat([rsa, ec]), 'malformed', /one complete DER/],
    ['two requests in PEM', () => pemLine() + pemLine(), 'malformed', /exactly one/],
    [
      'a trailing byte in PEM',
      () => pem('CERTIFICATE REQUEST', Buffer.concat([rsa, Buffer.of(0)])),
      'malformed',
      /one complete DER/,
    ],
    [
      'an empty block',
      () => '-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n',
      'malformed',
      /base64/,
    ],
    ['another label', () => pem('CERTIFICATE', rsa), 'malformed', /exactly one/],
    ['a certificate in PEM', certificate, 'malformed', /exactly one/],
    [
      'a certificate under the label of a request',
      async () => pem('CERTIFICATE REQUEST', derOf(await certificate())),
      'malformed',
      /CSR version/,
    ],
    ['a certificate in DER', async () => derOf(await certificate()), 'malformed', /CSR version/],
    [
      'a private key',
      async () => pkcs8Pem(await sharedKey('rsa-2048')),
      'malformed',
      /exactly one/,
    ],
    ['a longer length than DER has', ber, 'malformed', /DER is not canonical/],
    ['an indefinite length', indefinite, 'malformed', /DER is not canonical/],
    ['1 MB of SEQUENCE', () => Buffer.alloc(1 << 20, 0x30), 'too_large', /1048576 bytes/],
    ['1 MB of text', () => 'a'.repeat(1 << 20), 'too_large', /1048576 bytes/],
    ['one byte over', () => Buffer.alloc(MAX_CSR_BYTES + 1, 0x30), 'too_large', /at most 16384/],
    ['a nesting bomb', () => Buffer.alloc(MAX_CSR_BYTES, Buffer.of(0x30, 0x80)), 'malformed', /./],
  ])('%s', async ([, input, code, message]) => {
    await expect(readCsr(Buffer.from(await input()))).rejects.toThrow(refusal(code, message))
  })

  test('a key does not leak into the error', async () => {
    const key = pkcs8Pem(await sharedKey('rsa-2048'))
    const error: unknown = await readCsr(Buffer.from(key)).catch((cause: unknown) => cause)
    expect(String(error)).not.toContain(key.split('\n')[3])
  })

  test('any bytes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 200 }),
        fc.boolean(),
        async (bytes, asSequence) => {
          const input = Buffer.from(asSequence ? [0x30, ...bytes] : bytes)
          await expect(readCsr(input)).rejects.toBeInstanceOf(CaError)
        },
      ),
      { numRuns: 500 },
    )
  })
})

describe('requests that are not to be believed', () => {
  test.for([
    ['version 1', () => ({ version: smallInteger(1) }), 'malformed', /unknown version/],
    ['version 2^40', () => ({ version: smallInteger(2 ** 40) }), 'malformed', /unknown version/],
    ['a fourth part', () => ({ more: [smallInteger(0)] }), 'malformed', /unexpected parts/],
    [
      'MD5',
      () => ({ hash: 'md5', algorithm: signatureOids.rsaMd5 }),
      'bad_signature',
      /use SHA-256/,
    ],
    [
      'SHA-1',
      () => ({ hash: 'sha1', algorithm: signatureOids.rsaSha1 }),
      'bad_signature',
      /use SHA-256/,
    ],
    ['RSA-PSS', () => ({ algorithm: signatureOids.rsaPss }), 'bad_signature', /use SHA-256/],
    [
      'an algorithm for other keys',
      () => ({ algorithm: signatureOids.ecdsaSha256 }),
      'bad_signature',
      /not accepted for its key/,
    ],
    [
      'a digest that was not used',
      () => ({ algorithm: signatureOids.rsaSha512 }),
      'bad_signature',
      /does not match/,
    ],
  ] as const)('%s', async ([, plan, code, message]) => {
    const csr = buildCsr({ key: await sharedKey('rsa-2048'), ...plan() })
    await expect(readCsr(csr)).rejects.toThrow(refusal(code, message))
  })

  test('the plan of these tests itself is good', async () => {
    const kinds = ['rsa-2048', 'ec-p256'] as const
    for (const kind of kinds)
      await expect(readCsr(buildCsr({ key: await sharedKey(kind) }))).resolves.toMatchObject({
        kind,
      })
  })

  test('ECDSA with SHA-1', async () => {
    const csr = buildCsr({
      key: await sharedKey('ec-p256'),
      hash: 'sha1',
      algorithm: signatureOids.ecdsaSha1,
    })
    await expect(readCsr(csr)).rejects.toThrow(refusal('bad_signature', /use SHA-256/))
  })

  test('signed by another key', async () => {
    const own = await sharedSigner('rsa-2048', 'victim')
    const csr = buildCsr({
      key: await sharedKey('rsa-2048'),
      info: decode(own.publicKey.info, 'key'),
    })
    await expect(readCsr(csr)).rejects.toThrow(
      refusal('bad_signature', /does not match its public key/),
    )
    const mixed = buildCsr({
      key: await sharedKey('ec-p256'),
      info: decode(own.publicKey.info, 'key'),
      algorithm: signatureOids.rsaSha256,
    })
    await expect(readCsr(mixed)).rejects.toThrow(refusal('bad_signature', /does not match/))
  })

  test('damaged: never another key', async () => {
    const keyIds = [await readCsr(rsa), await readCsr(ec)].map(({ keyId }) => keyId.toString('hex'))
    const damage = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })), {
      minLength: 1,
      maxLength: 3,
    })
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(0, 1), damage, async (which, changes) => {
        const bytes = Buffer.from([rsa, ec][which] ?? rsa)
        for (const [index, mask] of changes)
          bytes[index % bytes.length] = (bytes[index % bytes.length] ?? 0) ^ mask
        const read = await readCsr(bytes).catch((error: unknown) => {
          expect(error).toBeInstanceOf(CaError)
        })
        if (read) expect(read.keyId.toString('hex')).toBe(keyIds[which])
      }),
      { numRuns: 500 },
    )
  })

  test('every flipped bit of what is signed', async () => {
    const signed = ec.length - 90 // the signature and its algorithm are the last 85 to 89
    for (let index = 4; index < signed; index += 1) {
      const bytes = Buffer.from(ec)
      bytes[index] = (bytes[index] ?? 0) ^ (1 << (index % 8))
      await expect(readCsr(bytes), `byte ${index}`).rejects.toBeInstanceOf(CaError)
    }
  })
})
