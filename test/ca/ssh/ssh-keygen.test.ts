/** OpenSSH's own tool judges what we write. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createSshCertificate, sshExtensions } from '../../../ca/ssh/certificate.ts'
import { createKrl } from '../../../ca/ssh/krl.ts'
import {
  formatSshPublicKey,
  readSshPublicKey,
  readSshPublicKeyLine,
  sshFingerprint,
} from '../../../ca/ssh/public-key.ts'
import { readSshCertificateLine } from '../../../ca/ssh/read-certificate.ts'
import { describeWithTools, runTool } from '../../support/grid-tools.ts'
import { sshAuthority, sshRequest } from '../../support/ssh-certificates.ts'
import {
  lineOf,
  openSshPrivateKey,
  securityKeyBlob,
  sshBlob,
  sshKeyPair,
  testKeyKinds,
} from '../../support/ssh-keys.ts'

let directory = ''
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-ssh-keygen-'))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

function file(name: string, content: string | Uint8Array): string {
  const path = join(directory, name)
  writeFileSync(path, content, { mode: 0o600 })
  return path
}

const keygen = async (...args: string[]): Promise<string> => {
  const { status, output } = await runTool('ssh-keygen', args, { TZ: 'UTC' })
  expect(output).not.toMatch(/invalid|is not a/i)
  expect(status).toBe(0)
  return output
}

const subjects = [
  ...testKeyKinds.map((kind) => [kind, sshBlob(kind)] as const),
  ['sk-ed25519', securityKeyBlob('ed25519')] as const,
  ['sk-ec-p256', securityKeyBlob('ec-p256')] as const,
]
/** With the top bit set, as half of ours are. */
const serial = 0xfedcba9876543210n
const authorityKinds = ['ed25519', 'ec-p256', 'rsa-2048', 'rsa-3072'] as const

describeWithTools('ssh-keygen', ['openssh-client'], () => {
  test.for(
    authorityKinds.flatMap((by) => subjects.map(([kind, blob]) => [by, kind, blob] as const)),
  )('reads a certificate by %s for %s', async ([by, kind, blob]) => {
    const authority = sshAuthority(by)
    const publicKey = readSshPublicKey(blob)
    const certificate = await createSshCertificate(
      authority,
      sshRequest({
        publicKey,
        serial,
        principals: ['alice', 'cluster-user'],
        extensions: [...sshExtensions].reverse(),
        sourceAddresses: ['192.0.2.0/24', '2001:db8::/32'],
        forceCommand: 'echo "hello" $HOME',
      }),
    )
    const printed = await keygen('-L', '-f', file(`${by}-${kind}-cert.pub`, lineOf(certificate)))
    const lines = printed.split('\n').map((line) => line.trim())
    expect(lines.slice(1, -1)).toEqual([
      expect.stringMatching(/^Type: \S+-cert-v01@openssh\.com user certificate$/),
      expect.stringContaining(sshFingerprint(publicKey)),
      expect.stringMatching(
        `^Signing CA: \\S+ ${sshFingerprint(authority.publicKey).replaceAll(/[+/]/g, '\\$&')} \\(using (ssh-ed25519|ecdsa-sha2-nistp256|rsa-sha2-512)\\)$`,
      ),
      'Key ID: "credential=1,sub=2,issuer=https://iam.example.org/"',
      `Serial: ${serial}`,
      'Valid: from 2026-11-05T11:55:00 to 2026-11-05T13:00:00',
      'Principals:',
      'alice',
      'cluster-user',
      'Critical Options:',
      'force-command echo "hello" $HOME',
      'source-address 192.0.2.0/24,2001:db8::/32',
      'Extensions:',
      ...[...sshExtensions].sort(),
    ])
  })

  test.for(subjects)('gives the same fingerprint for %s', async ([kind, blob]) => {
    const line = formatSshPublicKey(readSshPublicKey(blob), 'comment')
    const printed = await keygen('-l', '-f', file(`${kind}.pub`, line))
    expect(printed).toContain(` ${sshFingerprint({ blob })} comment (`)
  })

  test.for([
    ['ed25519', []],
    ['ecdsa', ['-b', '521']],
    ['rsa', ['-b', '2048']],
  ] as const)('makes %s keys that are read, and signs them as we do', async ([type, options]) => {
    const path = join(directory, `made-${type}`)
    await keygen('-q', '-t', type, ...options, '-N', '', '-C', 'someone', '-f', path)
    const { output } = await runTool('cat', [`${path}.pub`])
    const publicKey = readSshPublicKeyLine(output)
    // Its certificate, made by our CA key, is read as ours are.
    const ca = file(`ca-for-${type}`, openSshPrivateKey(sshKeyPair('ed25519', 'CA').privateKey))
    await keygen('-q', '-s', ca, '-I', 'id', '-n', 'alice', '-z', '7', '-V', '+1h', `${path}.pub`)
    const theirs = await runTool('cat', [`${path}-cert.pub`])
    const read = readSshCertificateLine(theirs.output)
    expect(read).toMatchObject({
      serial: 7n,
      keyId: 'id',
      principals: ['alice'],
      certificateType: 1,
    })
    expect(read.publicKey.blob).toEqual(publicKey.blob)
    expect(read.extensions).toEqual([...sshExtensions].sort())
    expect(read.signatureKey.blob).toEqual(sshAuthority().publicKey.blob)
  })

  test.for(authorityKinds)('answers by our KRL of a CA %s', async (by) => {
    const authority = sshAuthority(by)
    const made = async (name: string, serial: bigint, keyId: string): Promise<string> =>
      file(
        `${name}-cert.pub`,
        lineOf(await createSshCertificate(authority, sshRequest({ serial, keyId }))),
      )
    const highest = (1n << 64n) - 1n
    const krl = file(
      `${by}.krl`,
      createKrl({
        authority: authority.publicKey,
        version: 1_700_000_000n,
        generatedAt: new Date('2026-11-05T12:00:00Z'),
        comment: 'tts-ssh-ca',
        serials: [highest, 3n, 2n, 10n ** 12n],
        keyIds: ['stolen'],
      }),
    )
    const asked = [
      [await made(`${by}-1`, 1n, 'kept'), 'ok'],
      [await made(`${by}-2`, 2n, 'kept'), 'REVOKED'],
      [await made(`${by}-4`, 4n, 'kept'), 'ok'],
      [await made(`${by}-5`, highest, 'kept'), 'REVOKED'],
      [await made(`${by}-6`, highest - 1n, 'kept'), 'ok'],
      [await made(`${by}-7`, 7n, 'stolen'), 'REVOKED'],
      // The key itself is not revoked: it may be certified anew.
      [file(`${by}-key.pub`, lineOf(sshBlob('ed25519'))), 'ok'],
    ] as const
    const query = await runTool('ssh-keygen', ['-Q', '-f', krl, ...asked.map(([path]) => path)])
    expect(query.output.trim().split('\n')).toEqual(
      asked.map(([path, answer]) => expect.stringMatching(`^${path} .*: ${answer}$`) as string),
    )
    const other = sshAuthority(by === 'ed25519' ? 'ec-p256' : 'ed25519')
    const theirs = file(
      'other-cert.pub',
      lineOf(await createSshCertificate(other, sshRequest({ serial: 2n }))),
    )
    expect(await keygen('-Q', '-f', krl, theirs)).toMatch(/: ok$/m)
    const listed = await keygen('-Q', '-l', '-f', krl)
    expect(listed).toMatch(/^# KRL version 1700000000$/m)
    expect(listed).toMatch(/^# Generated at 20261105T120000$/m)
    expect(listed).toMatch(/^# Comment: tts-ssh-ca$/m)
    expect(listed).toContain(sshFingerprint(authority.publicKey))
    expect(listed.match(/^serial: .*$/gm)).toEqual([
      'serial: 2-3',
      `serial: ${10n ** 12n}`,
      `serial: ${highest}`,
    ])
    expect(listed).toMatch(/^id: stolen$/m)
  })

  test('a KRL of 300,000 serial numbers is made and read', async () => {
    const authority = sshAuthority('ed25519')
    const serials = Array.from({ length: 300_000 }, (_, index) => BigInt(2 * index + 2))
    const list = {
      version: 1n,
      generatedAt: new Date('2026-11-05T12:00:00Z'),
      comment: '',
      keyIds: [],
    }
    const krl = file('large.krl', createKrl({ ...list, authority: authority.publicKey, serials }))
    const made = async (serial: bigint): Promise<string> =>
      file(
        `large-${serial}-cert.pub`,
        lineOf(await createSshCertificate(authority, sshRequest({ serial }))),
      )
    const [revoked, kept] = [await made(600_000n), await made(599_999n)]
    const query = await runTool('ssh-keygen', ['-Q', '-f', krl, revoked, kept])
    expect(query.output).toMatch(/600000-cert.pub .*: REVOKED\n.*599999-cert.pub .*: ok/)
  })

  test('takes a KRL that revokes nothing', async () => {
    const { publicKey } = sshAuthority()
    const empty = createKrl({
      authority: publicKey,
      version: 1n,
      generatedAt: new Date(),
      comment: '',
      serials: [],
      keyIds: [],
    })
    const key = file('kept.pub', lineOf(sshBlob('ed25519')))
    expect(await keygen('-Q', '-f', file('empty.krl', empty), key)).toMatch(/: ok$/m)
  })
})
