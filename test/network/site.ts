/**
 * A site whose hosts reach the rest of the world only through an HTTP proxy, and whose servers have certificates of a
 * private CA: the names of the servers do not resolve, and only the proxy knows where they are.
 */
import { cpSync, existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { type OutsideWorld, startOutsideWorld } from '../certcache/outside-world.ts'
import { type ConnectProxy, startConnectProxy } from '../support/connect-proxy.ts'
import { makePrivateCa, type PrivateCa } from '../support/private-ca.ts'
import { programPath, runToEnd } from '../support/programs.ts'
import { AUDIENCE } from '../support/service.ts'
import { startTlsFront } from './tls-front.ts'

export const ISSUER = 'https://idp.example.org/'
export const SERVICE = 'https://tts.example.org'

export interface Site {
  readonly world: OutsideWorld
  readonly ca: PrivateCa
  readonly proxy: ConnectProxy
  /** Environment of a program that uses the proxy. */
  readonly proxied: { readonly HTTPS_PROXY: string }
  readonly path: (name: string) => string
  /** Writes a file of settings, and returns its path. */
  readonly settings: (name: string, content: object) => string
  /** An access token of alice, as the provider with its public name would issue it. */
  readonly token: () => string
  /** Path of a file with a key for the state of certcache. */
  readonly stateKey: () => string
  /** A refresh token of certcache's client. */
  readonly refreshToken: () => Promise<string>
  readonly end: () => Promise<void>
}

export const tts = programPath('src/cli/main.ts')
export const certcache = programPath('src/certcache/main.ts')

export async function startSite(): Promise<Site> {
  const directory = mkdtempSync(join(tmpdir(), 'tts-network-'))
  const path = (name: string): string => join(directory, name)
  const ca = makePrivateCa(directory)
  const world = await startOutsideWorld()
  const { provider } = world
  const plainIssuer = provider.issuer.replace(/\/$/, '')
  const providerFront = await startTlsFront({
    ...ca.issue('idp.example.org'),
    target: plainIssuer,
    origin: ISSUER.replace(/\/$/, ''),
  })
  const serviceFront = await startTlsFront({
    ...ca.issue('tts.example.org'),
    target: world.serviceUrl,
    origin: SERVICE,
  })
  const proxy = await startConnectProxy({
    ports: {
      'idp.example.org:443': providerFront.port,
      'tts.example.org:443': serviceFront.port,
    },
    credentials: 'worker:s3cret-of-the-proxy',
  })
  const { certcache: client } = provider.clients
  return {
    world,
    ca,
    proxy,
    proxied: { HTTPS_PROXY: `http://worker:s3cret-of-the-proxy@127.0.0.1:${proxy.port}` },
    path,
    settings: (name, content) => {
      writeFileSync(path(name), stringify(content), { mode: 0o600 })
      return path(name)
    },
    token: () => provider.mint({ claims: { iss: ISSUER, aud: AUDIENCE, groups: ['cms'] } }),
    stateKey: () => {
      writeFileSync(path('state.key'), Buffer.alloc(32, 7).toString('base64'), { mode: 0o600 })
      return path('state.key')
    },
    refreshToken: async () => {
      const basic = Buffer.from(`${client.clientId}:${client.clientSecret}`).toString('base64')
      const response = await fetch(`${plainIssuer}/token`, {
        method: 'POST',
        headers: { authorization: `Basic ${basic}` },
        body: new URLSearchParams({
          grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
          subject_token: await world.logIn(),
          subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
          audience: AUDIENCE,
          scope: 'openid profile offline_access',
        }),
      })
      return ((await response.json()) as { refresh_token: string }).refresh_token
    },
    end: async () => {
      await proxy.stop()
      await providerFront.stop()
      await serviceFront.stop()
      await world.end()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/**
 * Configuration of a service that trusts the provider by its public name. The data directory is a copy of that of
 * `initialise`, so that no keys of the provider are known from an earlier run.
 */
export function serviceConfiguration(site: Site, tls: object = {}): object {
  rmSync(site.path('data'), { recursive: true, force: true })
  if (existsSync(site.path('initial')))
    cpSync(site.path('initial'), site.path('data'), { recursive: true })
  const allow = [{ provider: 'iam', claims: { groups: { contains: 'cms' } } }]
  return {
    data_dir: site.path('data'),
    listen: { port: 0 },
    ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' },
    providers: { iam: { issuer: ISSUER, alias: 'iam-test', audiences: [AUDIENCE] } },
    services: { proxy: { authz: { allow } } },
    limits: { key_pool_size: 0 },
    tls,
  }
}

/** Creates the CA of the service. */
export async function initialise(site: Site): Promise<void> {
  const configuration = site.settings('init.yaml', serviceConfiguration(site))
  await run(site, [tts, 'ca', 'init', '--config', configuration], {})
  renameSync(site.path('data'), site.path('initial'))
}

/** Runs a program to its end. */
export const run = async (
  site: Site,
  [program, ...words]: readonly [string, ...string[]],
  env: Readonly<Record<string, string>>,
) => runToEnd(program, words, { cwd: site.path('.'), env })
