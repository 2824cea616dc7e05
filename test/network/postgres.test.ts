/** A PostgreSQL server with a certificate of a private CA. */
import { readFileSync, rmSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { type PostgresCluster, startPostgres } from '../support/postgres.ts'
import {
  certcache,
  initialise,
  run,
  serviceConfiguration,
  type Site,
  startSite,
  tts,
} from './site.ts'

describeWithTools('PostgreSQL with TLS', ['postgresql'], () => {
  let site: Site
  let cluster: PostgresCluster
  let other: PostgresCluster
  beforeAll(async () => {
    site = await startSite()
    await initialise(site)
    cluster = await startPostgres({ tls: site.ca.issue('localhost') })
    other = await startPostgres({ tls: site.ca.issue('db.example.org') })
  })
  afterAll(async () => {
    await cluster.stop()
    await other.stop()
    await site.end()
  })

  interface Case {
    readonly title: string
    readonly trusted: boolean
    /** What to do if it is not trusted. */
    readonly remedy?: (setting: string) => string
    readonly query?: () => string
    readonly tls?: object
    readonly env?: () => Record<string, string>
    /** The server whose certificate is for another host. */
    readonly otherHost?: boolean
  }
  const ca = (): Record<string, string> => ({ SSL_CERT_FILE: site.ca.file })
  const cases: readonly Case[] = [
    {
      title: 'no CA',
      trusted: false,
      remedy: (setting) =>
        `The certificate of the database is not trusted. Name its CA in tls.ca_file, or with sslrootcert=FILE in ${setting}.`,
    },
    { title: 'tls.ca_file', trusted: true, tls: { ca_file: 'ca.pem' } },
    { title: 'tls.ca_directory', trusted: true, tls: { ca_directory: 'certificates' } },
    { title: 'SSL_CERT_FILE', trusted: true, env: ca },
    { title: 'sslrootcert', trusted: true, query: () => `&sslrootcert=${site.ca.file}` },
    // A proxy that does not exist would be an error if it were used.
    {
      title: 'an HTTP proxy',
      trusted: true,
      env: () => ({ ...ca(), HTTPS_PROXY: 'http://127.0.0.1:1' }),
    },
    {
      title: 'a certificate for another host',
      trusted: false,
      remedy: (setting) => `Check the host name in ${setting}`,
      env: ca,
      otherHost: true,
    },
  ]
  async function urlFor({ query, otherHost }: Case): Promise<string> {
    const used = otherHost ? other : cluster
    const database = new URL(await used.createDatabase()).pathname
    return `postgres://tts@localhost:${used.port}${database}?sslmode=verify-full${query?.() ?? ''}`
  }

  test.for(cases)('the service, $title', async (one) => {
    const { tls = {}, env } = one
    const configuration = site.settings('pg.yaml', {
      ...serviceConfiguration(site, tls),
      store: { url: await urlFor(one) },
    })
    const { out, err } = await run(site, [tts, 'check', '--config', configuration], env?.() ?? {})
    expect({
      out,
      err,
      ok: out.includes('records: postgresql, readable and writable'),
    }).toMatchObject({
      ok: one.trusted,
    })
    if (!one.trusted) expect(out).toContain(one.remedy?.('store.url'))
  })

  test.for(cases)('the state of certcache, $title', async (one) => {
    const { tls = {}, env } = one
    rmSync(site.path('pg-proxy'), { force: true })
    const settings = site.settings('pg-certcache.yaml', {
      service: { url: site.world.serviceUrl },
      source: { kind: 'token' },
      state: {
        url: await urlFor(one),
        key_file: site.stateKey(),
        directory: site.path('pg-state'),
      },
      proxies: { gwms_proxy: { outputs: [{ path: site.path('pg-proxy') }] } },
      tls,
    })
    const result = await run(site, [certcache, 'refresh', '--config', settings], {
      BEARER_TOKEN: await site.world.logIn(),
      ...env?.(),
    })
    expect(result).toMatchObject({ code: one.trusted ? 0 : 4 })
    if (one.trusted) parseProxyFile(readFileSync(site.path('pg-proxy'), 'utf8'))
    else expect(result.err).toContain(one.remedy?.('state.url'))
  })

  test('sslrootcert that cannot be read is named', async () => {
    const query = '&sslrootcert=/nonexistent/ca.pem'
    const url = await urlFor({ title: '', trusted: false, query: () => query })
    const configuration = site.settings('pg.yaml', {
      ...serviceConfiguration(site),
      store: { url },
    })
    const service = await run(site, [tts, 'check', '--config', configuration], {})
    expect(service.out).toContain(
      'store.url: /nonexistent/ca.pem cannot be read: the file or its directory does not exist',
    )
    const settings = site.settings('pg-certcache.yaml', {
      state: { url, key_file: site.stateKey() },
      source: { kind: 'token' },
    })
    const cache = await run(site, [certcache, 'refresh', '--config', settings], {
      BEARER_TOKEN: 'x',
    })
    expect(cache.err).toContain(
      'state.url: /nonexistent/ca.pem cannot be read: the file or its directory does not exist',
    )
  })
})
