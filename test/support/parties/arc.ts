/** NorduGrid ARC: its server, which reads VOMS attributes itself, and its client, which speaks GridFTP. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  freePort,
  type GridServer,
  type GridSite,
  openGridSite,
  startServer,
} from '../grid-site.ts'
import { gridFtpUrl, startGridFtp } from '../gridftp.ts'
import { findProgram, runTool } from '../grid-tools.ts'
import { partyOfOne, type PatientFiles, type Refusal } from './party.ts'

/** A server with the echo service, which refuses credentials whose VOMS attributes do not hold. */
const configuration = (site: GridSite, port: number): string => `<?xml version="1.0"?>
<ArcConfig xmlns="http://www.nordugrid.org/schemas/ArcConfig/2007"
  xmlns:tcp="http://www.nordugrid.org/schemas/ArcMCCTCP/2007"
  xmlns:echo="http://www.nordugrid.org/schemas/echo/2009/08">
  <Server>
    <Pidfile>${site.directory}/arched.pid</Pidfile>
    <Logger level="INFO"><File>/proc/self/fd/1</File></Logger>
  </Server>
  <ModuleManager><Path>/usr/lib/arc/</Path></ModuleManager>
  ${['mcctcp', 'mcctls', 'mcchttp', 'mccsoap', 'arcshc', 'echo']
    .map((name) => `<Plugins><Name>${name}</Name></Plugins>`)
    .join('')}
  <Chain>
    <Component name="tcp.service" id="tcp">
      <next id="tls"/>
      <tcp:Listen><tcp:Interface>127.0.0.1</tcp:Interface><tcp:Port>${port}</tcp:Port></tcp:Listen>
    </Component>
    <Component name="tls.service" id="tls">
      <next id="http"/>
      <KeyPath>${site.hostKey}</KeyPath>
      <CertificatePath>${site.hostCertificate}</CertificatePath>
      <CACertificatesDir>${site.certDir}</CACertificatesDir>
      <VOMSDir>${site.vomsDir}</VOMSDir>
      <VOMSProcessing>noerrors</VOMSProcessing>
    </Component>
    <Component name="http.service" id="http"><next id="soap">POST</next></Component>
    <Component name="soap.service" id="soap"><next id="plexer"/></Component>
    <Plexer name="plexer.service" id="plexer"><next id="echo">^/Echo$</next></Plexer>
    <Service name="echo" id="echo"><echo:serviceid>echo</echo:serviceid></Service>
  </Chain>
</ArcConfig>
`

const request =
  '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>' +
  '<echo xmlns="http://www.nordugrid.org/schemas/echo"><say>hello</say></echo></e:Body></e:Envelope>'

async function checkArcServer(patient: PatientFiles): Promise<Refusal> {
  const site = await openGridSite(patient)
  let server: GridServer | undefined
  try {
    const port = await freePort()
    const file = join(site.directory, 'arched.xml')
    await writeFile(file, configuration(site, port), { mode: 0o644 })
    server = await startServer(site, {
      // It logs to a file only. Node's pipes are sockets, which have no path to open; those of a shell do.
      command: ['sh', '-c', '"$0" -f -c "$1" | cat', findProgram('arched') ?? '', file],
      env: {},
      // It says nothing when it is ready; curl tries again.
      ready: /^/,
    })
    const { proxyPath } = patient
    // The server's own certificate is not what is tested.
    const options = ['--silent', '--show-error', '--insecure', '--max-time', '10']
    const retry = '--retry 50 --retry-connrefused --retry-delay 1 --retry-max-time 15'.split(' ')
    const { output } = await runTool('curl', [
      ...options,
      ...retry,
      '--cert',
      proxyPath,
      '--key',
      proxyPath,
      '--data-binary',
      request,
      `https://127.0.0.1:${port}/Echo`,
    ])
    return output.includes('hello') ? undefined : `${output}\n${server.output().slice(-2000)}`
  } finally {
    await server?.stop()
    await site.close()
  }
}

/** The client of ARC lists a directory of a GridFTP server. */
export async function checkArcClient(patient: PatientFiles): Promise<Refusal> {
  const site = await openGridSite(patient)
  let server: GridServer | undefined
  try {
    server = await startGridFtp(site)
    await writeFile(join(site.directory, 'data', 'listed'), '')
    const { status, output } = await runTool(
      'arcls',
      ['--timeout', '20', gridFtpUrl(server, join(site.directory, 'data'))],
      { X509_USER_PROXY: patient.proxyPath, X509_CERT_DIR: site.certDir, HOME: patient.directory },
    )
    return status === 0 && output.includes('listed') ? undefined : output
  } finally {
    await server?.stop()
    await site.close()
  }
}

export const arcServerParty = partyOfOne(
  'ARC server',
  ['nordugrid-arc-hed', 'curl'],
  checkArcServer,
)
export const arcClientPackages = [
  'nordugrid-arc-client',
  'nordugrid-arc-plugins-gridftp',
  'globus-gridftp-server-progs',
] as const
