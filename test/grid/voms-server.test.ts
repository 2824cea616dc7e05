/** The VOMS servers of the service, by the clients of the field, unmodified. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { freePort } from '../support/grid-site.ts'
import { describeWithTools, runTool, type ToolRun } from '../support/grid-tools.ts'
import { opensslVerify } from '../support/grid-checks.ts'
import { checkGridFtp, gridFtpPackages } from '../support/gridftp.ts'
import { javaVomsPackages, validFqans } from '../support/java-voms.ts'
import { startTestService, type TestService } from '../support/service.ts'
import { openVomsUser, type VomsUser } from '../support/voms-user.ts'
import { checkXrootdByVo, xrootdPackages } from '../support/xrootd.ts'

let service: TestService
let user: VomsUser
let out: string
beforeAll(async () => {
  const port = await freePort()
  const fqans = [
    { group: 'cms', fqan: '/cms' },
    { group: 'cms/sub', fqan: '/cms/sub' },
    { group: 'cms/production', fqan: '/cms/Role=production' },
  ]
  const cms = { provider: 'iam', port, fqans }
  service = await startTestService({
    configuration: {
      ca: { key_kind: 'rsa-3072' },
      voms: { host: 'localhost', listen: '127.0.0.1', vos: { cms } },
      services: {
        proxy: { authz: { allow: [{ provider: 'iam', claims: { sub: { any: true } } }] } },
      },
    },
  })
  user = await openVomsUser(service)
  out = join(user.directory, 'x509up')
  // The Java client complains without it.
  await mkdir(join(user.directory, '.globus'))
})
afterAll(async () => {
  await service.stop()
  await user.close()
})

const words = (text: string): readonly string[] => text.split(' ')

/** Each makes a proxy with attributes from the user's proxy, in the file `out`. */
const clients: Readonly<Record<string, (voms: string) => Promise<ToolRun>>> = {
  'voms-proxy-init 2 (C++)': (voms) =>
    runTool(
      'voms-proxy-init2',
      ['-voms', voms, '-vomses', join(user.directory, 'vomses'), '-noregen', '-out', out],
      user.environment,
    ),
  'voms-proxy-init 3 (Java)': (voms) =>
    runTool(
      'voms-proxy-init3',
      [
        ...words(`-voms ${voms} -vomses ${user.directory}/vomses -noregen -out ${out}`),
        ...words(`-vomsdir ${user.vomsDir} -certdir ${user.trustAnchorDir}`),
        ...words(`-cert ${user.proxyPath} -key ${user.proxyPath}`),
      ],
      user.environment,
    ),
  arcproxy: (voms) =>
    runTool(
      'arcproxy',
      [
        ...words(`-S ${voms} -V ${user.directory}/vomses -T ${user.trustAnchorDir} -P ${out}`),
        ...words(`-C ${user.proxyPath} -K ${user.proxyPath}`),
      ],
      user.environment,
    ),
}

/** The FQANs that voms-proxy-info finds in `out`, and that voms-api-java takes. */
async function fqansIn(proxyPath: string): Promise<string> {
  const shown = await runTool('voms-proxy-info2', ['-file', proxyPath, '-fqan'], user.environment)
  const found = shown.output.trim().split('\n')
  const [valid] = await validFqans([{ ...user, proxyPath }])
  expect(valid).toBe(found.join(' '))
  return found.map((fqan) => fqan.replace(/(\/Role=NULL)?\/Capability=NULL/, '')).join(' ')
}

const packages = ['voms-clients', 'nordugrid-arc-client', ...javaVomsPackages, ...gridFtpPackages]

describeWithTools('VOMS clients', packages, () => {
  beforeEach(() => user.login({ groups: ['cms', 'cms/sub', 'cms/production'] }))

  describe.each(Object.keys(clients))('%s', (name) => {
    const init = async (voms: string): Promise<ToolRun> =>
      (await clients[name]?.(voms)) ?? { status: -1, output: name }

    test('gets the attributes of the groups', async () => {
      const { status, output } = await init('cms')
      expect(output).toMatch(/Contacting/)
      expect(status, output).toBe(0)
      expect(await fqansIn(out)).toBe('/cms /cms/sub')
      const derived = { ...user, proxyPath: out }
      expect(await opensslVerify(derived, [], { strict: false })).toMatchObject({ status: 0 })
      expect(await checkGridFtp(derived)).toBeUndefined()
    })

    test('gets a role, which comes first', async () => {
      const { status, output } = await init('cms:/cms/Role=production')
      expect(status, output).toBe(0)
      expect(await fqansIn(out)).toBe('/cms/Role=production /cms /cms/sub')
    })

    test('is told that a role is not the user’s', async () => {
      const { status, output } = await init('cms:/cms/Role=admin')
      expect(output).toMatch(/you do not have \/cms\/Role=admin; you have \/cms, /)
      expect(status).not.toBe(0)
    })

    test('is told that the user is not in the VO', async () => {
      await user.login({ groups: ['atlas'] })
      const { status, output } = await init('cms')
      expect(output).toMatch(/User unknown to this VO/)
      expect(status).not.toBe(0)
    })
  })
})

describeWithTools('XRootD', [...xrootdPackages, 'xrootd-voms-plugins', ...packages], () => {
  test('lets in by the VO alone, with attributes of the VOMS server', async () => {
    await user.login({ groups: ['cms'] })
    await clients['voms-proxy-init 2 (C++)']?.('cms')
    expect(await checkXrootdByVo({ ...user, proxyPath: out }, 'cms')).toBeUndefined()
  })

  test('and with attributes that came with the proxy', async () => {
    await user.login({ groups: ['cms'] }, 'voms=cms')
    expect(await checkXrootdByVo(user, 'cms')).toBeUndefined()
    expect(await checkXrootdByVo(user, 'atlas')).toMatch(/auth/i)
  })
})
