/** Fulcio with a CA key in a file and without a log of certificates. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { mintTokens } from '../identities.ts'
import { freePort, startProgram, type Target, waitForPort } from '../programs.ts'
import { httpRequest } from '../requests.ts'
import type { Workload, World } from '../scenarios/scenario.ts'
import { emailClaims, type InstalledPeer, type Peer } from './peer.ts'

const CLIENT_ID = 'sigstore'

export const fulcio: Peer = {
  name: 'fulcio',
  title: 'Fulcio',
  goPackage: 'github.com/sigstore/fulcio',
  version: 'v1.8.8',
  leastGo: [1, 26],
  start,
  workload,
}

async function start(
  world: World,
  { program, authority, directory }: InstalledPeer,
): Promise<Target> {
  const { issuer } = world.provider
  const path = join(directory, 'config.json')
  const issuers = { [issuer]: { IssuerURL: issuer, ClientID: CLIENT_ID, Type: 'email' } }
  await writeFile(path, JSON.stringify({ OIDCIssuers: issuers }))
  const port = await freePort()
  const options: Readonly<Record<string, string | number>> = {
    ca: 'fileca',
    'fileca-cert': authority.chain,
    'fileca-key': authority.key,
    // The key is not encrypted, but Fulcio wants the option.
    'fileca-key-passwd': 'unused',
    'fileca-watch': 'false',
    'ct-log-url': '',
    'config-path': path,
    log_type: 'prod',
    host: '127.0.0.1',
    port,
    'grpc-host': '127.0.0.1',
    'grpc-port': await freePort(),
    'metrics-port': await freePort(),
    'legacy-unix-domain-socket': join(directory, 'socket'),
  }
  const words = Object.entries(options).map(([name, value]) => `--${name}=${value}`)
  const logFile = join(directory, 'output.log')
  const started = startProgram(program, ['serve', ...words], { logFile, cwd: directory })
  await waitForPort(port, started)
  return { url: `http://127.0.0.1:${port}`, pid: started.pid, stop: started.stop }
}

function workload(world: World, target: Target): Workload {
  const { host } = new URL(target.url)
  const claims = { ...emailClaims, aud: CLIENT_ID }
  const csrs = world.csrs.map((csr) => Buffer.from(csr).toString('base64'))
  return {
    target,
    mayRepeat: false,
    expectedStatus: 200,
    make: async (count) => {
      const tokens = await mintTokens({ ...world, claims }, count)
      return tokens.map((oidcIdentityToken, index) => {
        const body = JSON.stringify({
          credentials: { oidcIdentityToken },
          certificateSigningRequest: csrs[index % csrs.length],
        })
        const contentType = 'application/json'
        return httpRequest({ path: '/api/v2/signingCert', host, contentType, body })
      })
    },
  }
}
