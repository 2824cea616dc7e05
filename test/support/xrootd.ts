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
  return readFrom(credential, byGridMap)
}

/** Who is not in the grid map is refused. */
function byGridMap(site: GridSite): XrootdRules {
  return { gsi: [`-gridmap:${site.gridMap}`, '-gmapopt:2'], name: site.user.name }
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
    server = await startXrootd(site, { port, rules })
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

interface XrootdOptions {
  readonly port: number
  /** Directory of its files below the site's; default `data`. */
  readonly data?: string
  /**
   * Whether it takes delegated proxies and fetches files from other servers with them, as `xrdcp --tpc delegate`
   * wants.
   */
  readonly fetches?: boolean
  /** Whom it lets in; default: who is in the grid map. */
  readonly rules?: XrootdRules
}

export async function startXrootd(
  site: GridSite,
  { port, data = 'data', fetches = false, rules = byGridMap(site) }: XrootdOptions,
): Promise<GridServer> {
  const admin = await adminDirectory(site, data)
  const libraries = findLibraryDirectory('libXrdSecgsi-5.so') ?? ''
  const gsi = [
    `-certdir:${site.certDir}`,
    `-cert:${site.hostCertificate}`,
    `-key:${site.hostKey}`,
    ...rules.gsi,
    ...(fetches ? ['-dlgpxy:1', '-exppxy:=creds'] : []),
  ].join(' ')
  const config = [
    `xrd.port ${port}`,
    `all.adminpath ${admin}`,
    `all.pidpath ${admin}`,
    'all.export /',
    `oss.localroot ${join(site.directory, data)}`,
    'xrootd.seclib libXrdSec.so',
    `sec.protocol ${libraries} gsi ${gsi}`,
    'sec.protbind * only gsi',
    'xrootd.trace login',
    ...(fetches
      ? [
          'ofs.tpc fcreds ?gsi =X509_USER_PROXY',
          `ofs.tpc ttl 15 30 xfr 2 autorm fcpath ${admin} pgm ${findProgram('xrdcp') ?? ''} --server`,
        ]
      : []),
    '',
  ].join('\n')
  const path = join(site.directory, `xrootd-${data}.cf`)
  await writeFile(path, config)
  return startServer(site, {
    command: [findProgram('xrootd') ?? '', '-c', path, '-I', 'v4'],
    env: { X509_CERT_DIR: site.certDir, XrdSecPROTOCOL: 'gsi', ...rules.env },
    ready: /xrootd anon@\S+ initialization completed|initialization completed\./,
  })
}

/** Where the server of these files keeps its own. */
async function adminDirectory(site: GridSite, data: string): Promise<string> {
  const admin = join(site.directory, `admin-${data}`)
  await mkdir(admin)
  await chown(admin, site.user.uid, site.user.gid)
  return admin
}

/** Starts a server for https, which OpenSSL lets clients of the trust directory into. */
export async function startXrootdHttps(
  site: GridSite,
): Promise<{ readonly server: GridServer; readonly url: string }> {
  const admin = await adminDirectory(site, 'https')
  const port = await freePort()
  const libraries = findLibraryDirectory('libXrdHttp-5.so') ?? ''
  const path = join(site.directory, 'xrootd-https.cf')
  const config = [
    `xrd.port ${port}`,
    `all.adminpath ${admin}`,
    `all.pidpath ${admin}`,
    'all.export /',
    `oss.localroot ${join(site.directory, 'data')}`,
    `xrd.protocol http ${libraries}/libXrdHttp-5.so`,
    'http.httpsmode manual',
    `http.cert ${site.hostCertificate}`,
    `http.key ${site.hostKey}`,
    `http.cadir ${site.certDir}`,
    '',
  ]
  await writeFile(path, config.join('\n'))
  const server = await startServer(site, {
    command: [findProgram('xrootd') ?? '', '-c', path, '-I', 'v4'],
    env: {},
    ready: /xrootd anon@\S+ initialization (completed|failed)/,
  })
  return { server, url: `https://localhost:${port}` }
}
