/** Copies from one server to another, for which the client delegates a proxy of ours to one of them. */
import { chown, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import {
  authorityKeyIdentifier,
  keyUsage,
  proxyCertInfo,
  subjectKeyIdentifier,
} from '../../ca/extensions.ts'
import { keyId, testKey } from '../support/certificate-builder.ts'
import {
  type CredentialDirectory,
  openIssuedCredential,
  openPlannedCredential,
} from '../support/credential-directory.ts'
import { opensslVerify } from '../support/grid-checks.ts'
import { freePort, type GridSite, openGridSite } from '../support/grid-site.ts'
import { describeWithTools, runTool, type ToolRun } from '../support/grid-tools.ts'
import { gridFtpPackages, startGridFtp } from '../support/gridftp.ts'
import { type GridSiteStorage, startGridSiteStorage } from '../support/gridsite-storage.ts'
import { startXrootd, startXrootdHttps, xrootdPackages } from '../support/xrootd.ts'

const CONTENT = 'the content of the file'
const gfalPackages = ['gfal2-util-scripts', 'gfal2-plugin-file'] as const

interface Place {
  readonly site: GridSite
  /** Runs a client with the proxy. */
  readonly run: (program: string, ...words: readonly string[]) => Promise<ToolRun>
  /** Text of a file in the directory `data` or `other` of the site. */
  readonly textOf: (directory: 'data' | 'other', name: string) => Promise<string>
}

/** A site with the file `file` in both its directories. */
async function openPlace(credential: CredentialDirectory): Promise<Place> {
  const site = await openGridSite(credential)
  onTestFinished(async () => {
    await site.close()
    await credential.close()
  })
  const path = (...names: readonly string[]): string => join(site.directory, ...names)
  await mkdir(path('other'))
  for (const directory of ['data', 'other']) {
    await writeFile(path(directory, 'file'), CONTENT, { mode: 0o644 })
    await chown(path(directory), site.user.uid, site.user.gid)
  }
  const env = {
    X509_USER_PROXY: credential.proxyPath,
    X509_CERT_DIR: site.certDir,
    XrdSecPROTOCOL: 'gsi',
    // Without it the client tries again for half an hour.
    XRD_CONNECTIONRETRY: '1',
    XRD_CONNECTIONWINDOW: '5',
    XRD_REQUESTTIMEOUT: '10',
    // Debian's, which has the modules.
    GFAL_PYTHONBIN: '/usr/bin/python3',
  }
  return {
    site,
    run: (program, ...words) => runTool(program, words, env),
    textOf: (directory, name) => readFile(path(directory, name), 'utf8'),
  }
}

const ok = expect.objectContaining({ status: 0 }) as unknown

describeWithTools(
  'XRootD fetches from XRootD with a delegated proxy',
  [...xrootdPackages, ...gfalPackages, 'gfal2-plugin-xrootd'],
  () => {
    /** Two servers, of which the second fetches files from the first. */
    async function openServers(credential: CredentialDirectory, fetches: boolean) {
      const place = await openPlace(credential)
      const ports = [await freePort(), await freePort()] as const
      const first = await startXrootd(place.site, { port: ports[0] })
      const second = await startXrootd(place.site, { port: ports[1], data: 'other', fetches })
      onTestFinished(async () => {
        await first.stop()
        await second.stop()
      })
      const url = (server: 0 | 1, name: string): string =>
        `root://localhost:${ports[server]}//${name}`
      return { ...place, first, url }
    }
    const xrdcp = ['--nopbar', '--tpc', 'delegate', 'only'] as const

    test('xrdcp --tpc delegate only, and gfal-copy', async () => {
      const { run, url, textOf, first, site } = await openServers(
        await openIssuedCredential(),
        true,
      )
      const copies = [
        await run('xrdcp', ...xrdcp, url(0, 'file'), url(1, 'by-xrdcp')),
        await run('gfal-copy', '--just-copy', url(0, 'file'), url(1, 'by-gfal')),
      ]
      expect(copies).toEqual([ok, ok])
      expect(await textOf('other', 'by-xrdcp')).toBe(CONTENT)
      expect(await textOf('other', 'by-gfal')).toBe(CONTENT)
      // Besides the client the other server logged in, as the person: its account is in the name of the connection.
      const { name } = site.user
      const logins = first.output().match(/\S+ pvt \S+ login as \S+/g) ?? []
      const others = logins.filter(
        (one) => one.startsWith(`${name}.`) && one.endsWith(` as ${name}`),
      )
      expect(others.length).toBeGreaterThanOrEqual(2)
    })

    test('a server that asks for no delegated proxy fetches nothing', async () => {
      const { run, url } = await openServers(await openIssuedCredential(), false)
      const copy = await run('xrdcp', ...xrdcp, url(0, 'file'), url(1, 'by-xrdcp'))
      expect(copy.status).not.toBe(0)
    })

    test('XRootD copies our authority key identifier below it, so that our subject key identifier must be the same', async () => {
      const endEntity = keyId(await testKey('endEntity0'))
      const copied = { extensions: { authorityKeyIdentifier: authorityKeyIdentifier(endEntity) } }
      const verify = async (ownKey: Buffer) => {
        const extensions = { subjectKeyIdentifier: subjectKeyIdentifier(ownKey) }
        const credential = await openPlannedCredential({ proxies: [{ extensions }, copied] })
        onTestFinished(() => credential.close())
        return opensslVerify(credential)
      }
      expect(await verify(endEntity)).toEqual(ok)
      expect((await verify(keyId(await testKey('proxy0')))).output).toMatch(
        /unable to get local issuer|mismatch/,
      )
    })
  },
)

describeWithTools(
  'third-party copies over https with GridSite delegation',
  [...xrootdPackages, ...gfalPackages, 'gfal2-plugin-http', 'davix', 'curl', 'openssl'],
  () => {
    /** A storage that copies, with the files of `other`, and an XRootD with those of `data`. */
    async function openServers(credential: CredentialDirectory) {
      const place = await openPlace(credential)
      const storage = await startGridSiteStorage(place.site, join(place.site.directory, 'other'))
      const { server, url } = await startXrootdHttps(place.site)
      onTestFinished(async () => {
        await storage.stop()
        await server.stop()
      })
      const davix = (program: string, ...words: readonly string[]): Promise<ToolRun> =>
        place.run(program, '--cert', credential.proxyPath, '--capath', place.site.certDir, ...words)
      return { ...place, davix, storage, xrootd: url, trustAnchorDir: credential.trustAnchorDir }
    }

    /** OpenSSL's word on what was delegated. */
    async function verifyDelegated(
      storage: GridSiteStorage,
      place: Place & { readonly trustAnchorDir: string },
    ) {
      const proxyPath = join(place.site.directory, 'delegated.pem')
      await writeFile(proxyPath, storage.delegated() ?? '', { mode: 0o600 })
      return opensslVerify({ proxyPath, trustAnchorDir: place.trustAnchorDir }, [], {
        strict: false,
      })
    }

    test('davix-cp delegates to the source, which pushes', async () => {
      const { storage, ...place } = await openServers(await openIssuedCredential())
      const copied = await place.davix('davix-cp', `${storage.url}/file`, `${place.xrootd}/copy`)
      expect(copied).toEqual(ok)
      expect(await place.textOf('data', 'copy')).toBe(CONTENT)
      expect(await verifyDelegated(storage, place)).toEqual(ok)
    })

    test('gfal-copy delegates to the destination, which pulls', async () => {
      const { storage, ...place } = await openServers(await openIssuedCredential())
      const words = ['--just-copy', '--copy-mode', 'pull', `${place.xrootd}/file`]
      expect(await place.run('gfal-copy', ...words, `${storage.url}/copy`)).toEqual(ok)
      expect(await place.textOf('other', 'copy')).toBe(CONTENT)
      expect(await verifyDelegated(storage, place)).toEqual(ok)
    })

    test('davix does not see ProxyCertInfo as the first extension, and delegates no proxy', async () => {
      const extensions = { keyUsage: undefined, last: keyUsage(['digitalSignature']) }
      const planned = await openPlannedCredential({ proxies: [{ extensions }] })
      const { storage, ...place } = await openServers(planned)
      const copied = await place.davix('davix-cp', `${storage.url}/file`, `${place.xrootd}/copy`)
      expect(copied.status).not.toBe(0)
      expect((await verifyDelegated(storage, place)).status).not.toBe(0)
    })

    test('davix-put, davix-get and gfal-copy with files of this machine', async () => {
      const { davix, run, xrootd, site, textOf } = await openServers(await openIssuedCredential())
      const local = join(site.directory, 'other', 'file')
      expect(await davix('davix-put', local, `${xrootd}/up`)).toEqual(ok)
      expect(await davix('davix-get', `${xrootd}/up`)).toEqual({ status: 0, output: CONTENT })
      expect(await run('gfal-copy', `file://${local}`, `${xrootd}/up-by-gfal`)).toEqual(ok)
      const down = `file://${join(site.directory, 'other', 'down')}`
      expect(await run('gfal-copy', `${xrootd}/up-by-gfal`, down)).toEqual(ok)
      expect(await textOf('other', 'down')).toBe(CONTENT)
    })
  },
)

describeWithTools(
  'GridFTP copies to GridFTP',
  [...gridFtpPackages, ...gfalPackages, 'gfal2-plugin-gridftp'],
  () => {
    /** Copies by both clients, with data connections for which both ends use the delegated proxies. */
    async function copyTwice(credential: CredentialDirectory) {
      const { site, run, textOf } = await openPlace(credential)
      const server = await startGridFtp(site)
      onTestFinished(() => server.stop())
      const port = /listening at \S+:(\d+)/.exec(server.output())?.[1] ?? ''
      const url = (name: string): string =>
        `gsiftp://localhost:${port}${join(site.directory, 'data', name)}`
      const gfal = ['--just-copy', '-D', 'GRIDFTP PLUGIN:DCAU=true', url('file'), url('by-gfal')]
      const copies = [
        await run('gfal-copy', ...gfal),
        await run('globus-url-copy', url('file'), url('by-globus')),
      ]
      return { copies, textOf }
    }

    test('gfal-copy and globus-url-copy', async () => {
      const { copies, textOf } = await copyTwice(await openIssuedCredential())
      expect(copies).toEqual([ok, ok])
      expect(await textOf('data', 'by-gfal')).toBe(CONTENT)
      expect(await textOf('data', 'by-globus')).toBe(CONTENT)
    })

    test('not with a path length of 0', async () => {
      const none = { proxyCertInfo: proxyCertInfo('impersonation', 0) }
      const { copies } = await copyTwice(
        await openPlannedCredential({ proxies: [{ extensions: none }] }),
      )
      for (const { status, output } of copies) {
        expect(status).not.toBe(0)
        // Of the two ends either one may tell; only one of them says that it is the path length.
        expect(output).toContain('an authentication operation failed')
      }
    })
  },
)
