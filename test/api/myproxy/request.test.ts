/** Requests of the MyProxy protocol, as they are read from their bytes. */
import { PassThrough } from 'node:stream'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createByteReader } from '../../../src/api/myproxy/byte-reader.ts'
import { readMyProxyRequest } from '../../../src/api/myproxy/request.ts'
import { TtsError } from '../../../src/base/errors.ts'
import { myproxyRequest } from '../../support/myproxy.ts'

const read = (text: string) => readMyProxyRequest(Buffer.from(text.replace(/\0$/, '')))

describe('a request', () => {
  test('with all that is understood', () => {
    const fields = { CRED_NAME: 'proxy', TRUSTED_CERTS: '1', RENEWER: 'x', UNKNOWN: 'y' }
    const text = `${myproxyRequest('secret=word', fields).slice(0, -1)}VONAME=cms\nVONAME=atlas:/atlas/Role=x\n`
    expect(read(text)).toEqual({
      command: 'GET',
      passphrase: 'secret=word',
      lifetimeSeconds: 43200,
      credentialName: 'proxy',
      wantsTrustRoots: true,
      voms: ['cms', 'atlas:/atlas/Role=x'],
    })
  })

  test('with the least', () => {
    expect(read('VERSION=MYPROXYv2\r\nCOMMAND=7')).toEqual({
      command: 'TRUSTROOTS',
      passphrase: '',
      lifetimeSeconds: 0,
      credentialName: undefined,
      wantsTrustRoots: false,
      voms: [],
    })
  })

  test('whose value looks like another line has no other line', () => {
    expect(read(myproxyRequest('COMMAND=1', { USERNAME: 'PASSPHRASE=x' }))).toMatchObject({
      command: 'GET',
      passphrase: 'COMMAND=1',
    })
  })

  test.for<readonly [string, string]>([
    ['', 'version'],
    ['GET / HTTP/1.1\r\nHost: x\r\n\r\n', 'version'],
    [' VERSION=MYPROXYv2\nCOMMAND=0\n', 'version'],
    ['VERSION=MYPROXYv1\nCOMMAND=0\n', 'version'],
    ['VERSION=MYPROXYv2 \nCOMMAND=0\n', 'version'],
    ['VERSION=MYPROXYv2\nVERSION=MYPROXYv2\nCOMMAND=0\n', 'repeated'],
    ['VERSION=MYPROXYv2\n', 'command'],
    ['VERSION=MYPROXYv2\nCOMMAND=\n', 'command'],
    ['VERSION=MYPROXYv2\nCOMMAND=8\n', 'command'],
    ['VERSION=MYPROXYv2\nCOMMAND=00\n', 'command'],
    ['VERSION=MYPROXYv2\nCOMMAND=-1\n', 'command'],
    ['VERSION=MYPROXYv2\nCOMMAND=GET\n', 'command'],
    ['VERSION=MYPROXYv2\nCOMMAND=0\nPASSPHRASE=a\nPASSPHRASE=b\n', 'repeated'],
    ['VERSION=MYPROXYv2\nCOMMAND=0\nLIFETIME=12h\n', 'lifetime'],
    ['VERSION=MYPROXYv2\nCOMMAND=0\nLIFETIME=-1\n', 'lifetime'],
    ['VERSION=MYPROXYv2\nCOMMAND=0\nLIFETIME=9999999999999\n', 'lifetime'],
    ['VERSION=MYPROXYv2\nCOMMAND=0\nLIFETIME=\n', 'lifetime'],
  ])('%j is refused by the check %s', ([text, check]) => {
    expect(() => read(text)).toThrow(expect.objectContaining({ code: 'invalid_request', check }))
  })

  test('of arbitrary bytes is read or refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        for (const before of ['', 'VERSION=MYPROXYv2\nCOMMAND=0\n']) {
          try {
            readMyProxyRequest(Buffer.concat([Buffer.from(before), bytes]))
          } catch (error) {
            expect(error).toBeInstanceOf(TtsError)
          }
        }
      }),
    )
  })

  test('keeps any value of one line', () => {
    const value = fc.string({ maxLength: 200 }).filter((text) => !/[\0\n\r]/.test(text))
    fc.assert(
      fc.property(value, (text) => {
        expect(read(myproxyRequest(text)).passphrase).toBe(text)
      }),
    )
  })
})

describe('the bytes of a connection', () => {
  const never = new AbortController().signal

  /** Sends the pieces and ends the stream. */
  function readerOf(pieces: readonly (Buffer | string)[], maxRequestBytes = 1000) {
    const stream = new PassThrough()
    const reader = createByteReader(stream, maxRequestBytes)
    for (const piece of pieces) stream.write(piece)
    stream.end()
    return reader
  }

  const der = (length: number): Buffer =>
    Buffer.concat([Buffer.of(0x30, 0x82, length >> 8, length & 255), Buffer.alloc(length, 7)])

  test('are a request and a CSR, however they are cut into pieces', async () => {
    const text = 'VERSION=MYPROXYv2\nPASSPHRASE=x\n'
    const cuts = fc.array(fc.nat(700), { maxLength: 6 })
    const csr = der(600)
    await fc.assert(
      fc.asyncProperty(cuts, fc.boolean(), async (places, hasFlag) => {
        const all = Buffer.concat([Buffer.from(`${hasFlag ? '0' : ''}${text}\0`), csr])
        const sorted = [0, ...places.toSorted((a, b) => a - b), all.length]
        const pieces = sorted.slice(1).map((end, index) => all.subarray(sorted[index], end))
        const reader = readerOf(pieces)
        expect((await reader.request(never))?.toString()).toBe(text)
        expect((await reader.csr(never)).equals(csr)).toBe(true)
      }),
    )
  })

  test('are a request without its NUL when nothing more comes', async () => {
    const stream = new PassThrough()
    const reader = createByteReader(stream, 1000)
    stream.write('0')
    stream.write('VERSION=MYPROXYv2\n')
    expect((await reader.request(never))?.toString()).toBe('VERSION=MYPROXYv2\n')
  })

  test.for<readonly [string, readonly string[]]>([
    ['nothing', []],
    ['the flag alone', ['0']],
  ])('are no request: %s', async ([, pieces]) => {
    expect(await readerOf(pieces).request(never)).toBeUndefined()
  })

  test('are too many for a request, with a NUL or without', async () => {
    const refused = { code: 'payload_too_large', message: 'the request is longer than 10 bytes' }
    await expect(readerOf(['12345678901\0'], 10).request(never)).rejects.toMatchObject(refused)
    await expect(readerOf(['12345678901'], 10).request(never)).rejects.toMatchObject(refused)
    expect((await readerOf(['1234567890\0'], 10).request(never))?.length).toBe(10)
  })

  test.for<readonly [string, Buffer, string]>([
    ['PEM', Buffer.from('-----BEGIN CERTIFICATE REQUEST-----'), 'malformed'],
    ['no SEQUENCE', Buffer.of(0x31, 1, 2, 3, 4), 'malformed'],
    ['a length of three bytes', Buffer.of(0x30, 0x83, 0, 0, 1), 'malformed'],
    ['an indefinite length', Buffer.of(0x30, 0x80, 0, 0), 'malformed'],
    ['too long', Buffer.of(0x30, 0x82, 0x40, 0x01), 'too_large'],
    ['half of it', Buffer.of(0x30, 0x82, 0x01, 0x01, 5), 'closed'],
    ['its first byte', Buffer.of(0x30), 'closed'],
    ['nothing', Buffer.alloc(0), 'closed'],
  ])('are no CSR: %s', async ([, bytes, check]) => {
    await expect(readerOf([bytes]).csr(never)).rejects.toMatchObject({ check })
  })

  test('are waited for until the signal aborts', async () => {
    const reader = createByteReader(new PassThrough(), 1000)
    const reason = new Error('too late')
    const signal = AbortSignal.abort(reason)
    await expect(reader.request(signal)).rejects.toBe(reason)
    await expect(reader.csr(signal)).rejects.toBe(reason)
  })
})
