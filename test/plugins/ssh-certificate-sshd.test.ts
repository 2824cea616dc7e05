/** Certificates of the plugin against a real sshd: who gets in, who does not, and why. */
import { readFileSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { SshAuthority } from '../../ca/ssh/authority.ts'
import { createKrl } from '../../ca/ssh/krl.ts'
import { formatSshPublicKey, sshFingerprint } from '../../ca/ssh/public-key.ts'
import { sshCertificate } from '../../plugins/ssh-certificate/index.ts'
import { sshCertificateSettings } from '../../plugins/ssh-certificate/settings.ts'
import { describeWithTools, runTool, type ToolRun } from '../support/grid-tools.ts'
import { pkcs8Pem } from '../support/keys.ts'
import { sshAuthority, sshCaller, sshContext } from '../support/ssh-certificates.ts'
import {
  lineOf,
  openSshPrivateKey,
  sshBlob,
  sshKeyPair,
  type TestKeyKind,
} from '../support/ssh-keys.ts'
import { type Sshd, sshPackages, sshRun, startSshd } from '../support/sshd.ts'

const authority = sshAuthority()
const authorities = (['ed25519', 'ec-p256', 'rsa-3072'] as const).map((kind) => sshAuthority(kind))
const krlOf = (serials: readonly bigint[]): Buffer =>
  createKrl({
    authority: authority.publicKey,
    version: BigInt(serials.length + 1),
    generatedAt: new Date(),
    comment: 'test',
    serials,
    keyIds: [],
  })

let server: Sshd
const path = (name: string): string => join(server.directory, name)

const kinds = ['ed25519', 'ec-p256', 'ec-p521', 'rsa-2048'] as const

/**
 * Key pairs as users have them; without its public half beside it ssh cannot tell which certificate is for a PEM key.
 */
function keyFiles(): Record<string, string> {
  const files = kinds.map((kind) => {
    const { privateKey } = sshKeyPair(kind)
    const secret = kind === 'ed25519' ? openSshPrivateKey(privateKey) : pkcs8Pem(privateKey)
    return { [kind]: secret, [`${kind}.pub`]: lineOf(sshBlob(kind)) }
  })
  return Object.assign({}, ...files) as Record<string, string>
}

interface Wanted {
  readonly kind?: TestKeyKind
  readonly username?: string
  readonly by?: SshAuthority
  readonly settings?: object
  /** Seconds from now at which it is issued. */
  readonly issued?: number
  readonly life?: number
  /** For another account than that of who runs the tests. */
  readonly user?: string
}

/** Asks the plugin for a certificate and answers where it is saved. */
async function certificate(wanted: Wanted): Promise<{ file: string; serial: bigint }> {
  const now = (): Date => new Date(Date.now() + (wanted.issued ?? 0) * 1000)
  const caller = sshCaller({ preferred_username: wanted.username ?? 'alice' })
  const answer = await sshCertificate.request(
    sshContext(wanted.by ?? authority, caller, now),
    { public_key: lineOf(sshBlob(wanted.kind ?? 'ed25519')), lifetime_seconds: wanted.life ?? 600 },
    sshCertificateSettings.parse(wanted.settings ?? {}),
  )
  if (answer.kind !== 'credential') throw new Error('no credential')
  const file = path(`${answer.state}-cert.pub`)
  await writeFile(file, answer.entries[0]?.value ?? '')
  return { file, serial: BigInt(answer.state ?? '0') }
}

async function login(wanted: Wanted, command = 'echo in as $(id -u)'): Promise<ToolRun> {
  const { file } = await certificate(wanted)
  return loginBy(file, wanted, command)
}

function loginBy(
  file: string,
  { kind = 'ed25519', user }: Wanted = {},
  command = 'echo in as $(id -u)',
) {
  return sshRun(server, {
    identity: path(kind),
    certificate: file,
    command,
    ...(user === undefined ? {} : { user }),
  })
}

const isIn = {
  status: 0,
  output: expect.stringContaining(`in as ${process.getuid?.()}\n`) as string,
}
const isOut = {
  status: 255,
  output: expect.stringContaining('Permission denied (publickey)') as string,
}

describeWithTools('a real sshd', [...sshPackages, 'curl'], () => {
  beforeAll(async () => {
    const lines = authorities.map(({ publicKey }) => formatSshPublicKey(publicKey, 'test'))
    server = await startSshd({
      config: [
        'TrustedUserCAKeys %DIRECTORY%/ca.pub',
        'RevokedKeys %DIRECTORY%/krl',
        'AuthorizedPrincipalsFile %DIRECTORY%/principals',
      ],
      files: {
        'ca.pub': lines.join(''),
        krl: krlOf([]),
        principals: 'alice\ncluster-user\n',
        ...keyFiles(),
      },
    })
  })
  afterAll(async () => {
    await server?.stop()
  })

  test('lets the certificate in, and logs whose it is', async () => {
    const { file, serial } = await certificate({})
    expect(await loginBy(file)).toEqual(isIn)
    expect(server.log()).toMatch(
      new RegExp(
        `Accepted publickey for \\S+ from 127\\.0\\.0\\.1 port \\d+ ssh2: ED25519-CERT \\S+ ID credential=c0ffee00-0000-4000-8000-000000000001,sub=[0-9a-f]{28},issuer=https://iam\\.example\\.org/ \\(serial ${serial}\\) CA ED25519 ${sshFingerprint(authority.publicKey).replaceAll('+', '\\+')}`,
      ),
    )
  })
  test.for(kinds)('lets a key %s in', async (kind) => {
    expect(await login({ kind })).toEqual(isIn)
  })
  test.for(authorities.map((by) => [by.publicKey.kind, by] as const))(
    'takes a CA key %s',
    async ([, by]) => {
      expect(await login({ by })).toEqual(isIn)
    },
  )

  const refused: readonly (readonly [string, Wanted, RegExp])[] = [
    [
      'another principal',
      { username: 'bob' },
      /Certificate does not contain an authorized principal/,
    ],
    [
      'a principal that only begins alike',
      { username: 'alice2' },
      /does not contain an authorized principal/,
    ],
    ['an expired one', { issued: -3600, life: 1800 }, /Certificate invalid: expired/],
    ['one not valid yet', { issued: 3600 }, /Certificate invalid: not yet valid/],
    [
      'one from another network',
      { settings: { source_addresses: ['192.0.2.0/24'] } },
      /not from a permitted source address/,
    ],
    [
      'one of an unknown CA',
      { by: sshAuthority('rsa-2048') },
      /CA RSA \S+ not found|Failed publickey/,
    ],
  ]
  test.for(refused)('refuses %s', async ([, wanted, why]) => {
    const before = server.log().length
    expect(await login(wanted)).toEqual(isOut)
    expect(server.log().slice(before)).toMatch(why)
  })
  test('refuses the key without its certificate, and the certificate with another key', async () => {
    const identity = path('ed25519')
    expect(await sshRun(server, { identity, command: 'echo in' })).toEqual(isOut)
    const { file } = await certificate({ kind: 'ec-p256' })
    expect(await loginBy(file, { kind: 'ed25519' })).toEqual(isOut)
  })

  test('5 minutes of clock skew do not matter', async () => {
    expect(await login({ issued: 290 })).toEqual(isIn)
  })
  test('source addresses, forced command and role', async () => {
    const settings = { source_addresses: ['127.0.0.0/8', '::1'], force_command: 'echo forced' }
    const forced = await login({ settings }, 'echo mine')
    expect(forced).toEqual({ status: 0, output: 'forced\n' })
    const pattern = { principal_pattern: '^[a-z-]{1,32}$' }
    expect(await login({ username: 'cluster-user', settings: pattern })).toEqual(isIn)
  })
  test('a terminal only where it is permitted', async () => {
    const options = ['RequestTTY=force']
    const run = async (settings: object): Promise<string> => {
      const { file } = await certificate({ settings })
      return (
        await sshRun(server, {
          identity: path('ed25519'),
          certificate: file,
          command: 'echo x',
          options,
        })
      ).output
    }
    expect(await run({ extensions: [] })).toContain('PTY allocation request failed')
    expect(await run({})).not.toContain('PTY allocation request failed')
  })

  test('a revoked certificate is refused from the next list on, and others are not', async () => {
    const [revoked, other] = [await certificate({}), await certificate({})]
    expect(await loginBy(revoked.file)).toEqual(isIn)
    const krl = krlOf([revoked.serial, 5n])
    await writeFile(path('krl.new'), krl)
    await rename(path('krl.new'), path('krl'))
    const before = server.log().length
    expect(await loginBy(revoked.file)).toEqual(isOut)
    expect(server.log().slice(before)).toMatch(/revoked by file/)
    expect(await loginBy(other.file)).toEqual(isIn)
    const query = await runTool('ssh-keygen', ['-Q', '-f', path('krl'), revoked.file, other.file])
    expect(query.status).not.toBe(0)
    expect(query.output).toMatch(/^.*: REVOKED\n.*: ok\n/)
  })

  test('the script of the documentation fetches a list in one step, and keeps the last good one', async () => {
    const documentation = readFileSync(new URL('../../docs/ssh.md', import.meta.url), 'utf8')
    const script = /<!-- fetch-krl -->\s+```sh\n([\s\S]*?)```/.exec(documentation)?.[1] ?? ''
    await writeFile(path('fetch'), script, { mode: 0o700 })
    const { file, serial } = await certificate({})
    const fetch = async (content: Uint8Array | string | undefined): Promise<number> => {
      const source = path('source')
      if (content !== undefined) await writeFile(source, content)
      const url = pathToFileURL(content === undefined ? path('nothing') : source).href
      const run = await runTool('sh', [path('fetch')], {
        TTS_KRL_URL: url,
        TTS_KRL_FILE: path('krl'),
      })
      return run.status
    }
    expect(await fetch(krlOf([]))).toBe(0)
    expect(await loginBy(file)).toEqual(isIn)
    for (const bad of [undefined, '', '<html>502</html>', krlOf([serial]).subarray(0, -1)]) {
      expect(await fetch(bad), String(bad)).not.toBe(0)
      expect(await loginBy(file)).toEqual(isIn)
    }
    expect(await fetch(krlOf([serial]))).toBe(0)
    expect(await loginBy(file)).toEqual(isOut)
    expect(await login({})).toEqual(isIn)
    const left = await runTool('ls', [server.directory])
    expect(left.output).not.toMatch(/^krl\../m)
  })

  test('without the list nobody gets in, as the documentation warns', async () => {
    const krl = readFileSync(path('krl'))
    await rename(path('krl'), path('krl.away'))
    try {
      expect(await login({})).toEqual(isOut)
    } finally {
      await writeFile(path('krl'), krl)
    }
    expect(await login({})).toEqual(isIn)
  })
})
