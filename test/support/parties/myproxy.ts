/** A MyProxy server: the credential is stored there, which delegates it once, and renewed with the proxy itself. */
import { chmod, chown, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type GridServer,
  type GridSite,
  freePort,
  openGridSite,
  startServer,
} from '../grid-site.ts'
import { findProgram, runTool } from '../grid-tools.ts'
import { partyOfOne, type PatientFiles, type Refusal } from './party.ts'

const storeOf = (site: GridSite): string => join(site.directory, 'store')
const configurationOf = (site: GridSite): string => join(site.directory, 'myproxy.conf')

async function prepare(site: GridSite): Promise<void> {
  const store = storeOf(site)
  const configuration = configurationOf(site)
  await mkdir(store, { mode: 0o700 })
  await chown(store, site.user.uid, site.user.gid)
  const rules = ['accepted_credentials', 'authorized_retrievers', 'default_retrievers']
  const renewal = ['authorized_renewers', 'default_renewers']
  const lines = [...rules, ...renewal].map((rule) => `${rule} "*"`)
  await writeFile(configuration, [...lines, 'allow_self_authorization true', ''].join('\n'))
  await chmod(configuration, 0o644)
}

/** In its debug mode the server stays in the foreground and serves one connection. */
function startMyProxy(site: GridSite, port: string): Promise<GridServer> {
  return startServer(site, {
    command: [
      findProgram('myproxy-server') ?? '',
      ...'-d -v -l localhost -p'.split(' '),
      port,
      '-s',
      storeOf(site),
      '-c',
      configurationOf(site),
    ],
    env: {
      X509_CERT_DIR: site.certDir,
      X509_USER_CERT: site.hostCertificate,
      X509_USER_KEY: site.hostKey,
    },
    ready: /Starting myproxy-server/,
  })
}

async function checkMyProxy(patient: PatientFiles): Promise<Refusal> {
  const { proxyPath, directory } = patient
  const site = await openGridSite(patient)
  let server: GridServer | undefined
  try {
    await prepare(site)
    const port = String(await freePort())
    server = await startMyProxy(site, port)
    const env = {
      X509_CERT_DIR: site.certDir,
      MYPROXY_SERVER_DN: '/O=TTS test hosts/CN=localhost',
    }
    const where = ['-s', 'localhost', '-p', port, '-l', 'person']
    const stored = await runTool('myproxy-init', [...where, ...'-n -c 1 -t 1 -A'.split(' ')], {
      ...env,
      X509_USER_CERT: proxyPath,
      X509_USER_KEY: proxyPath,
    })
    if (stored.status !== 0) return `${stored.output}\n${server.output().slice(-2000)}`
    await server.stop()
    server = await startMyProxy(site, port)
    const out = join(directory, 'myproxy-renewed')
    const renewed = await runTool('myproxy-logon', [...where, '-n', '-a', proxyPath, '-o', out], {
      ...env,
      X509_USER_PROXY: proxyPath,
    })
    return renewed.status === 0 ? undefined : `${renewed.output}\n${server.output().slice(-2000)}`
  } finally {
    await server?.stop()
    await site.close()
  }
}

export const myProxyParty = partyOfOne('MyProxy', ['myproxy', 'myproxy-server'], checkMyProxy)
