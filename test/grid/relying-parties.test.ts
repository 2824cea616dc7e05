import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import type { CredentialOptions } from '../support/authority.ts'
import type { ChainPlan } from '../support/certificate-builder.ts'
import {
  type CredentialDirectory,
  openIssuedCredential,
  openPlannedCredential,
} from '../support/credential-directory.ts'
import {
  gridCertDiagnostics,
  gridProxyInfo,
  gridProxyInit,
  opensslVerify,
  vomsProxyInfo,
} from '../support/grid-checks.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { checkGridFtp, gridFtpPackages } from '../support/gridftp.ts'
import { checkXrootd, xrootdPackages } from '../support/xrootd.ts'

const expired: ChainPlan = { proxies: [{ begins: -3600, ends: -1800 }] }

const opened: CredentialDirectory[] = []
function keep(credential: CredentialDirectory): CredentialDirectory {
  opened.push(credential)
  return credential
}
/** What the library issues. */
const open = async (options?: CredentialOptions): Promise<CredentialDirectory> =>
  keep(await openIssuedCredential(options))
/** What it would not. */
const openPlanned = async (plan: ChainPlan): Promise<CredentialDirectory> =>
  keep(await openPlannedCredential(plan))
afterEach(async () => {
  await Promise.all(opened.splice(0).map((credential) => credential.close()))
})

const chains: readonly { readonly name: string; readonly options: CredentialOptions }[] = [
  { name: 'root, EEC, proxy', options: {} },
  { name: 'root, intermediate, EEC, proxy', options: { intermediate: true } },
]
const issued = [
  ...chains,
  { name: 'root, EC EEC, RSA proxy', options: { endEntityKey: 'ec-p256' } as const },
]

describeWithTools('Globus and VOMS tools', ['globus-proxy-utils', 'voms-clients'], () => {
  test('grid-proxy-info sees an RFC 3820 impersonation proxy', async () => {
    const { status, output } = await gridProxyInfo(await open())
    expect(output).toContain('type     : RFC 3820 compliant impersonation proxy\n')
    expect(status).toBe(0)
  })

  test('grid-proxy-info sees that a proxy is limited; to voms-proxy-info all are the same', async () => {
    const credential = await open({ type: 'limited' })
    expect((await gridProxyInfo(credential)).output).toContain('RFC 3820 compliant limited proxy')
    expect((await vomsProxyInfo(credential)).output).toContain('type      : RFC compliant proxy\n')
  })

  test('voms-proxy-info sees an RFC proxy and its person', async () => {
    const { status, output } = await vomsProxyInfo(await open())
    expect(output).toContain('type      : RFC compliant proxy\n')
    expect(output).toMatch(/^identity {2}: .*@indigo-iam-test$/m)
    expect(status).toBe(0)
  })

  test.for(chains)('grid-cert-diagnostics verifies $name', async ({ options }) => {
    const { output } = await gridCertDiagnostics(await open(options))
    expect(output).toContain('Checking certificate trust chain... ok')
    expect(output).toMatch(/Checking if signing policy exists for \w+\.0\.\.\. ok/)
    expect(output).toMatch(/Verifying certificate chain for \w+\.0\.\.\. ok/)
  })

  test.for(chains)('grid-proxy-init delegates $name and verifies it', async ({ options }) => {
    const credential = await open(options)
    const out = join(credential.directory, 'delegated')
    const { status, output } = await gridProxyInit(credential, out)
    expect(output).toContain('Proxy Verify OK')
    expect(status).toBe(0)
  })
})

describeWithTools('OpenSSL', ['openssl'], () => {
  test.for(issued)('verifies $name by the exported directory', async ({ options }) => {
    const credential = await open(options)
    expect(await opensslVerify(credential)).toMatchObject({ status: 0 })
    await credential.writeCrls({ revoke: false })
    expect(await opensslVerify(credential, ['-crl_check_all'])).toMatchObject({ status: 0 })
    await credential.writeCrls({ revoke: true })
    const revoked = await opensslVerify(credential, ['-crl_check_all'])
    expect(revoked.output).toContain('certificate revoked')
    expect(revoked.status).not.toBe(0)
  })

  test('an ended CRL refuses everything', async () => {
    const credential = await open()
    await credential.writeCrls({ revoke: false, ended: true })
    const { output } = await opensslVerify(credential, ['-crl_check_all'])
    expect(output).toContain('CRL has expired')
  })
})

describeWithTools('GridFTP', gridFtpPackages, () => {
  test.for(chains)('copies up and down with $name', async ({ options }) => {
    expect(await checkGridFtp(await open(options))).toBeUndefined()
  })

  test('takes a limited proxy: it moves data', async () => {
    expect(await checkGridFtp(await open({ type: 'limited' }))).toBeUndefined()
  })

  test('takes the credential with a CRL, and refuses it once revoked', async () => {
    const credential = await open()
    await credential.writeCrls({ revoke: false })
    expect(await checkGridFtp(credential)).toBeUndefined()
    await credential.writeCrls({ revoke: true })
    expect(await checkGridFtp(credential)).toMatch(/revoked/i)
  })

  test('refuses an expired proxy', async () => {
    expect(await checkGridFtp(await openPlanned(expired))).toMatch(/expired/i)
  })
})

describeWithTools('XRootD', xrootdPackages, () => {
  test.for(issued)('reads a file with $name', async ({ options }) => {
    expect(await checkXrootd(await open(options))).toBeUndefined()
  })

  test('refuses an expired proxy', async () => {
    expect(await checkXrootd(await openPlanned(expired))).toMatch(/auth|expired/i)
  })

  test('refuses who is not signed by a trusted CA', async () => {
    const credential = await open()
    const other = await openPlanned({})
    const mixed = { proxyPath: credential.proxyPath, trustAnchorDir: other.trustAnchorDir }
    expect(await checkXrootd(mixed)).toMatch(/auth/i)
  })
})
