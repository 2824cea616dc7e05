/** The sample programs of caNl-C: a server and a client that shows the credential. */
import { freePort, openGridSite, startServer, type GridServer } from '../grid-site.ts'
import { findProgram, runTool } from '../grid-tools.ts'
import { partyOfOne, type PatientFiles, type Refusal } from './party.ts'

async function checkCanlC(patient: PatientFiles): Promise<Refusal> {
  const site = await openGridSite(patient)
  let server: GridServer | undefined
  try {
    const { proxyPath } = patient
    const port = String(await freePort())
    const { certDir, hostCertificate, hostKey } = site
    const serverOptions = [
      '-oL emi-canl-server -t 5 -n'.split(' '),
      ['-p', port, '-d', certDir, '-c', hostCertificate, '-k', hostKey],
    ].flat()
    server = await startServer(site, {
      command: [findProgram('stdbuf') ?? '', ...serverOptions],
      env: { X509_CERT_DIR: certDir },
      ready: /waiting for connections/,
    })
    const args = [
      '-s',
      'localhost',
      '-p',
      port,
      '-t',
      '5',
      '-c',
      proxyPath,
      '-k',
      proxyPath,
      '-x',
      proxyPath,
    ]
    const { output } = await runTool('emi-canl-client', args, { X509_CERT_DIR: certDir })
    const said = `${output}\n${server.output()}`
    const named = /connection established with \S/.test(server.output())
    return named && output.includes('received:') ? undefined : said
  } finally {
    await server?.stop()
    await site.close()
  }
}

export const canlCParty = partyOfOne('caNl-C', ['libcanl-c-examples'], checkCanlC)
