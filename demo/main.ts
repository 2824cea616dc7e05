#!/usr/bin/env node
/**
 * Shows the whole process in one command: an identity provider, a user who logs in, the service, a token translated
 * into a proxy file, the trust anchors for a site, and certcache, which renews another proxy.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { stringify } from 'yaml'
import { runCommandLine } from '../src/cli/command-line.ts'
import { createProgram } from '../src/cli/program.ts'
import type { Terminal } from '../src/cli/terminal.ts'
import { loadConfiguration } from '../src/config/load.ts'
import { createLog } from '../src/base/log.ts'
import { type Running, serve } from '../src/service/serve.ts'
import { type IdentityProvider, startIdentityProvider } from './identity-provider/server.ts'
import { keepFresh } from './keep-fresh.ts'
import { AUDIENCE, renewTokenUntil, writeToken } from './token-file.ts'

const HELP = `Usage: npm run demo [-- --once | --provider] [-- --dir DIR]

Starts an identity provider and the service on this host, gets an access token with a real login, translates it into a
proxy file, lets certcache renew another one, and runs until Ctrl-C.

  --once      run once and exit
  --provider  start the identity provider only, and write to DIR its issuer and then a token of Alice for the audience
              ${AUDIENCE}: the files issuer and token
  --dir DIR   write all files to DIR: gwms_proxy, fresh_proxy, token, trust-anchors/, and what the service and certcache
              keep: tts.yaml, data/, certcache.yaml, certcache/. While everything runs, url has the address of the
              service (default: a new directory, removed at the end)
`

interface Demo {
  readonly directory: string
  readonly provider: IdentityProvider
  readonly running: Running
}

const say = (text: string): void => void process.stdout.write(`${text}\n`)

async function main(): Promise<void> {
  process.umask(0o077)
  const options = readArguments()
  if (options === undefined || options.help) {
    ;(options ? process.stdout : process.stderr).write(HELP)
    process.exitCode = options ? 0 : 2
    return
  }
  // The handlers are set first, so that an early Ctrl-C leaves nothing behind.
  const interrupted = waitForInterrupt()
  const directory =
    options.dir === undefined ? await mkdtemp(join(tmpdir(), 'tts-demo-')) : resolve(options.dir)
  await mkdir(directory, { recursive: true })
  // Who waits for these files must not find those of a demo that ran before.
  for (const name of ['url', 'issuer', 'token']) await rm(join(directory, name), { force: true })
  const provider = await startIdentityProvider({ tokens: { includeAuthnInfo: true } })
  try {
    if (options.provider) await runProvider(directory, provider, interrupted)
    else await runAll({ directory, provider }, options.once ? undefined : interrupted)
  } finally {
    await provider.close()
    if (options.dir === undefined) await rm(directory, { recursive: true, force: true })
  }
}

/** Runs everything once, and then goes on until `interrupted` settles, if that is given. */
async function runAll(
  { directory, provider }: Omit<Demo, 'running'>,
  interrupted: Promise<void> | undefined,
): Promise<void> {
  const running = await start(directory, provider)
  const url = join(directory, 'url')
  try {
    const demo = { directory, provider, running }
    await translate(demo)
    await renew(demo)
    if (interrupted === undefined) return
    printExamples(demo)
    await writeFile(url, `${running.url}\n`)
    await renewTokenUntil(interrupted, () => writeToken(directory, provider), warn)
  } finally {
    await rm(url, { force: true })
    await running.stop()
  }
}

/** Runs until `interrupted` settles. The token is the last file that is written: once it is there, all is ready. */
async function runProvider(
  directory: string,
  provider: IdentityProvider,
  interrupted: Promise<void>,
): Promise<void> {
  await writeFile(join(directory, 'issuer'), `${provider.issuer}\n`)
  await writeToken(directory, provider)
  say(`The identity provider ${provider.issuer} runs until Ctrl-C. It wrote to ${directory}:`)
  say(`  issuer  its address\n  token   an access token of Alice for the audience ${AUDIENCE}`)
  await renewTokenUntil(interrupted, () => writeToken(directory, provider), warn)
}

function readArguments() {
  try {
    const accepted = {
      once: { type: 'boolean' },
      provider: { type: 'boolean' },
      dir: { type: 'string' },
      help: { type: 'boolean' },
    } as const
    const { values } = parseArgs({ options: accepted })
    if (values.once && values.provider)
      throw new Error('--once and --provider cannot be used together')
    return values
  } catch (error) {
    warn(error)
    return undefined
  }
}

function warn(error: unknown): void {
  process.stderr.write(`${error instanceof Error ? error.message : 'it failed'}\n`)
}

async function start(directory: string, provider: IdentityProvider): Promise<Running> {
  say('1. Start an identity provider: a development replacement for INDIGO IAM.')
  say(`   ${provider.issuer}\n`)
  say(
    '2. Start the service, with a new CA (generating its RSA-4096 key takes a moment) and SQLite.',
  )
  const path = join(directory, 'tts.yaml')
  await writeFile(path, stringify(configuration(directory, provider)))
  const log = createLog({ level: 'warn', name: 'tts' })
  const running = await serve(await loadConfiguration(path, {}), log)
  say(`   ${running.url}, configuration in ${path}\n`)
  return running
}

function configuration(directory: string, provider: IdentityProvider): object {
  const allow = [{ provider: 'iam', claims: { groups: { contains: 'cms' } } }]
  const { clientId, clientSecret } = provider.clients.tts
  return {
    data_dir: join(directory, 'data'),
    listen: { port: 0 },
    providers: {
      iam: {
        issuer: provider.issuer,
        alias: 'indigo-iam-test',
        description: 'Demo IAM',
        audiences: [AUDIENCE],
        client_id: clientId,
        client_secret: clientSecret,
        // certcache sends its token once, or a user creates a delegation on the page. The service exchanges the token
        // and uses the result for all renewals. Providers refuse a client that exchanges its own token, so this is
        // another client.
        delegation: {
          client_id: provider.clients.certcache.clientId,
          client_secret: provider.clients.certcache.clientSecret,
        },
      },
    },
    services: { proxy: { authz: { allow } }, x509: { authz: { allow } } },
  }
}

async function translate({ directory, provider, running }: Demo): Promise<void> {
  say(
    '3. Log in at the provider as Alice (authorization code flow with PKCE) to get an access token.',
  )
  await writeToken(directory, provider)
  say(`   ${join(directory, 'token')}\n`)
  say(
    '4. Get a proxy: `tts proxy init` generates a key, sends a CSR with the token, and writes the proxy file.\n',
  )
  const proxy = join(directory, 'gwms_proxy')
  await tts([
    'proxy',
    'init',
    '--url',
    running.url,
    '--token-file',
    join(directory, 'token'),
    '--out',
    proxy,
  ])
  say('\n5. Export the trust anchors, which a site installs to accept this proxy:')
  const anchors = join(directory, 'trust-anchors')
  await tts(['--config', join(directory, 'tts.yaml'), 'ca', 'export', anchors])
}

async function renew({ directory, provider, running }: Demo): Promise<void> {
  say('\n6. Keep a proxy fresh with certcache: it is valid for one minute, to show a renewal.\n')
  await keepFresh({ directory, provider, serviceUrl: running.url, say })
}

/** Runs the command line like a user, but in this process. */
async function tts(words: readonly string[]): Promise<void> {
  const terminal: Terminal = {
    environment: {},
    uid: process.getuid?.() ?? 0,
    now: () => new Date(),
    out: (result) => void process.stdout.write(indent(result.toString())),
    note: (text) => void process.stdout.write(indent(`${text}\n`)),
    exitWith: () => undefined,
  }
  const code = await runCommandLine(createProgram(terminal, { version: 'demo' }), words, (line) =>
    terminal.note(line),
  )
  if (code !== 0) throw new Error(`tts ${words.join(' ')} ended with exit code ${code}`)
}

const indent = (text: string): string => text.replace(/^(?=.)/gm, '   ')

function printExamples({ directory, running }: Demo): void {
  const { url } = running
  const file = (name: string): string => shellWord(join(directory, name))
  const token = `"Authorization: Bearer $(cat ${file('token')})"`
  say(`
Everything runs until Ctrl-C. Open ${url}/ in a browser and log in as alice, or as bob, who is refused with a reason.

Or try, in another terminal:

  # get a proxy as a worker does: one request, and the service generates the key
  (umask 077; curl -sSf -X POST -H ${token} ${url}/v1/proxies -o /tmp/my_proxy)

  # the same with a key that never leaves this host
  openssl req -new -newkey rsa:2048 -nodes -keyout /tmp/my_key -subj / -out /tmp/my_csr
  curl -sSf --data-binary @/tmp/my_csr -H ${token} '${url}/v1/proxies?lifetime_seconds=43200'

  # list your credentials; revoke one with -X DELETE ${url}/v1/credentials/ID
  curl -sSf -H ${token} ${url}/v1/credentials

  # renew the proxy of certcache again: it needs no token, because it has a delegation
  npm run -s certcache -- refresh --valid 1h --config ${file('certcache.yaml')}

  # check that every relying party would accept the proxy
  npm run -s tts -- proxy info --explain --trust-anchors ${file('trust-anchors')} ${file('gwms_proxy')}

  # verify the proxy like a relying party (needs openssl)
  openssl verify -allow_proxy_certs -CApath ${file('trust-anchors')} -untrusted ${file('gwms_proxy')} ${file('gwms_proxy')}

  # the CA, its CRL, the trust anchors as one archive; readiness; metrics
  curl -s ${url}/ca/ ${url}/readyz ${url}/metrics`)
}

/** Returns a path as one shell word, quoted only if necessary. */
function shellWord(path: string): string {
  return /^[\w./@%+=:,-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
}

async function waitForInterrupt(): Promise<void> {
  await new Promise<void>((resolvePromise) => {
    process.once('SIGINT', () => resolvePromise())
    process.once('SIGTERM', () => resolvePromise())
  })
}

await main()
