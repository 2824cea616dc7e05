/** Each example in deploy/, run with a real service: a relying party accepts the proxy that it leaves behind. */
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type OutsideWorld, startOutsideWorld } from '../certcache/outside-world.ts'
import type { CredentialFiles } from '../support/grid-site.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { checkGridFtp, gridFtpPackages } from '../support/gridftp.ts'
import { makePrivateCa, type PrivateCa } from '../support/private-ca.ts'
import { programPath, runToEnd, type Started, startProgram } from '../support/programs.ts'
import { checkXrootd, xrootdPackages } from '../support/xrootd.ts'
import {
  containerCommand,
  cronCommand,
  type ExampleCommand,
  serviceCommand,
} from './example-files.ts'
import { getProxyScript, runShell } from './shells.ts'

const packages = [...xrootdPackages, ...gridFtpPackages, 'openssl', 'curl']
const SECRET = 'the-secret-of-the-cache'

describeWithTools('a relying party accepts what comes from', packages, () => {
  let world: OutsideWorld
  let ca: PrivateCa
  let secrets: Readonly<Record<string, string>>
  /** Where the absolute paths of the examples are. */
  const root = (path: string): string => join(world.directory, 'root', path)

  beforeAll(async () => {
    // Globus delegates further only what an RSA key has signed.
    const keys = { key_kind: 'ec-p256', end_entity_key_kind: 'rsa-2048' }
    world = await startOutsideWorld({ delegation: {}, configuration: { ca: keys } })
    const token = await world.logIn()
    put('home/grid/.token', token)
    put('run/credentials/token', token)
    ca = makePrivateCa(world.directory)
    const server = ca.issue('localhost')
    put('tls/tls.crt', server.cert)
    put('tls/tls.key', server.key)
    const anchors = await fetch(`${world.serviceUrl}/ca/trust-anchors.tar.gz`)
    mkdirSync(root('certificates'), { recursive: true })
    execFileSync('tar', ['xz', '-C', root('certificates')], {
      input: Buffer.from(await anchors.arrayBuffer()),
    })
    secrets = { ...(await delegate(token)), 'certcache-secret/secret': SECRET }
  })
  afterAll(() => world.end())
  const running: Started[] = []
  afterEach(async () => {
    for (const { child, ended } of running.splice(0)) {
      child.kill('SIGKILL')
      await ended
    }
    // Each example fetches a proxy of its own.
    rmSync(root('proxy'), { recursive: true, force: true })
  })

  function put(path: string, content: string | Buffer): void {
    mkdirSync(dirname(root(path)), { recursive: true, mode: 0o700 })
    writeFileSync(root(path), content, { mode: 0o600 })
  }

  /** The delegation of deploy/kubernetes/README.md, as the Secret that the manifests name. */
  async function delegate(token: string): Promise<Record<string, string>> {
    const headers = { authorization: `Bearer ${token}` }
    const answer = await fetch(`${world.serviceUrl}/v1/delegations`, { method: 'POST', headers })
    const { id, renewal_secret } = (await answer.json()) as Record<string, string>
    return {
      'certcache-delegation/id': id ?? '',
      'certcache-delegation/renewal_secret': renewal_secret ?? '',
    }
  }

  /** What an example runs, with this service, and with its absolute paths below `root`. */
  function here({ words, environment }: ExampleCommand) {
    const isProgram = (word: string): boolean => /(^|\/)(node|certcache(\.js)?)$/.test(word)
    const place = (text: string): string =>
      text.replace('%S', '/var/lib').replace('%d', '/run/credentials').replace(/^\//, root('/'))
    const env = Object.fromEntries(
      Object.entries(environment).map(([name, value]) => [name, place(value)]),
    )
    const args = words.filter((word, index) => index > 1 || !isProgram(word)).map(place)
    for (const [index, word] of args.entries())
      if (word === '--out')
        mkdirSync(dirname(args[index + 1] ?? ''), { recursive: true, mode: 0o700 })
    return { args, env: { ...env, CERTCACHE_SERVICE__URL: world.serviceUrl } }
  }

  const main = programPath('src/certcache/main.ts')

  /** Runs an example to its end, which must be good. */
  async function run(example: ExampleCommand): Promise<void> {
    const { args, env } = here(example)
    const { code, err } = await runToEnd(main, args, { env })
    expect({ args, code, err }).toEqual({ args, code: 0, err: '' })
  }

  /** Starts an example that listens; on a free port, and on loopback. */
  async function serve(example: ExampleCommand): Promise<string> {
    const { args, env } = here(example)
    const listen = { CERTCACHE_LISTEN__PORT: '0', CERTCACHE_LISTEN__HOST: '127.0.0.1' }
    const started = startProgram(main, args, { env: { ...env, ...listen } })
    running.push(started)
    const [, url = ''] = await started.says(/"certcache\.started","url":"(https?:[^"]+)"/)
    return url
  }

  const delivered = (path: string): CredentialFiles => ({
    proxyPath: root(path),
    trustAnchorDir: root('certificates'),
  })

  async function accepted(path: string): Promise<void> {
    expect(await checkXrootd(delivered(path))).toBeUndefined()
    expect(await checkGridFtp(delivered(path))).toBeUndefined()
  }

  test('systemd/certcache.service, over its port', async () => {
    const url = await serve(serviceCommand('certcache.service'))
    mkdirSync(root('worker'), { recursive: true })
    const file = root('worker/from-service')
    const words = ['curl', '-sSf', '--retry', '5', '-o', file, `${url}/get_proxy`]
    expect(await runShell(words)).toEqual({ code: 0, out: '', err: '' })
    chmodSync(file, 0o600)
    await accepted('worker/from-service')
  })

  test('systemd/certcache-refresh.service', async () => {
    await run(serviceCommand('certcache-refresh.service'))
    await accepted('run/certcache-grid/gwms_proxy')
  })

  test('cron/certcache', async () => {
    const { environment, words } = cronCommand()
    const { MAILTO: _, ...ours } = environment
    // Root has its state elsewhere than the user of the example.
    const state = { CERTCACHE_STATE__DIRECTORY: '/home/grid/.local/state/certcache' }
    await run({ words, environment: { ...ours, ...state } })
    await accepted('home/grid/gwms_proxy')
  })

  test('kubernetes/sidecar.yaml, in the volume of both containers', async () => {
    await serve(containerCommand('sidecar.yaml', (name) => secrets[name] ?? ''))
    await expect.poll(() => existsSync(root('proxy/gwms_proxy'))).toBe(true)
    await accepted('proxy/gwms_proxy')
  })

  test('kubernetes/job.yaml, in its volume', async () => {
    await run(containerCommand('job.yaml', (name) => secrets[name] ?? ''))
    await accepted('proxy/gwms_proxy')
  })

  test('kubernetes/cache.yaml, over TLS with worker/get-proxy.sh', async () => {
    const url = await serve(containerCommand('cache.yaml', (name) => secrets[name] ?? ''))
    put('worker/secret', SECRET)
    const out = root('worker/from-cache')
    const env = {
      CERTCACHE_URL: url.replace('127.0.0.1', 'localhost'),
      CERTCACHE_SECRET_FILE: root('worker/secret'),
      CERTCACHE_WORKER_CACERT: ca.file,
      CERTCACHE_WORKER_OUT: out,
    }
    expect(await runShell(['sh', getProxyScript], { env })).toEqual({
      code: 0,
      out: `${out}\n`,
      err: '',
    })
    await accepted('worker/from-cache')
  })
})
