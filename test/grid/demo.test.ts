/** What the demo command writes, and what `tts` does with a running service, judged by the real grid tools. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  gridProxyInfo,
  opensslVerify,
  proxyInfoPackages,
  vomsProxyInfo,
} from '../support/grid-checks.ts'
import type { CredentialFiles } from '../support/grid-site.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { checkGridFtp, gridFtpPackages } from '../support/gridftp.ts'
import { programPath, runToEnd } from '../support/programs.ts'
import { startTestService, type TestService } from '../support/service.ts'
import { runTts } from '../support/terminal.ts'
import { checkXrootd, xrootdPackages } from '../support/xrootd.ts'

let directory = ''
let demo: CredentialFiles
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'tts-grid-demo-'))
  const words = ['--once', '--dir', directory]
  const { code, err } = await runToEnd(programPath('demo/main.ts'), words)
  expect({ code, err }).toEqual({ code: 0, err: '' })
  demo = {
    proxyPath: join(directory, 'gwms_proxy'),
    trustAnchorDir: join(directory, 'trust-anchors'),
  }
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const person = '/C=EU/O=INDIGO/OU=TTS/CN=9e499e0e-ce25-485b-9353-d19726fd287a@indigo-iam-test'

describeWithTools("the demo's proxy: proxy info tools and OpenSSL", proxyInfoPackages, () => {
  test('grid-proxy-info prints it as RFC compliant', async () => {
    const { status, output } = await gridProxyInfo(demo)
    expect(status).toBe(0)
    expect(output).toContain(`identity : ${person}\n`)
    expect(output).toContain('type     : RFC 3820 compliant impersonation proxy\n')
    expect(output).toContain('strength : 2048 bits\n')
    expect(output).toContain('(4.0 days)')
  })

  test('voms-proxy-info prints it as RFC compliant', async () => {
    const { status, output } = await vomsProxyInfo(demo)
    expect(status).toBe(0)
    expect(output).toContain(`identity  : ${person}\n`)
    expect(output).toContain('type      : RFC compliant proxy\n')
  })

  test('openssl verifies it by the exported trust anchors, strictly and with CRLs', async () => {
    expect(await opensslVerify(demo)).toEqual({ status: 0, output: `${demo.proxyPath}: OK\n` })
    expect(await opensslVerify(demo, ['-crl_check_all'])).toMatchObject({ status: 0 })
  })
})

describeWithTools("the demo's proxy: GridFTP", gridFtpPackages, () => {
  test('copies up and down, mapped by its DN', async () => {
    expect(await checkGridFtp(demo)).toBeUndefined()
  })
})

describeWithTools("the demo's proxy: XRootD", xrootdPackages, () => {
  test('reads a file', async () => {
    expect(await checkXrootd(demo)).toBeUndefined()
  })
})

describeWithTools('tts with a running service', [...proxyInfoPackages, ...gridFtpPackages], () => {
  let service: TestService
  const path = (name: string): string => join(service.directory, name)
  beforeAll(async () => {
    service = await startTestService({ configuration: { ca: { key_kind: 'rsa-3072' } } })
  })
  afterAll(() => service.stop())

  const tts = async (words: readonly string[]): Promise<string> => {
    const { code, out, notes } = await runTts(['--config', path('tts.yaml'), ...words])
    expect({ code, notes: code === 0 ? '' : notes }).toEqual({ code: 0, notes: '' })
    return out
  }
  /** A proxy by `tts proxy init`, and the trust anchors by `tts ca export`. */
  async function obtain(name: string, words: readonly string[] = []): Promise<CredentialFiles> {
    writeFileSync(path('token'), service.token(), { mode: 0o600 })
    const from = ['--url', service.url, '--token-file', path('token')]
    await tts(['proxy', 'init', ...from, '--out', path(name), ...words])
    await tts(['ca', 'export', path('trust-anchors')])
    return { proxyPath: path(name), trustAnchorDir: path('trust-anchors') }
  }

  test('a limited proxy is seen as limited, and moves data', async () => {
    const credential = await obtain('limited', ['--type', 'limited'])
    expect((await gridProxyInfo(credential)).output).toContain(
      'type     : RFC 3820 compliant limited proxy\n',
    )
    expect(await opensslVerify(credential)).toMatchObject({ status: 0 })
    expect(await checkGridFtp(credential)).toBeUndefined()
  })

  test('a revoked one is refused once the trust anchors are written anew', async () => {
    const credential = await obtain('revoked')
    expect(await opensslVerify(credential, ['-crl_check_all'])).toMatchObject({ status: 0 })
    expect(await checkGridFtp(credential)).toBeUndefined()
    const listed = await tts(['--json', 'credential', 'list', '--limit', '1'])
    const [newest] = JSON.parse(listed) as readonly { id: string }[]
    await tts(['credential', 'revoke', newest?.id ?? '', '--reason', 'keyCompromise'])
    await tts(['ca', 'export', path('trust-anchors')])

    const refused = await opensslVerify(credential, ['-crl_check_all'])
    expect(refused.status).not.toBe(0)
    expect(refused.output).toContain('certificate revoked')
    expect(await checkGridFtp(credential)).toMatch(/revoked/i)

    // The next proxy stands on a new EEC, and works.
    const next = await obtain('next')
    expect(await opensslVerify(next, ['-crl_check_all'])).toMatchObject({ status: 0 })
    expect(await checkGridFtp(next)).toBeUndefined()
  })
})
