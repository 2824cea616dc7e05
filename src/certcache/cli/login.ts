/**
 * `certcache login`: a user logs in once, with a device code or a browser on this machine; certcache renews from then
 * on.
 */
import { randomUUID } from 'node:crypto'
import { Command, InvalidArgumentError } from 'commander'
import { TtsError } from '../../base/errors.ts'
import { printable } from '../../base/printable.ts'
import type { Granted } from '../../grants/grant.ts'
import type { LoadedCertcacheSettings } from '../settings/load-settings.ts'
import { encodeState } from '../state/state-records.ts'
import { formatDuration, secondsUntil } from '../../base/duration.ts'
import { listenForRedirect } from './loopback-redirect.ts'
import type { OwnClientSettings } from '../sources/own-client.ts'
import { type SettingsOptions, settingsFor, type CliRuntime } from './runtime.ts'

export function loginCommand(runtime: CliRuntime): Command {
  return new Command('login')
    .description(
      'log in with a browser to obtain a refresh token, if there is no access token to start with',
    )
    .option('--browser', 'use a browser on this machine instead of a device code')
    .option(
      '--redirect-port <PORT>',
      'port of 127.0.0.1 for the redirect of the browser (default: a free port)',
      port,
      0,
    )
    .option('--state <DIRECTORY>', 'directory of the state (default: state.directory)')
    .addHelpText(
      'after',
      `
Prints a URL and a code. Open the URL on any device and enter the code. The refresh token is then stored encrypted in
the state, where a running certcache finds it within seconds. This needs a client at the identity provider:
source.issuer and source.client_id (IAM_CLIENT_ID), and for most providers source.client_secret_file.

Use --browser if the provider does not allow device codes for the client: it prints a URL for a browser on this machine
and waits for the redirect. Register the redirect URI http://127.0.0.1/callback, or, if the provider compares ports
(IAM), http://127.0.0.1:PORT/callback with --redirect-port PORT. From another machine: ssh -L PORT:127.0.0.1:PORT.

Exit codes: 0 logged in, 2 settings are missing, 3 refused, timed out, or no refresh token granted, 4 try again later.

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

/** Long enough to read and accept a policy of the provider during the login. */
const BROWSER_SECONDS = 600

function port(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text)
  throw new InvalidArgumentError('must be a port number')
}

async function login(runtime: CliRuntime, options: LoginOptions): Promise<void> {
  const { settings } = await settingsFor(runtime, options)
  const source = loginSource(settings)
  const stop = new AbortController()
  runtime.onStop(() => stop.abort())
  const request = { runtime, settings, source, signal: stop.signal }
  const granted = options.browser
    ? await loginByBrowser(request, options.redirectPort)
    : await loginByDevice(request)
  await storeLogin(runtime, settings, { source, granted })
  runtime.out('Logged in. certcache renews the proxies from now on; see `certcache status`.\n')
}

interface LoginRequest {
  readonly runtime: CliRuntime
  readonly settings: LoadedCertcacheSettings
  readonly source: OwnClientSettings
  readonly signal: AbortSignal
}

async function loginByDevice({
  runtime,
  settings,
  source,
  signal,
}: LoginRequest): Promise<Granted> {
  const client = runtime.grantClient(source)
  const { audience, scopes } = settings.source
  const device = await client.startDevice({ audience, scopes, signal })
  const within = formatDuration(secondsUntil(device.expiresAt, runtime.clock.now()))
  const complete = device.verificationUriComplete
  runtime.out(
    `Open   ${printable(device.verificationUri)}\nand enter   ${printable(device.userCode)}\n` +
      (complete === undefined ? '' : `or open   ${printable(complete)}\n`) +
      `Waiting for ${within}; Ctrl-C cancels.\n`,
  )
  return device.wait(signal)
}

async function loginByBrowser(
  { runtime, settings, source, signal }: LoginRequest,
  redirectPort: number,
): Promise<Granted> {
  const redirect = await listenForRedirect(redirectPort)
  try {
    const { redirectUri } = redirect
    const { audience, scopes } = settings.source
    const request = { audience, scopes, signal, redirectUri }
    const codeLogin = await runtime.startCodeLogin(source, request)
    runtime.out(
      `Open in a browser on this machine   ${codeLogin.url}\n` +
        `Waiting for ${formatDuration(BROWSER_SECONDS)} at ${redirectUri}; Ctrl-C cancels.\n`,
    )
    const end = AbortSignal.any([signal, AbortSignal.timeout(BROWSER_SECONDS * 1000)])
    const redirectedTo = await redirect.wait(codeLogin.state, end).catch(() => {
      throw new TtsError('grant_refused', 'the browser login timed out or was cancelled', {
        check: 'login_expired',
        remedy: `Start again. Register the redirect URI ${redirectUri} at the provider if it is not known there.`,
      })
    })
    return await codeLogin.complete(redirectedTo, signal)
  } finally {
    await redirect.close()
  }
}

function loginSource({ source }: LoadedCertcacheSettings): OwnClientSettings {
  const { issuer, client_id } = source
  if (issuer !== undefined && client_id !== undefined) return { ...source, issuer, client_id }
  throw new TtsError(
    'configuration',
    'source.issuer and source.client_id: must be set for a login',
    {
      remedy:
        'Set both (or PROXY_IAM_ENDPOINT and IAM_CLIENT_ID) to a client at the identity provider. With an access token, `certcache serve` needs neither.',
    },
  )
}

/** Leaves the login in the state, where the renewing certcache picks it up after a renewal in progress. */
async function storeLogin(
  runtime: CliRuntime,
  { state }: LoadedCertcacheSettings,
  { source, granted }: { readonly source: OwnClientSettings; readonly granted: Granted },
): Promise<void> {
  if (granted.refreshToken === undefined)
    throw new TtsError('grant_refused', 'the identity provider did not grant a refresh token', {
      check: 'offline_access_refused',
      remedy:
        'Allow the scope offline_access for this client at the provider, and include it in source.scopes.',
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
