/** step-ca with an OIDC provisioner and its default database. It serves TLS only. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { mintTokens } from '../identities.ts'
import { freePort, startProgram, type Target, waitForPort } from '../programs.ts'
import { httpRequest } from '../requests.ts'
import type { Workload, World } from '../scenarios/scenario.ts'
import { emailClaims, type InstalledPeer, type Peer } from './peer.ts'

const CLIENT_ID = 'step-ca'

export const stepCa: Peer = {
  name: 'step-ca',
  title: 'step-ca',
  goPackage: 'github.com/smallstep/certificates/cmd/step-ca',
  version: 'v0.30.2',
  leastGo: [1, 25],
  start,
  workload,
}

async function start(
  world: World,
  { program, authority, directory }: InstalledPeer,
): Promise<Target> {
  const port = await freePort()
  const path = join(directory, 'ca.json')
  const provisioner = {
    type: 'OIDC',
    name: 'demo',
    clientID: CLIENT_ID,
    clientSecret: '',
    configurationEndpoint: `${world.provider.issuer}.well-known/openid-configuration`,
  }
  const configuration = {
    root: authority.root,
    crt: authority.intermediate,
    key: authority.key,
    address: `127.0.0.1:${port}`,
    dnsNames: ['127.0.0.1'],
    // As `step ca init` writes it.
    logger: { format: 'text' },
    db: { type: 'badgerv2', dataSource: join(directory, 'db') },
    authority: { provisioners: [provisioner] },
  }
  await writeFile(path, JSON.stringify(configuration))
  const options = { logFile: join(directory, 'output.log'), cwd: directory }
  const started = startProgram(program, [path], { ...options, env: { STEPPATH: directory } })
  await waitForPort(port, started)
  return { url: `https://127.0.0.1:${port}`, pid: started.pid, stop: started.stop }
}

function workload(world: World, target: Target): Workload {
  const { host } = new URL(target.url)
  const claims = { ...emailClaims, aud: CLIENT_ID }
  return {
    target,
    // It refuses a token that it has seen before.
    mayRepeat: false,
    expectedStatus: 201,
    make: async (count) => {
      const tokens = await mintTokens({ ...world, claims }, count)
      return tokens.map((ott, index) => {
        const body = JSON.stringify({ csr: world.csrs[index % world.csrs.length], ott })
        return httpRequest({ path: '/1.0/sign', host, contentType: 'application/json', body })
      })
    },
  }
}
