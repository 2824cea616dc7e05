/**
 * GridSite's SOAP delegation with Debian's htproxyput and gridsite-delegation.cgi. It ends before a proxy is stored,
 * with whatever proxy: what is tested is that ours comes as far as one of grid-proxy-init.
 */
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { toPem } from '../../ca/pem.ts'
import { formatPrivateKey } from '../../ca/proxy-file.ts'
import { makeCredential } from '../support/authority.ts'
import { openIssuedCredential } from '../support/credential-directory.ts'
import { openGridSite } from '../support/grid-site.ts'
import { describeWithTools, runTool, type ToolRun } from '../support/grid-tools.ts'
import { canNameClients, startGridSite } from '../support/gridsite.ts'

const packages = ['gridsite', 'gridsite-clients', 'globus-proxy-utils', 'bubblewrap', 'openssl']
const IDENTITY = '/C=EU/O=INDIGO/OU=TTS/CN=9E499E0E-CE25-485B-9353-D19726FD287A@indigo-iam-test'

async function openDelegation() {
  const credential = await openIssuedCredential()
  const site = await openGridSite(credential)
  const gridSite = await startGridSite(site, { crls: false, namesClients: true })
  onTestFinished(async () => {
    await gridSite.server.stop()
    await site.close()
    await credential.close()
  })
  const put = (proxyPath: string): Promise<ToolRun> =>
    runTool('htproxyput', ['--cert', proxyPath, '--key', proxyPath, gridSite.delegationUrl], {
      X509_CERT_DIR: site.certDir,
    })
  /** The names under which the service keeps the private keys of requests: the person, the delegation. */
  const requests = async (): Promise<readonly (readonly string[])[]> => {
    const files = await readdir(join(gridSite.proxyCache, 'cache'), { recursive: true })
    return files
      .filter((file) => file.includes('/userkey_'))
      .map((file) => file.split('/').slice(0, 2).map(decodeURIComponent))
  }
  return { credential, site, put, requests, proxyCache: gridSite.proxyCache }
}

/** A proxy that grid-proxy-init makes with the EEC of the credential. */
async function globusProxy(directory: string, certDir: string): Promise<string> {
  const { endEntity, endEntityKey } = await makeCredential({ now: new Date() })
  const [certificate, key, out] = ['eec.pem', 'eec-key.pem', 'globus'].map((name) =>
    join(directory, name),
  ) as [string, string, string]
  await writeFile(certificate, toPem('CERTIFICATE', endEntity.der))
  const text = formatPrivateKey({ privateKey: endEntityKey, format: 'pkcs1' })
  await writeFile(key, text, { mode: 0o600 })
  const words = ['-cert', certificate, '-key', key, '-out', out, '-pwstdin']
  const run = await runTool('grid-proxy-init', words, { X509_CERT_DIR: certDir })
  expect(run).toMatchObject({ status: 0 })
  return out
}

describeWithTools('GridSite delegation', packages, () => {
  if (!canNameClients()) {
    test.skip('NOT RUN: users of this machine may make no namespaces', () => undefined)
    return
  }
  test('makes a request for the person of our proxy, as of one of grid-proxy-init', async () => {
    const { credential, site, put, requests, proxyCache } = await openDelegation()
    const ours = await put(credential.proxyPath)
    expect(ours).toMatchObject({ status: 0, output: expect.stringMatching(/^[0-9a-f]{16}\n$/) })
    const globus = await put(await globusProxy(credential.directory, site.certDir))
    expect(globus).toMatchObject({ status: 0, output: expect.stringMatching(/^[0-9a-f]{16}\n$/) })
    const ids = [ours, globus].map(({ output }) => [`:${IDENTITY}`, output.trim()])
    expect(await requests()).toEqual(expect.arrayContaining(ids))
    // What it would have to keep is not there for either; once it is, the document must change.
    const stored = await readdir(proxyCache, { recursive: true })
    expect(stored.filter((file) => file.endsWith('userproxy.pem'))).toEqual([])
  })
})
