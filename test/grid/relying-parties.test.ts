import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { proxyCertInfo, type ProxyType } from '../../ca/extensions.ts'
import { withCommonName } from '../../ca/name.ts'
import { describeProxy, formatProxyInfo } from '../../ca/proxy-info.ts'
import { proxyCertInfoOf } from '../support/extensions.ts'
import { baseName, type ChainPlan, userName } from '../support/certificate-builder.ts'
import {
  type CredentialDirectory,
  openCredentialDirectory,
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

const limited = {
  proxies: [{ extensions: { proxyCertInfo: proxyCertInfo('limited', undefined) } }],
}
const expired = { proxies: [{ begins: -3600, ends: -1800 }] }

const opened: CredentialDirectory[] = []
async function open(plan?: ChainPlan): Promise<CredentialDirectory> {
  const credential = await openCredentialDirectory(plan)
  opened.push(credential)
  return credential
}
afterEach(async () => {
  await Promise.all(opened.splice(0).map((credential) => credential.close()))
})

const chains: readonly { readonly name: string; readonly plan: ChainPlan }[] = [
  { name: 'root, EEC, proxy', plan: {} },
  { name: 'root, intermediate, EEC, proxy', plan: { intermediate: {} } },
]

const withType = (type: ProxyType): ChainPlan => ({
  proxies: [{ extensions: { proxyCertInfo: proxyCertInfo(type, undefined) } }],
})
const legacy = (name: string): ChainPlan => ({
  proxies: [{ subject: withCommonName(userName, name), extensions: { proxyCertInfo: undefined } }],
})
const printed: readonly { readonly name: string; readonly plan: ChainPlan }[] = [
  { name: 'an impersonation proxy', plan: {} },
  { name: 'a limited proxy', plan: withType('limited') },
  { name: 'an independent proxy', plan: withType('independent') },
  { name: 'a proxy of a proxy', plan: { proxies: [{}, {}] } },
  {
    name: 'a proxy of an independent one',
    plan: { proxies: [...(withType('independent').proxies ?? []), {}] },
  },
  {
    name: 'a restricted proxy',
    plan: {
      proxies: [
        { extensions: { proxyCertInfo: proxyCertInfoOf({ language: '1.3.6.1.5.5.7.21.0' }) } },
      ],
    },
  },
  { name: 'a legacy proxy', plan: legacy('proxy') },
  { name: 'a limited legacy proxy', plan: legacy('limited proxy') },
  { name: 'an EEC alone', plan: { proxies: [] } },
  { name: 'a proxy with its last minutes', plan: { proxies: [{ ends: 130 }] } },
  { name: 'a proxy that has ended', plan: expired },
  { name: 'a proxy whose EEC ends first', plan: { endEntity: { ends: 7200 } } },
  { name: 'a key of 3072 bits', plan: { proxies: [{ key: 'rsa-3072' }] } },
  {
    name: 'a name with slash, plus, quote and e-acute',
    plan: { endEntity: { subject: withCommonName(baseName, 'a/b+c "q" \u00e9') } },
  },
]

describeWithTools('Globus and VOMS tools', ['globus-proxy-utils', 'voms-clients'], () => {
  test('grid-proxy-info sees an RFC 3820 impersonation proxy', async () => {
    const { status, output } = await gridProxyInfo(await open())
    expect(output).toContain('type     : RFC 3820 compliant impersonation proxy\n')
    expect(status).toBe(0)
  })

  test('grid-proxy-info sees that a proxy is limited; to voms-proxy-info all are the same', async () => {
    const credential = await open(limited)
    expect((await gridProxyInfo(credential)).output).toContain('RFC 3820 compliant limited proxy')
    expect((await vomsProxyInfo(credential)).output).toContain('type      : RFC compliant proxy\n')
  })

  test.for(printed)('our own print of $name is that of grid-proxy-info', async ({ plan }) => {
    const { chain, ...credential } = await open(plan)
    const now = new Date()
    const facts = describeProxy(chain, { now, path: credential.proxyPath })
    const { output } = await gridProxyInfo(credential)
    // A second may pass between the two, or the tool's start take some.
    const later = (seconds: number): string =>
      formatProxyInfo({ ...facts, timeLeftSeconds: Math.max(0, facts.timeLeftSeconds - seconds) })
    expect([0, 1, 2, 3].map(later)).toContain(output)
  })

  test('voms-proxy-info sees an RFC proxy and its person', async () => {
    const { status, output } = await vomsProxyInfo(await open())
    expect(output).toContain('type      : RFC compliant proxy\n')
    expect(output).toMatch(/^identity {2}: .*@indigo-iam-test$/m)
    expect(status).toBe(0)
  })

  test.for(chains)('grid-cert-diagnostics verifies $name', async ({ plan }) => {
    const { output } = await gridCertDiagnostics(await open(plan))
    expect(output).toContain('Checking certificate trust chain... ok')
    expect(output).toMatch(/Checking if signing policy exists for \w+\.0\.\.\. ok/)
    expect(output).toMatch(/Verifying certificate chain for \w+\.0\.\.\. ok/)
  })

  test.for(chains)('grid-proxy-init delegates $name and verifies it', async ({ plan }) => {
    const credential = await open(plan)
    const out = join(credential.directory, 'delegated')
    const { status, output } = await gridProxyInit(credential, out)
    expect(output).toContain('Proxy Verify OK')
    expect(status).toBe(0)
  })
})

describeWithTools('OpenSSL', ['openssl'], () => {
  test.for(chains)('verifies $name by the exported directory', async ({ plan }) => {
    const credential = await open(plan)
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
  test.for(chains)('copies up and down with $name', async ({ plan }) => {
    expect(await checkGridFtp(await open(plan))).toBeUndefined()
  })

  test('takes a limited proxy: it moves data', async () => {
    expect(await checkGridFtp(await open(limited))).toBeUndefined()
  })

  test('takes the credential with a CRL, and refuses it once revoked', async () => {
    const credential = await open()
    await credential.writeCrls({ revoke: false })
    expect(await checkGridFtp(credential)).toBeUndefined()
    await credential.writeCrls({ revoke: true })
    expect(await checkGridFtp(credential)).toMatch(/revoked/i)
  })

  test('refuses an expired proxy', async () => {
    expect(await checkGridFtp(await open(expired))).toMatch(/expired/i)
  })
})

describeWithTools('XRootD', xrootdPackages, () => {
  test.for(chains)('reads a file with $name', async ({ plan }) => {
    expect(await checkXrootd(await open(plan))).toBeUndefined()
  })

  test('refuses an expired proxy', async () => {
    expect(await checkXrootd(await open(expired))).toMatch(/auth|expired/i)
  })

  test('refuses who is not signed by a trusted CA', async () => {
    const credential = await open()
    const other = await open({ authority: { privateKey: credential.chain.endEntity.privateKey } })
    const mixed = { proxyPath: credential.proxyPath, trustAnchorDir: other.trustAnchorDir }
    expect(await checkXrootd(mixed)).toMatch(/auth/i)
  })
})
