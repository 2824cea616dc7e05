/** Relying parties that see the credential in a TLS handshake, with curl as the client. */
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type GridServer, type GridSite, openGridSite, startServer } from '../grid-site.ts'
import { startGridSite } from '../gridsite.ts'
import { startXrootdHttps } from '../xrootd.ts'
import { runTool } from '../grid-tools.ts'
import { partyOfOne, type PatientFiles, type Refusal } from './party.ts'

/** Shows the credential to a server of this site with curl. */
async function askWithCurl(
  patient: PatientFiles,
  url: string,
  server: GridServer,
): Promise<Refusal> {
  const { proxyPath } = patient
  // The server's own certificate is not what is tested.
  const options = ['--silent', '--show-error', '--fail', '--insecure', '--max-time', '10']
  const credential = ['--cert', proxyPath, '--key', proxyPath]
  const { status, output } = await runTool('curl', [...options, ...credential, url])
  return status === 0 ? undefined : `${output}\n${server.output().slice(-2000)}`
}

async function withServer(
  patient: PatientFiles,
  check: (site: GridSite) => Promise<{ readonly server: GridServer; readonly url: string }>,
): Promise<Refusal> {
  const site = await openGridSite(patient)
  let server: GridServer | undefined
  try {
    const started = await check(site)
    server = started.server
    return await askWithCurl(patient, started.url, server)
  } finally {
    await server?.stop()
    await site.close()
  }
}

async function startOpenssl(site: GridSite, options: readonly string[]) {
  const server = await startServer(site, {
    command: [
      'openssl',
      ...'s_server -accept 127.0.0.1:0 -www -Verify 30 -verify_return_error'.split(' '),
      ...'-allow_proxy_certs -no-CAfile -no-CAstore -CApath'.split(' '),
      site.certDir,
      '-cert',
      site.hostCertificate,
      '-key',
      site.hostKey,
      ...options,
    ],
    env: {},
    ready: /ACCEPT \S+:\d+/,
  })
  const port = /ACCEPT \S+:(\d+)/.exec(server.output())?.[1] ?? ''
  return { server, url: `https://127.0.0.1:${port}/` }
}

/** A server that knows nothing of CRLs. */
const checkCurl = (patient: PatientFiles): Promise<Refusal> =>
  withServer(patient, (site) => startOpenssl(site, []))

/** A server that requires CRLs of all CAs as soon as the patient's directory has some. */
async function checkOpenssl(patient: PatientFiles): Promise<Refusal> {
  const crls = await hasCrls(patient)
  return withServer(patient, (site) => startOpenssl(site, crls ? ['-crl_check_all'] : []))
}

/** A site checks revocation as soon as it installs CRLs. */
async function hasCrls({ trustAnchorDir }: PatientFiles): Promise<boolean> {
  const names = await readdir(trustAnchorDir)
  return names.some((name) => /^[0-9a-f]{8}\.r\d+$/.test(name))
}

async function checkGridSite(patient: PatientFiles): Promise<Refusal> {
  const crls = await hasCrls(patient)
  return withServer(patient, (site) => startGridSite(site, { crls, namesClients: false }))
}

async function startXrootd(site: GridSite) {
  await writeFile(join(site.directory, 'data', 'file'), 'content')
  const { server, url } = await startXrootdHttps(site)
  return { server, url: `${url}/file` }
}

const tools = ['openssl', 'curl'] as const
export const opensslParty = partyOfOne('OpenSSL', tools, checkOpenssl)
export const curlParty = partyOfOne('curl/https', tools, checkCurl)
export const gridSiteParty = partyOfOne('GridSite', ['gridsite', 'curl'], checkGridSite)
export const xrootdHttpsParty = partyOfOne(
  'XRootD https',
  ['xrootd-server', 'xrootd-server-plugins', 'curl'],
  (patient) => withServer(patient, startXrootd),
)
