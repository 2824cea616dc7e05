import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TtsError } from '../../src/base/errors.ts'
import { type AuthoritySource, readAuthorities } from '../../src/network/trusted-authorities.ts'
import { makePrivateCa, type PrivateCa } from '../support/private-ca.ts'

let root = ''
let ca: PrivateCa
let caPem = ''
let serverPem = ''
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'tts-authorities-'))
  ca = makePrivateCa(root)
  caPem = readFileSync(ca.file, 'utf8')
  serverPem = ca.issue('host.example.org').cert.toString()
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

const source = (
  kind: AuthoritySource['kind'],
  path: string,
  required = false,
): AuthoritySource => ({
  kind,
  path,
  setting: required ? 'tls.ca' : 'SSL_CERT',
  required,
})
const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'
let made = 0
/** Makes a directory with these files. */
function directory(files: Readonly<Record<string, string>>): string {
  made += 1
  const path = join(root, `directory-${made}`)
  mkdirSync(path)
  for (const [name, content] of Object.entries(files)) writeFileSync(join(path, name), content)
  return path
}
function file(content: string): string {
  return join(directory({ 'ca.pem': content }), 'ca.pem')
}

describe('files', () => {
  test('a bundle with text around, and each certificate once', () => {
    const path = file(`# Private CA\r\n${caPem.replaceAll('\n', '\r\n')}\n${serverPem}${caPem}`)
    const { certificates, warnings } = readAuthorities([
      source('file', path),
      source('file', ca.file),
    ])
    expect(certificates).toEqual([caPem, serverPem])
    expect(warnings).toEqual([])
  })

  const bad: readonly (readonly [string, () => string, string])[] = [
    [
      'does not exist',
      () => join(root, 'none.pem'),
      'cannot be read: the file or its directory does not exist',
    ],
    ['is a directory', () => ca.gridDirectory, 'cannot be read: it is a directory'],
    ['is empty', () => file(''), 'holds no PEM certificate'],
    ['is DER', () => file('\u0030\u0082'), 'holds no PEM certificate'],
    ['is a key', () => ca.issue('key.example.org').keyFile, 'holds no PEM certificate'],
    ['is broken', () => file(broken), 'holds a certificate that cannot be parsed'],
    ['is broken in part', () => file(caPem + broken), 'holds a certificate that cannot be parsed'],
  ]
  test.for(bad)(
    'a file that %s: warning, or error if the configuration names it',
    ([, path, text]) => {
      const named = path()
      expect(readAuthorities([source('file', named)]).warnings).toEqual([
        `SSL_CERT: ${named} ${text}`,
      ])
      const read = () => readAuthorities([source('file', named, true)])
      expect(read).toThrow(TtsError)
      expect(read).toThrow(`tls.ca: ${named} ${text}`)
    },
  )

  test('the good part of a broken file is used', () => {
    expect(readAuthorities([source('file', file(broken + caPem))]).certificates).toEqual([caPem])
  })
})

describe('directories', () => {
  test('of IGTF: CA certificates once, and nothing else', () => {
    const { certificates, warnings } = readAuthorities([
      source('directory', ca.gridDirectory, true),
    ])
    expect(certificates).toEqual([caPem])
    expect(warnings).toEqual([])
  })

  test('certificates of hosts are not trusted', () => {
    const path = directory({ 'host.pem': serverPem, 'ca.crt': caPem })
    expect(readAuthorities([source('directory', path)]).certificates).toEqual([caPem])
  })

  test('dangling links and broken files are warnings, and the rest is used', () => {
    const path = directory({ 'a.pem': broken, 'b.0': caPem })
    symlinkSync('/nonexistent', join(path, 'c.1'))
    expect(readAuthorities([source('directory', path, true)])).toEqual({
      certificates: [caPem],
      warnings: [
        `tls.ca: ${join(path, 'a.pem')} holds a certificate that cannot be parsed`,
        `tls.ca: ${join(path, 'c.1')} cannot be read: the file or its directory does not exist`,
      ],
    })
  })

  test('many broken files give a few warnings', () => {
    const names = Array.from({ length: 20 }, (_, index) => [`ca-${index}.pem`, broken] as const)
    const { warnings } = readAuthorities([
      source('directory', directory(Object.fromEntries(names))),
    ])
    expect(warnings).toHaveLength(6)
    expect(warnings.at(-1)).toBe('SSL_CERT: 15 more files cannot be used')
  })

  const empty: readonly (readonly [string, () => string, string])[] = [
    [
      'does not exist',
      () => join(root, 'none'),
      'cannot be read: the file or its directory does not exist',
    ],
    ['is a file', () => ca.file, 'cannot be read: a part of the path is not a directory'],
    ['is empty', () => directory({}), 'holds no CA certificate'],
    ['holds CRLs only', () => directory({ 'a.r0': caPem }), 'holds no CA certificate'],
    [
      'holds host certificates only',
      () => directory({ 'a.pem': serverPem }),
      'holds no CA certificate',
    ],
  ]
  test.for(empty)('a directory that %s', ([, path, text]) => {
    const named = path()
    expect(readAuthorities([source('directory', named)])).toEqual({
      certificates: [],
      warnings: [`SSL_CERT: ${named} ${text}`],
    })
    expect(() => readAuthorities([source('directory', named, true)])).toThrow(
      `tls.ca: ${named} ${text}`,
    )
  })
})

test('any content gives certificates or a warning', () => {
  const path = join(root, 'any.pem')
  const piece = fc.oneof(
    fc.string(),
    fc.constantFrom(caPem, serverPem, broken, '-----BEGIN CERTIFICATE-----', caPem.slice(0, 200)),
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 5 }), (pieces) => {
      writeFileSync(path, pieces.join('\n'))
      const { certificates, warnings } = readAuthorities([source('file', path)])
      expect(certificates.length + warnings.length).toBeGreaterThan(0)
      for (const pem of certificates) expect([caPem, serverPem]).toContain(pem)
    }),
    { numRuns: 200 },
  )
})
