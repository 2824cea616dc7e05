/** What reads VOMS attributes in the field accepts those that the library issues, and refuses what it must. */
import { afterEach, describe, expect, test } from 'vitest'
import type { CredentialOptions } from '../support/authority.ts'
import { type CredentialDirectory, openIssuedCredential } from '../support/credential-directory.ts'
import { gridProxyInfo, opensslVerify } from '../support/grid-checks.ts'
import { describeWithTools, runTool, type ToolRun } from '../support/grid-tools.ts'
import { checkGridFtp, gridFtpPackages } from '../support/gridftp.ts'
import { javaVomsPackages, validFqans } from '../support/java-voms.ts'
import { checkXrootd, checkXrootdByVo, xrootdPackages } from '../support/xrootd.ts'

const opened: CredentialDirectory[] = []
afterEach(async () => {
  await Promise.all(opened.splice(0).map((credential) => credential.close()))
})
async function open(options: CredentialOptions = {}): Promise<CredentialDirectory> {
  const voms = { fqans: ['/cms/Role=production', '/cms', '/cms/uscms'] }
  const credential = await openIssuedCredential({ voms, ...options })
  opened.push(credential)
  return credential
}

/** These tools show attributes without verifying them. */
const readers: Readonly<Record<string, (credential: CredentialDirectory) => Promise<ToolRun>>> = {
  'voms-proxy-info 2': (credential) => vomsInfo('voms-proxy-info2', credential),
  'voms-proxy-info 3': (credential) => vomsInfo('voms-proxy-info3', credential),
  arcproxy: (credential) =>
    runTool('arcproxy', ['-I'], { ...environment(credential), HOME: credential.directory }),
}

const environment = (credential: CredentialDirectory): Record<string, string> => ({
  X509_USER_PROXY: credential.proxyPath,
  X509_CERT_DIR: credential.trustAnchorDir,
  X509_VOMS_DIR: credential.vomsDir,
})

function vomsInfo(program: string, credential: CredentialDirectory): Promise<ToolRun> {
  return runTool(program, ['-all', '-file', credential.proxyPath], environment(credential))
}

const packages = ['voms-clients', 'voms-clients-java', 'nordugrid-arc-client']

describeWithTools('readers of VOMS attributes', packages, () => {
  describe.each(Object.keys(readers))('%s', (name) => {
    const read = (credential: CredentialDirectory): Promise<ToolRun> =>
      readers[name]?.(credential) ?? Promise.reject(new Error(name))
    const shown =
      name === 'arcproxy'
        ? /attribute : \/cms\/Role=production$/m
        : /attribute : \/cms\/Role=production\/Capability=NULL\n/

    test.for([
      ['of a root', {}],
      ['of an intermediate CA', { intermediate: true }],
      ['under an EEC with an EC key', { endEntityKey: 'ec-p256' as const }],
      ['in a limited proxy', { type: 'limited' as const }],
    ] as const)('shows the attributes %s', async ([, options]) => {
      const { status, output } = await read(await open(options))
      expect(output).toMatch(shown)
      expect(output).toContain('uri       : voms.example.org:15000\n')
      expect(output).not.toMatch(/error|warning|cannot|not trusted/i)
      expect(status).toBe(0)
    })
  })
})

describeWithTools('voms-api-java', javaVomsPackages, () => {
  test('takes what holds, and nothing else', async () => {
    const good = await open()
    const other = await open()
    const credentials = [
      good,
      await open({ intermediate: true }),
      { ...good, vomsDir: other.trustAnchorDir },
      await open({ voms: { fqans: ['/cms'], targets: ['elsewhere.example.org'] } }),
      await open({ voms: { fqans: ['/atlas'] } }),
      await openPlain(),
    ]
    const fqans = ['production', 'NULL', 'NULL'].map(
      (role, index) => `/cms${index === 2 ? '/uscms' : ''}/Role=${role}/Capability=NULL`,
    )
    expect(await validFqans(credentials)).toEqual([
      fqans.join(' '),
      fqans.join(' '),
      'none',
      'none',
      'none',
      'none',
    ])
  })
})

describeWithTools(
  'services, by the proxy with attributes',
  [...gridFtpPackages, 'openssl', 'globus-proxy-utils'],
  () => {
    test('OpenSSL, Globus and GridFTP accept it', async () => {
      const credential = await open()
      expect(await opensslVerify(credential)).toMatchObject({ status: 0 })
      expect((await gridProxyInfo(credential)).output).toContain('impersonation proxy')
      expect(await checkGridFtp(credential)).toBeUndefined()
    })
  },
)

describeWithTools('XRootD', [...xrootdPackages, 'xrootd-voms-plugins'], () => {
  test('reads a file with it', async () => {
    expect(await checkXrootd(await open())).toBeUndefined()
  })

  test('lets in by the VO alone', async () => {
    expect(await checkXrootdByVo(await open(), 'cms')).toBeUndefined()
  })

  test('does not take the attributes of an authority that it does not know', async () => {
    const { vomsDir: _, ...credential } = await open()
    expect(await checkXrootdByVo(credential, 'cms')).toMatch(/VOMS extraction plug-in reported/)
  })

  test('refuses another VO, and a proxy without attributes', async () => {
    const voms = { fqans: ['/atlas'] }
    expect(await checkXrootdByVo(await open({ voms }), 'cms')).toMatch(/auth/i)
    expect(await checkXrootdByVo(await openPlain(), 'cms')).toMatch(/auth/i)
  })
})

async function openPlain(): Promise<CredentialDirectory> {
  const credential = await openIssuedCredential()
  opened.push(credential)
  return credential
}
