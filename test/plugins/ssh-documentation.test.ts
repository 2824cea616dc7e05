/**
 * docs/ssh.md, line by line: what users, sites and the operator are told to do, done with a real service, ssh and sshd.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { identityDigest } from '../../plugins/ssh-certificate/identity.ts'
import { describeWithTools, runTool, type ToolRun } from '../support/grid-tools.ts'
import { startTestService, type TestService } from '../support/service.ts'
import { type Sshd, sshPackages, startSshd } from '../support/sshd.ts'
import { runTts } from '../support/terminal.ts'

const text = readFileSync(new URL('../../docs/ssh.md', import.meta.url), 'utf8')

/** The block of the documentation that the pattern is in. */
function block(language: string, inside: RegExp): string {
  // Fences alternate: what stands between an opening one and the next is a block.
  const pieces = text.split(/^```(.*)\n/m)
  for (let index = 1; index + 1 < pieces.length; index += 4)
    if (pieces[index] === language && inside.test(pieces[index + 1] ?? ''))
      return pieces[index + 1] ?? ''
  throw new Error(`docs/ssh.md has no ${language} with ${inside.source}`)
}

/** The one piece of inline code that the pattern is in. */
function inline(inside: RegExp): string {
  const [, found] =
    [...text.matchAll(/`([^`\n]+)`/g)].find(([, code = '']) => inside.test(code)) ?? []
  if (found === undefined) throw new Error(`docs/ssh.md has no line with ${inside.source}`)
  return found
}

const [, getCertificate = '', logIn = ''] =
  /^([^]*)\n(ssh .*)\n$/.exec(block('sh', /api\/v2\/iam\/credential/)) ?? []
const fetchKrl = block('sh', /RevokedKeys|TTS_KRL_URL/)
const sshdLines = block('', /TrustedUserCAKeys/)

describeWithTools('docs/ssh.md', [...sshPackages, 'curl', 'jq'], () => {
  let service: TestService
  let server: Sshd
  let home = ''
  const path = (name: string): string => join(home, name)

  /** Runs a line as a user's shell does, with names of this test for those of the documentation. */
  async function shell(line: string, environment: Record<string, string> = {}): Promise<ToolRun> {
    const own = line
      .replaceAll('https://tts.example.org', service.url)
      .replaceAll('alice@login.example.org', `${server?.user}@login.example.org`)
      .replaceAll('/etc/ssh', server?.directory ?? '')
    return runTool('sh', ['-c', own], {
      HOME: home,
      PATH: `${path('bin')}:${process.env['PATH'] ?? ''}`,
      BEARER_TOKEN: service.token('alice', {
        groups: ['cluster'],
        preferred_username: 'alice',
      }),
      ...environment,
    })
  }

  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), 'tts-ssh-home-'))
    for (const name of ['.ssh', 'bin', 'site']) mkdirSync(path(name), { mode: 0o700 })
    service = await startTestService({
      configuration: (idp) => {
        const lines = block('yaml', /plugin: ssh-certificate/)
        return parse(lines.replaceAll('https://iam.example.org', idp.issuer)) as Record<
          string,
          Record<string, unknown>
        >
      },
    })
    // For sites, in this order: the list, the line of the CA, the lines for sshd.
    writeFileSync(path('fetch-krl'), fetchKrl, { mode: 0o700 })
    const krlFile = path('site/tts.krl')
    const fetched = await runTool(path('fetch-krl'), [], {
      TTS_KRL_URL: `${service.url}/ca/ssh/krl`,
      TTS_KRL_FILE: krlFile,
    })
    expect(fetched).toEqual({ status: 0, output: '' })
    const [command = '', field = ''] = inline(/^tts ssh-ca show --json/).split(' | jq -r .')
    const words = ['--config', join(service.directory, 'tts.yaml'), ...command.split(' ').slice(1)]
    const shown = await runTts(words)
    expect(shown.code, shown.notes).toBe(0)
    const authorityLine = (JSON.parse(shown.out) as Record<string, string>)[field] ?? ''
    server = await startSshd({
      config: sshdLines.trim().replaceAll('/etc/ssh', '%DIRECTORY%').split('\n'),
      files: { 'tts-ssh-ca.pub': `${authorityLine}\n`, 'tts.krl': readFileSync(krlFile) },
    })
    mkdirSync(join(server.directory, 'principals'))
    writeFileSync(join(server.directory, 'principals', server.user), 'alice\n')
    writeFileSync(
      path('config'),
      [
        'Host login.example.org',
        'HostName 127.0.0.1',
        `Port ${server.port}`,
        `UserKnownHostsFile ${server.knownHosts}`,
        'HostKeyAlias [127.0.0.1]:' + String(server.port),
        'IdentityAgent none',
        'BatchMode yes',
        'IdentitiesOnly yes',
        '',
      ].join('\n'),
    )
    writeFileSync(path('bin/ssh'), `#!/bin/sh\nexec /usr/bin/ssh -F ${path('config')} "$@"\n`, {
      mode: 0o700,
    })
    const made = await shell(`${inline(/^ssh-keygen -t ed25519 -f/)} -q -N ''`)
    expect(made).toEqual({ status: 0, output: '' })
  })
  afterAll(async () => {
    await server?.stop()
    await service?.stop()
    if (home !== '') rmSync(home, { recursive: true, force: true })
  })

  const certificateFile = (): string => path('.ssh/id_tts-cert.pub')
  const login = (): Promise<ToolRun> => shell(`${logIn} 'echo in as $(id -u)'`)
  const isIn = { status: 0, output: `in as ${process.getuid?.()}\n` }

  async function takeCertificate(): Promise<string> {
    expect(await shell(getCertificate)).toEqual({ status: 0, output: '' })
    return readFileSync(certificateFile(), 'utf8')
  }

  test('without a certificate the key opens nothing', async () => {
    rmSync(certificateFile(), { force: true })
    expect(await login()).toMatchObject({ status: 255 })
  })

  test('a certificate, and in', async () => {
    expect(await takeCertificate()).toMatch(/^ssh-ed25519-cert-v01@openssh\.com \S+ credential=/)
    expect(await login(), server.log()).toEqual(isIn)
    const accepted = block('', /^Accepted publickey/m).split(' ')
    for (const word of ['Accepted publickey for', 'ED25519-CERT', 'ID credential=', '(serial '])
      expect([accepted.join(' '), server.log()].map((log) => log.includes(word))).toEqual([
        true,
        true,
      ])
  })

  test('what is in it', async () => {
    await takeCertificate()
    const { status, output } = await shell(inline(/^ssh-keygen -Lf/))
    expect(status).toBe(0)
    expect(output).toMatch(/Principals:\s+alice\s/)
    expect(output).toMatch(/Valid: from \S+ to \S+/)
  })

  test('where it is refused the first line fails, and leaves the certificate that there was', async () => {
    const before = await takeCertificate()
    const refused = await shell(getCertificate, { BEARER_TOKEN: service.token('bob') })
    expect(refused.status).not.toBe(0)
    expect(refused.output).toMatch(/error: 400/)
    expect(readFileSync(certificateFile(), 'utf8')).toBe(before)
    expect(await login()).toEqual(isIn)
  })

  test('revoked, it is refused once the list was fetched; a new one goes on', async () => {
    const certificate = await takeCertificate()
    const [, id = ''] = /credential=([0-9a-f-]{36})/.exec(certificate) ?? []
    const deleted = await fetch(`${service.url}/v1/credentials/${id}`, {
      method: 'DELETE',
      headers: {
        authorization: `Bearer ${service.token('alice', { groups: ['cluster'], preferred_username: 'alice' })}`,
      },
    })
    expect(deleted.status).toBe(200)
    expect(await login()).toEqual(isIn)
    const krlFile = join(server.directory, 'tts.krl')
    const run = await runTool(path('fetch-krl'), [], {
      TTS_KRL_URL: `${service.url}/ca/ssh/krl`,
      TTS_KRL_FILE: krlFile,
    })
    expect(run).toEqual({ status: 0, output: '' })
    expect(statSync(krlFile).mode & 0o777).toBe(0o644)
    expect(await login()).toMatchObject({ status: 255 })
    expect((await shell(inline(/^find \/etc\/ssh\/tts\.krl/))).output).toBe('')
    await takeCertificate()
    expect(await login()).toEqual(isIn)
  })

  test('by a line in authorized_keys, where one is not the administrator', async () => {
    await takeCertificate()
    const entries = await shell("jq -r '.credential.entries[2].value' ~/.ssh/id_tts.json")
    const line = `${inline(/^cert-authority,/)} ${entries.output}`
    const other = await startSshd({
      config: ['AuthorizedKeysFile %DIRECTORY%/authorized_keys'],
      files: { authorized_keys: line },
    })
    const options = ['BatchMode=yes', 'IdentitiesOnly=yes', 'IdentityAgent=none']
    options.push(`UserKnownHostsFile=${other.knownHosts}`)
    try {
      const { status, output } = await runTool('/usr/bin/ssh', [
        '-F',
        'none',
        ...options.flatMap((option) => ['-o', option]),
        '-i',
        path('.ssh/id_tts'),
        '-p',
        String(other.port),
        `${other.user}@127.0.0.1`,
        'echo in as $(id -u)',
      ])
      expect({ status, output }).toEqual(isIn)
    } finally {
      await other.stop()
    }
  })

  test('the digest of a person, as the documentation computes it', () => {
    const line = inline(/sha256sum \| cut/)
    // Issuers of IAM end with a slash; the documentation says that it does not count.
    const issuer = service.provider.issuer.replace(/\/$/, '')
    const { sub } = service.provider.user('alice')
    const environment = { ...process.env, issuer, sub }
    const printed = execFileSync('sh', ['-c', line], { env: environment, encoding: 'utf8' })
    expect(printed).toBe(`${identityDigest({ issuer, sub })}\n`)
    expect(server.log()).toContain(`sub=${printed.trim()},issuer=${issuer} `)
  })
})
