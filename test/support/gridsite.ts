/** A real GridSite: Apache with mod_gridsite, and its delegation service as a CGI program. */
import { spawnSync } from 'node:child_process'
import { chown, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort, type GridServer, type GridSite, startServer } from './grid-site.ts'
import { findProgram } from './grid-tools.ts'

interface Options {
  /** Whether it requires CRLs of all CAs. */
  readonly crls: boolean
  /**
   * Whether it runs in a mount namespace in which the site's trust directory is /etc/grid-security/certificates.
   * mod_gridsite looks only there for the name of the client, and tells it the delegation service.
   */
  readonly namesClients: boolean
}

export interface GridSiteServer {
  readonly server: GridServer
  /** Of a file that everybody with an accepted credential may read. */
  readonly url: string
  /** Of the delegation service. */
  readonly delegationUrl: string
  /** Where the delegation service keeps keys and proxies. */
  readonly proxyCache: string
}

const DELEGATION_CGI = '/usr/lib/gridsite/cgi-bin/gridsite-delegation.cgi'

/** Starts it for clients of this site's trust directory. */
export async function startGridSite(
  site: GridSite,
  { crls, namesClients }: Options,
): Promise<GridSiteServer> {
  const port = await freePort()
  const path = join(site.directory, 'apache.conf')
  await writeFile(path, configuration(site, { port, crls }))
  await writeFile(join(site.directory, 'data', 'file'), 'content')
  // The CGI program looks for it beside the document root.
  const proxyCache = join(site.directory, 'proxycache')
  await mkdir(proxyCache, { mode: 0o700 })
  await chown(proxyCache, site.user.uid, site.user.gid)
  const apache = [findProgram('apache2') ?? '', '-DFOREGROUND', '-f', path] as const
  const server = await startServer(site, {
    command: namesClients ? [findProgram('bwrap') ?? '', ...namespace(site), ...apache] : apache,
    // In place of /etc/grid-security/certificates, where programs look at it.
    env: { X509_CERT_DIR: site.certDir },
    ready: /resuming normal operations/,
  })
  const base = `https://localhost:${port}`
  return { server, url: `${base}/file`, delegationUrl: `${base}/delegation`, proxyCache }
}

const namespace = ({ certDir }: Pick<GridSite, 'certDir'>): readonly string[] =>
  `--die-with-parent --dev-bind / / --tmpfs /etc/grid-security --ro-bind ${certDir} /etc/grid-security/certificates --`.split(
    ' ',
  )

/** Whether users of this machine may make the namespace. */
export function canNameClients(): boolean {
  const account = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}
  const words = [...namespace({ certDir: '/usr' }), 'true']
  return spawnSync(findProgram('bwrap') ?? 'bwrap', words, { cwd: '/', ...account }).status === 0
}

function configuration(
  site: GridSite,
  { port, crls }: { readonly port: number; readonly crls: boolean },
): string {
  const modules = '/usr/lib/apache2/modules'
  const load = (name: string): string => `LoadModule ${name}_module ${modules}/mod_${name}.so`
  const data = join(site.directory, 'data')
  return [
    ...['mpm_event', 'authz_core', 'ssl', 'alias', 'cgid', 'gridsite'].map(load),
    `Listen 127.0.0.1:${port}`,
    'ServerName localhost',
    `PidFile ${site.directory}/apache.pid`,
    `ScriptSock ${site.directory}/cgi.sock`,
    `Mutex file:${site.directory} default`,
    `DefaultRuntimeDir ${site.directory}`,
    'ErrorLog "|/bin/cat"',
    'LogLevel info',
    `DocumentRoot ${data}`,
    'StartServers 1',
    'SSLEngine on',
    `SSLCertificateFile ${site.hostCertificate}`,
    `SSLCertificateKeyFile ${site.hostKey}`,
    `SSLCACertificatePath ${site.certDir}`,
    ...(crls ? [`SSLCARevocationPath ${site.certDir}`, 'SSLCARevocationCheck chain'] : []),
    'SSLVerifyClient require',
    'SSLVerifyDepth 10',
    `GridSiteSessionsDir ${data}`,
    `ScriptAlias /delegation ${DELEGATION_CGI}`,
    `<Directory ${data}>`,
    'Require all granted',
    '</Directory>',
    '<Location /delegation>',
    'SSLOptions +ExportCertData +StdEnvVars',
    'GridSiteEnvs on',
    'Require all granted',
    '</Location>',
    '',
  ].join('\n')
}
