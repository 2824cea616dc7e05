/** FTS3: its own client delegates our proxies, and XRootD and GridFTP accept what the server then holds. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { proxyCertInfo } from '../../ca/extensions.ts'
import { formatProxyFile, parseProxyFile } from '../../ca/proxy-file.ts'
import {
  type CredentialDirectory,
  openIssuedCredential,
  openPlannedCredential,
} from '../support/credential-directory.ts'
import { installFtsClient, runFtsClient } from '../support/fts-client.ts'
import { startFtsServer } from '../support/fts-rest.ts'
import { opensslVerify } from '../support/grid-checks.ts'
import { type CredentialFiles, openGridSite } from '../support/grid-site.ts'
import { describeWithTools, type ToolRun } from '../support/grid-tools.ts'
import { checkGridFtp, gridFtpPackages } from '../support/gridftp.ts'
import { checkXrootd, xrootdPackages } from '../support/xrootd.ts'

const client = await installFtsClient()
const IDENTITY = '/C=EU/O=INDIGO/OU=TTS/CN=9E499E0E-CE25-485B-9353-D19726FD287A@indigo-iam-test'

interface Delegated {
  readonly run: ToolRun
  readonly dn: string | undefined
  /** What the server's transfers would use, on disk; undefined when nothing was delegated. */
  readonly files: CredentialFiles | undefined
}

async function delegate(
  credential: CredentialDirectory,
  words: readonly string[] = [],
): Promise<Delegated> {
  if ('missing' in client) throw new Error(client.missing)
  const site = await openGridSite(credential)
  const server = await startFtsServer(site)
  onTestFinished(async () => {
    await server.stop()
    await site.close()
    await credential.close()
  })
  const env = { X509_USER_PROXY: credential.proxyPath, X509_CERT_DIR: site.certDir }
  const run = await runFtsClient(client.wheel, 'Delegator', {
    words: ['--endpoint', server.url, ...words],
    env,
  })
  const text = server.delegated()
  const proxyPath = join(credential.directory, 'delegated')
  if (text !== undefined) await writeFile(proxyPath, text, { mode: 0o600 })
  const { trustAnchorDir } = credential
  return {
    run,
    dn: server.dn(),
    files: text === undefined ? undefined : { proxyPath, trustAnchorDir },
  }
}

/** What XRootD or GridFTP says of the delegated proxy; undefined when it accepts. */
async function judge(
  check: (credential: CredentialFiles) => Promise<string | undefined>,
  { files, run }: Delegated,
): Promise<string | undefined> {
  return files === undefined ? run.output : check(files)
}

if ('missing' in client) {
  const required = process.env['TTS_TEST_REQUIRE_TOOLS'] === '1'
  describe.skipIf(!required)("FTS3's client", () => {
    test(`NOT RUN: ${client.missing}`, () => {
      expect.fail(client.missing)
    })
  })
} else {
  describeWithTools("FTS3's client", ['openssl', ...xrootdPackages, ...gridFtpPackages], () => {
    test('delegates; OpenSSL, XRootD and GridFTP accept the delegated proxy', async () => {
      const made = await delegate(await openIssuedCredential())
      expect(made.run).toMatchObject({
        status: 0,
        output: expect.stringContaining('Delegation id'),
      })
      expect(made.dn).toBe(IDENTITY)
      const [xrootd, gridFtp] = await Promise.all([
        judge(checkXrootd, made),
        judge(checkGridFtp, made),
      ])
      expect({ xrootd, gridFtp }).toEqual({ xrootd: undefined, gridFtp: undefined })
      // The client writes no authority key identifier, which only a strict check minds.
      const verified = await opensslVerify(made.files!, [], { strict: false })
      expect(verified.output).toMatch(/: OK\n$/)
    })

    test('reads the key in PKCS#8 too', async () => {
      const credential = await openIssuedCredential()
      const { certificates, privateKey } = parseProxyFile(credential.text)
      const [proxy, ...above] = certificates.map(({ der }) => der)
      const key = { privateKey: privateKey!, format: 'pkcs8' } as const
      await writeFile(credential.proxyPath, formatProxyFile(proxy!, key, above), { mode: 0o600 })
      expect((await delegate(credential)).run.status).toBe(0)
    })

    test('has no use for an EC key', async () => {
      const made = await delegate(await openPlannedCredential({ proxies: [{ key: 'ec-p256' }] }))
      expect(made.run.status).not.toBe(0)
      expect(made.run.output).toContain('Could not load')
    })

    test('takes a limited proxy, and Globus refuses what it delegates from it', async () => {
      const made = await delegate(await openIssuedCredential({ type: 'limited' }))
      expect(made.run.status).toBe(0)
      expect(await judge(checkGridFtp, made)).toContain("Can't sign a non-limited")
    })

    test('takes a proxy of path length 0, with which no transfer works', async () => {
      const none = { proxyCertInfo: proxyCertInfo('impersonation', 0) }
      const made = await delegate(await openPlannedCredential({ proxies: [{ extensions: none }] }))
      expect(made.run.status).toBe(0)
      expect(await judge(checkGridFtp, made)).toMatch(/path length/i)
    })
  })
}
