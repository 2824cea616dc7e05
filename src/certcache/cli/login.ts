/** `certcache login`: a person agrees, with a code on any device or in a browser here, once; from then on nobody has to. */
import { randomUUID } from 'node:crypto'
import { Command, InvalidArgumentError } from 'commander'
import { TtsError } from '../../base/errors.ts'
import type { Granted } from '../../grants/grant.ts'
import type { LoadedCertcacheSettings } from '../settings/load-settings.ts'
import { encodeState } from '../state/state-records.ts'
import { errorInWords, secondsUntil } from '../words.ts'
import { listenForRedirect } from './loopback-redirect.ts'
import { type LoginSource, type SettingsOptions, settingsFor, type CliRuntime } from './runtime.ts'

export function loginCommand(runtime: CliRuntime): Command {
  return new Command('login')
    .description('get the right to renew by a login in a browser, where no token is at hand')
    .option('--browser', 'by a browser on this machine, in place of a code for any device')
    .option(
      '--redirect-port <PORT>',
      'port of 127.0.0.1 that the browser comes back to; else a free one',
      port,
      0,
    )
    .option('--state <DIRECTORY>', 'where the state is kept; else state.directory')
    .addHelpText(
      'after',
      `
Prints a URL and a code, and waits until somebody has opened the one and typed the other, on any device. The refresh
token then lies encrypted in the state, where a running certcache finds it within seconds. Needs a client of our own at
the identity provider: source.issuer and source.client_id (IAM_CLIENT_ID), and mostly source.client_secret_file.

With --browser it prints a URL for a browser on this machine, and waits for its return: for providers that give our client
no device code. The client needs the redirect URI http://127.0.0.1/callback, or http://127.0.0.1:PORT/callback with
--redirect-port PORT where the provider compares ports too (IAM). From elsewhere: ssh -L PORT:127.0.0.1:PORT.

Exit codes: 0 logged in, 2 settings are missing, 3 refused, too late, or without the right to renew, 4 try again later.

Examples:
  certcache login
  certcache login --browser --redirect-port 8250
  CERTCACHE_SOURCE__ISSUER=https://iam.example.org/ CERTCACHE_SOURCE__CLIENT_ID=certcache \\
    CERTCACHE_SOURCE__CLIENT_SECRET_FILE=/run/secrets/client certcache login`,
    )
    .action((_options, self: Command) => login(runtime, self.optsWithGlobals()))
}

interface LoginOptions extends SettingsOptions {
  readonly browser?: boolean
  readonly redirectPort: number
}

/** For whoever signs a policy on the way. */
const BROWSER_SECONDS = 600

function port(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text)
  throw new InvalidArgumentError('must be a port')
}

async function login(runtime: CliRuntime, options: LoginOptions): Promise<void> {
  const { settings } = await settingsFor(runtime, options)
  const source = loginSource(settings)
  const stop = new AbortController()
  runtime.onStop(() => stop.abort())
  const asking = { runtime, settings, source, signal: stop.signal }
  const granted = options.browser
    ? await byBrowser(asking, options.redirectPort)
    : await byDevice(asking)
  await keep(runtime, settings, { source, granted })
  runtime.out('Logged in. certcache renews by itself from now on; see `certcache status`.\n')
}

interface Asking {
  readonly runtime: CliRuntime
  readonly settings: LoadedCertcacheSettings
  readonly source: LoginSource
  readonly signal: AbortSignal
}

async function byDevice({ runtime, settings, source, signal }: Asking): Promise<Granted> {
  const client = runtime.grantClient(source)
  const { audience, scopes } = settings.source
  const device = await client.startDevice({ audience, scopes, signal })
  const within = errorInWords(secondsUntil(device.expiresAt, runtime.clock.now()))
  runtime.out(
    `Open   ${device.verificationUri}\nand type   ${device.userCode}\n` +
      (device.verificationUriComplete === undefined
        ? ''
        : `or open   ${device.verificationUriComplete}\n`) +
      `Waiting for ${within}; Ctrl-C gives up.\n`,
  )
  return device.wait(signal)
}

async function byBrowser(
  { runtime, settings, source, signal }: Asking,
  redirectPort: number,
): Promise<Granted> {
  const redirect = await listenForRedirect(redirectPort)
  try {
    const { redirectUri } = redirect
    const { audience, scopes } = settings.source
    const request = { audience, scopes, signal, redirectUri }
    const begun = await runtime.startCodeLogin(source, request)
    runtime.out(
      `Open in a browser on this machine   ${begun.url}\n` +
        `Waiting for ${errorInWords(BROWSER_SECONDS)} at ${redirectUri}; Ctrl-C gives up.\n`,
    )
    const end = AbortSignal.any([signal, AbortSignal.timeout(BROWSER_SECONDS * 1000)])
    const returned = await redirect.wait(begun.state, end).catch(() => {
      throw new TtsError('grant_refused', 'nobody came back from the login in the browser', {
        check: 'login_expired',
        remedy: `Start the login again. The redirect URI ${redirectUri} must be registered at the provider.`,
      })
    })
    return await begun.complete(returned, signal)
  } finally {
    await redirect.close()
  }
}

function loginSource({ source }: LoadedCertcacheSettings): LoginSource {
  const { issuer, client_id, client_secret, timeout_seconds } = source
  if (issuer !== undefined && client_id !== undefined)
    return { issuer, client_id, client_secret, timeout_seconds }
  throw new TtsError('configuration', 'login needs our own client at the identity provider', {
    remedy:
      'Set source.issuer and source.client_id (or PROXY_IAM_ENDPOINT and IAM_CLIENT_ID). `certcache serve` needs neither when it has a token.',
  })
}

/** Whoever renews takes it over from there; a renewal under way is not disturbed. */
async function keep(
  runtime: CliRuntime,
  { state }: LoadedCertcacheSettings,
  { source, granted }: { readonly source: LoginSource; readonly granted: Granted },
): Promise<void> {
  if (granted.refreshToken === undefined)
    throw new TtsError('grant_refused', 'the identity provider gave no refresh token', {
      check: 'offline_access_refused',
      remedy:
        'Allow the scope offline_access for this client at the provider, and keep it in source.scopes.',
    })
  const store = await runtime.openState(state, runtime.uid)
  try {
    const { accessToken, expiresAt, refreshExpiresAt } = granted
    const content = encodeState('incoming', {
      id: randomUUID(),
      issuer: source.issuer,
      client_id: source.client_id,
      refresh_token: granted.refreshToken,
      granted_at: runtime.clock.now(),
      ...(refreshExpiresAt ? { refresh_expires_at: refreshExpiresAt } : {}),
      ...(expiresAt ? { access: { token: accessToken, expires_at: expiresAt } } : {}),
    })
    await store.deposit(content)
  } finally {
    await store.close()
  }
}
