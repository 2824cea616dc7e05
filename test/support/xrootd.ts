/** A real XRootD server with GSI, and one file read from it. */
import { randomBytes } from 'node:crypto'
import { chown, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type CredentialFiles,
  freePort,
  type GridServer,
  type GridSite,
  openGridSite,
  startServer,
} from './grid-site.ts'
import { findLibraryDirectory, findProgram, runTool } from './grid-tools.ts'

export const xrootdPackages = [
  'xrootd-server',
  'xrootd-client',
  'xrootd-plugins',
  'xrootd-server-plugins',
] as const

/** Reads a file over root://; answers undefined when it came whole, else what was refused. */
export function checkXrootd(credential: CredentialFiles): Promise<string | undefined> {
  return readFrom(credential, (site) => ({
    // Who is not in the grid map is refused.
    gsi: [`-gridmap:${site.gridMap}`, '-gmapopt:2'],
    name: site.user.name,
  }))
}

/** The same of a server that knows nobody, and lets in who has attributes of the VO. */
export function checkXrootdByVo(
  credential: CredentialFiles,
  vo: string,
): Promise<string | undefined> {
  return readFrom(credential, ({ certDir, vomsDir }) => ({
    gsi: ['-gmapopt:0', '-vomsat:2', '-vomsfun:libXrdVoms.so', `-vomsfunparms:vos=${vo}`],
    env: { X509_CERT_DIR: certDir, X509_VOMS_DIR: vomsDir },
    name: '',
  }))
}

interface XrootdRules {
  /** Options of the GSI plugin. */
  readonly gsi: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Who the server takes the person for; empty: it does not matter. */
  readonly name: string
}

async function readFrom(
  credential: CredentialFiles,
  rulesOf: (site: GridSite) => XrootdRules,
): Promise<string | undefined> {
  const site = await openGridSite(credential)
  const rules = rulesOf(site)
  const local = await mkdtemp(join(tmpdir(), 'tts-xrootd-'))
  let server: GridServer | undefined
  try {
    const content = randomBytes(300_000)
    await writeFile(join(site.directory, 'data', 'file'), content, { mode: 0o644 })
    const port = await freePort()
    server = await startXrootd(site, port, rules)
    const target = join(local, 'down')
    const read = await runTool('xrdcp', ['--nopbar', `root://localhost:${port}//file`, target], {
      X509_USER_PROXY: credential.proxyPath,
      X509_CERT_DIR: site.certDir,
      XrdSecPROTOCOL: 'gsi',
      // Without it the client tries again for half an hour.
      XRD_CONNECTIONRETRY: '1',
      XRD_CONNECTIONWINDOW: '5',
      XRD_REQUESTTIMEOUT: '10',
    })
    if (read.status !== 0) return `${read.output}\n${server.output().slice(-4000)}`
    const same = (await readFile(target)).equals(content)
    const mapped = server.output().includes(` as ${rules.name}`)
    if (!mapped) return `the server did not map the person:\n${server.output().slice(-4000)}`
    return same ? undefined : 'other bytes came back'
  } finally {
    await server?.stop()
    await site.close()
    await rm(local, { recursive: true, force: true })
  }
}

async function startXrootd(
  site: GridSite,
  port: number,
  { gsi: options, env = {} }: XrootdRules,
): Promise<GridServer> {
  const admin = join(site.directory, 'admin')
  await mkdir(admin)
  await chown(admin, site.user.uid, site.user.gid)
  const libraries = findLibraryDirectory('libXrdSecgsi-5.so') ?? ''
  const gsi = [
    `-certdir:${site.certDir}`,
    `-cert:${site.hostCertificate}`,
    `-key:${site.hostKey}`,
    ...options,
  ].join(' ')
  const config = [
    `xrd.port ${port}`,
    `all.adminpath ${admin}`,
    `all.pidpath ${admin}`,
    'all.export /',
    `oss.localroot ${join(site.directory, 'data')}`,
    'xrootd.seclib libXrdSec.so',
    `sec.protocol ${libraries} gsi ${gsi}`,
    'sec.protbind * only gsi',
    'xrootd.trace login',
    '',
  ].join('\n')
  const path = join(site.directory, 'xrootd.cf')
  await writeFile(path, config)
  return startServer(site, {
    command: [findProgram('xrootd') ?? '', '-c', path, '-I', 'v4'],
    env,
    ready: /xrootd anon@\S+ initialization completed|initialization completed\./,
  })
}
