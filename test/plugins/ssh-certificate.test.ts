import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { keyIdPattern, principalPattern } from '../../ca/ssh/certificate.ts'
import { readSshCertificateLine } from '../../ca/ssh/read-certificate.ts'
import type { PluginAnswer, PluginCaller } from '../../plugins/plugin.ts'
import { PluginError } from '../../plugins/plugin.ts'
import { identityDigest, keyIdOf, principalOf } from '../../plugins/ssh-certificate/identity.ts'
import { sshCertificate } from '../../plugins/ssh-certificate/index.ts'
import { sshCertificateSettings } from '../../plugins/ssh-certificate/settings.ts'
import { hostileValues } from '../support/arbitraries.ts'
import { sshAuthority, sshCaller, sshContext } from '../support/ssh-certificates.ts'
import {
  lineOf,
  openSshPrivateKey,
  securityKeyBlob,
  sshBlob,
  sshKeyPair,
} from '../support/ssh-keys.ts'

const settings = (given: object = {}) => sshCertificateSettings.parse(given)
const public_key = lineOf(sshBlob('ed25519'))

async function ask(
  parameters: object = {},
  given: object = {},
  caller: PluginCaller = sshCaller(),
): Promise<Extract<PluginAnswer, { kind: 'credential' }>> {
  const wanted = sshCertificate.parameters.parse({ public_key, ...parameters })
  const context = sshContext(sshAuthority(), caller)
  const answer = await sshCertificate.request(context, wanted, settings(given))
  if (answer.kind !== 'credential') throw new Error('no credential')
  return answer
}

describe('a request', () => {
  test('answers certificate, principal and CA, and the state to revoke by', async () => {
    const answer = await ask()
    expect(answer.entries.map(({ name, type, saveAs }) => [name, type, saveAs])).toEqual([
      ['SSH Certificate', 'textfile', 'id_tts-cert.pub'],
      ['Principal', 'text', undefined],
      ['Certificate Authority', 'textarea', undefined],
    ])
    const [certificate, principal, authority] = answer.entries.map(({ value }) => value)
    const read = readSshCertificateLine(certificate ?? '')
    expect(read).toMatchObject({
      certificateType: 1,
      principals: ['alice'],
      extensions: ['permit-pty'],
      keyId: `credential=c0ffee00-0000-4000-8000-000000000001,sub=${identityDigest(sshCaller())},issuer=https://iam.example.org/`,
    })
    expect(read.criticalOptions.size).toBe(0)
    expect(read.publicKey.blob).toEqual(sshBlob('ed25519'))
    expect(principal).toBe('alice')
    expect(authority).toBe(`${lineOf(sshAuthority().publicKey.blob, 'tts-ssh-ca')}\n`)
    expect(answer.state).toBe(read.serial.toString())
    expect(answer.notAfter).toEqual(new Date('2026-11-06T00:00:00Z'))
    expect(read.validBefore - read.validAfter).toBe(43_200n + 300n)
    expect(answer.warnings).toEqual([])
  })
  test('takes the life that is asked', async () => {
    const { notAfter } = await ask({ lifetime_seconds: '600' })
    expect(notAfter).toEqual(new Date('2026-11-05T12:10:00Z'))
  })
  test('carries what the settings restrict and permit, and says so', async () => {
    const given = {
      extensions: ['permit-pty', 'permit-agent-forwarding'],
      source_addresses: ['192.0.2.0/24', '::1'],
      force_command: 'squeue --me',
    }
    const { entries, warnings } = await ask(
      { public_key: lineOf(securityKeyBlob('ed25519')) },
      given,
    )
    const read = readSshCertificateLine(entries[0]?.value ?? '')
    expect(read.extensions).toEqual(['permit-agent-forwarding', 'permit-pty'])
    expect(Object.fromEntries(read.criticalOptions)).toEqual({
      'force-command': 'squeue --me',
      'source-address': '192.0.2.0/24,::1',
    })
    expect(warnings).toEqual([
      expect.stringContaining('8.2'),
      expect.stringContaining('192.0.2.0/24, ::1'),
      expect.stringContaining('squeue --me'),
    ])
  })
  test.for([
    ['a private key', openSshPrivateKey(sshKeyPair('ed25519').privateKey), 'must never be sent'],
    ['something else', 'hello', 'begin with its type'],
    ['options', `command="id" ${public_key}`, 'begin with its type'],
  ])('with %s is refused with the reason, and without the key', async ([, key = '', why]) => {
    const refusal = await ask({ public_key: key }).catch((error: unknown) => error)
    expect(refusal).toBeInstanceOf(PluginError)
    expect(refusal).toMatchObject({
      code: 'invalid_parameters',
      message: expect.stringContaining(why ?? '') as string,
    })
    expect((refusal as PluginError).message).not.toContain(key.slice(40, 60) || key)
  })
  test.for([
    [{ public_key: '' }],
    [{ public_key: 'x'.repeat(5000) }],
    [{ principals: 'root' }],
    [{ principal: 'root' }],
    [{ lifetime_seconds: 0 }],
    [{ force_command: 'id' }],
  ])('with %j does not reach the plugin', ([changes]) => {
    expect(sshCertificate.parameters.safeParse({ public_key, ...changes }).success).toBe(false)
  })
})

describe('the principal', () => {
  const refused = (caller: PluginCaller, given: object = {}): string => {
    try {
      return `taken: ${principalOf(caller, settings(given))}`
    } catch (error) {
      if (!(error instanceof PluginError) || error.code !== 'refused') throw error
      return error.message
    }
  }
  test.for([
    ['a', {}, 'a'],
    ['_svc-1', {}, '_svc-1'],
    ['a'.repeat(32), {}, 'a'.repeat(32)],
    ['Alice', { principal_pattern: '^[A-Za-z]{1,32}$' }, 'Alice'],
    ['alice@EXAMPLE.ORG', { principal_pattern: '^[a-z]+@EXAMPLE\\.ORG$' }, 'alice@EXAMPLE.ORG'],
  ] as const)('%s', ([preferred_username, given, expected]) => {
    expect(principalOf(sshCaller({ preferred_username }), settings(given))).toBe(expected)
  })
  test.for([
    'Alice',
    'alice ',
    ' alice',
    'alice\n',
    'a,b',
    'a b',
    '-a',
    '1a',
    'a.b',
    'a'.repeat(33),
    'a*',
    'a\0',
    'аlice',
    'alice\u202e',
    '$(id)',
    'a;b',
    ...hostileValues.filter((value) => value !== '' && value !== 'proxy'),
  ])('%j is no account name', (preferred_username) => {
    expect(refused(sshCaller({ preferred_username }))).toMatch(/is not a valid account name here$/)
  })
  test.for([undefined, null, '', 7, true, ['alice'], { toString: 'alice' }])(
    'claim %j',
    (value) => {
      expect(refused(sshCaller({ preferred_username: value }))).toMatch(
        /did not send your account name/,
      )
    },
  )
  test.for(['root', 'daemon', 'ubuntu', 'nobody', 'postgres'])(
    "%s is nobody's",
    (preferred_username) => {
      expect(refused(sshCaller({ preferred_username }))).toMatch(/^certificates for the account/)
    },
  )
  test('forbidden ones are forbidden in any letter case', () => {
    const given = { principal_pattern: '^[A-Za-z]+$', forbidden_principals: ['Boss'] }
    for (const preferred_username of ['boss', 'BOSS', 'Boss'])
      expect(refused(sshCaller({ preferred_username }), given)).toMatch(
        /^certificates for the account/,
      )
  })
  test('a wide pattern lets nothing through that sshd could read as more', () => {
    const hostile = fc.oneof(fc.constantFrom(...hostileValues), fc.string({ unit: 'binary' }))
    fc.assert(
      fc.property(hostile, (preferred_username) => {
        const outcome = refused(sshCaller({ preferred_username }), { principal_pattern: '^.*$' })
        if (outcome.startsWith('taken: ')) expect(preferred_username).toMatch(principalPattern)
      }),
    )
  })
  test('what an object inherits is no claim', () => {
    for (const principal_claim of ['constructor', '__proto__', 'toString'])
      expect(refused(sshCaller(), { principal_claim })).toMatch(/did not send/)
    const claims = Object.create({ preferred_username: 'alice' }) as Record<string, unknown>
    expect(refused({ ...sshCaller(), claims })).toMatch(/did not send/)
  })
  test('the claim of another issuer is not believed', () => {
    const given = { principal_issuer: 'https://iam.example.org/' }
    expect(principalOf(sshCaller(), settings(given))).toBe('alice')
    // As IAM writes it, and as the service knows it.
    const same = { ...sshCaller(), issuer: 'https://iam.example.org' }
    expect(principalOf(same, settings(given))).toBe('alice')
    for (const issuer of [
      'https://iam.example.org//',
      'https://iam.example.org.evil.org',
      'http://iam.example.org',
      'https://IAM.example.org',
    ])
      expect(refused({ ...sshCaller(), issuer }, given)).toMatch(/not accepted/)
  })
  test('by template it is the digest of the identity, whatever the claims say', () => {
    const given = { principal_template: 'tts-{digest}' }
    const caller = sshCaller({ preferred_username: 'root' })
    const script = 'printf "%s\\n%s" "$1" "$2" | sha256sum | cut -c1-28'
    const shell = execFileSync('sh', ['-c', script, 'sh', caller.issuer, caller.sub], {
      encoding: 'utf8',
    })
    expect(principalOf(caller, settings(given))).toBe(`tts-${shell.trim()}`)
    expect(refused({ ...caller, issuer: 'https://a\nb' }, given)).toMatch(/not a URL/)
  })
})

test('key ids are one safe word, whoever asks', () => {
  const text = fc.oneof(
    fc.constantFrom(...hostileValues),
    fc.string({ unit: 'binary', maxLength: 400 }),
  )
  fc.assert(
    fc.property(text, text, text, (issuer, sub, id) => {
      const caller = { issuer: `https://${issuer.replaceAll('\n', '')}`, sub }
      expect(keyIdOf(caller, id)).toMatch(keyIdPattern)
    }),
  )
})

describe('settings', () => {
  test.for([
    { principal_pattern: '[a-z]+' },
    { principal_pattern: '^[a-z]+' },
    { principal_pattern: '^(a+)+$' },
    { principal_pattern: '^a|root$' },
    { principal_pattern: '^a?a?a?a?a?aaaaa$' },
    { principal_pattern: '^[a-z$' },
    { principal_pattern: '^a$b$' },
    { principal_template: 'tts' },
    { principal_template: '{digest}' },
    { principal_template: '-{digest}' },
    { principal_template: 'a,root,{digest}' },
    { principal_template: 'tts-{digest}', principal_claim: 'sub' },
    { principal_template: 'tts-{digest}', principal_pattern: '^a$' },
    { extensions: ['permit-everything'] },
    { source_addresses: [] },
    { source_addresses: ['10.0.0.1/8'] },
    { force_command: '' },
    { force_command: 'a\nb' },
    { principals: ['root'] },
  ])('%j are refused', (given) => {
    expect(sshCertificateSettings.safeParse(given).success).toBe(false)
  })
  test('the slowest pattern that is taken has an answer on the longest value', () => {
    const pattern = '^[a-z]*[a-z]*[a-z]*[a-z]*$'
    const caller = sshCaller({ preferred_username: `${'a'.repeat(63)}A` })
    expect(() => principalOf(caller, settings({ principal_pattern: pattern }))).toThrow(PluginError)
  })
})
