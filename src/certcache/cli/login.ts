/** `certcache login`: a person agrees with a code on another device, once; from then on nobody has to. */
import { randomUUID } from 'node:crypto'
import { Command } from 'commander'
import { TtsError } from '../../errors.ts'
import type { Granted } from '../../grants/grant.ts'
import type { LoadedCertcacheSettings } from '../settings/load-settings.ts'
import { encodeState } from '../state/state-records.ts'
import { inWords, secondsUntil } from '../words.ts'
import {
  type LoginSource,
  type SettingsOptions,
  settingsFor,
  type Surroundings,
} from './surroundings.ts'

export function loginCommand(surroundings: Surroundings): Command {
  return new Command('login')
    .description('get the right to renew by a login in a browser, where no token is at hand')
    .option('--state <DIRECTORY>', 'where the state is kept; else state.directory')
    .addHelpText(
      'after',
      `
Prints a URL and a code, and waits until somebody has opened the one and typed the other, on any device. The refresh
token then lies encrypted in the state, where a running certcache finds it within seconds. Needs a client of our own at
the identity provider: source.issuer and source.client_id (IAM_CLIENT_ID), and mostly source.client_secret_file.

Exit codes: 0 logged in, 2 settings are missing, 3 refused, too late, or without the right to renew, 4 try again later.

Examples:
  certcache login
  CERTCACHE_SOURCE__ISSUER=https://iam.example.org/ CERTCACHE_SOURCE__CLIENT_ID=certcache \\
    CERTCACHE_SOURCE__CLIENT_SECRET_FILE=/run/secrets/client certcache login`,
    )
    .action((_options, self: Command) => login(surroundings, self.optsWithGlobals()))
}

async function login(surroundings: Surroundings, options: SettingsOptions): Promise<void> {
  const { settings } = await settingsFor(surroundings, options)
  const source = loginSource(settings)
  const client = surroundings.grantClient(source)
  const { audience, scopes } = settings.source
  const stop = new AbortController()
  surroundings.onStop(() => stop.abort())
  const device = await client.startDevice({ audience, scopes, signal: stop.signal })
  const within = inWords(secondsUntil(device.expiresAt, surroundings.clock.now()))
  surroundings.out(
    `Open   ${device.verificationUri}\nand type   ${device.userCode}\n` +
      (device.verificationUriComplete === undefined
        ? ''
        : `or open   ${device.verificationUriComplete}\n`) +
      `Waiting for ${within}; Ctrl-C gives up.\n`,
  )
  const granted = await device.wait(stop.signal)
  await keep(surroundings, settings, { source, granted })
  surroundings.out('Logged in. certcache renews by itself from now on; see `certcache status`.\n')
}

function loginSource({ source }: LoadedCertcacheSettings): LoginSource {
  const { issuer, client_id, client_secret, timeout_seconds } = source
  if (issuer !== undefined && client_id !== undefined)
    return { issuer, client_id, client_secret, timeout_seconds }
  throw new TtsError('configuration', 'login needs our own client at the identity provider', {
    remedy:
      'set source.issuer and source.client_id (or PROXY_IAM_ENDPOINT and IAM_CLIENT_ID); `certcache serve` needs neither where it has a token',
  })
}

/** Whoever renews takes it over from there; a renewal under way is not disturbed. */
async function keep(
  surroundings: Surroundings,
  { state }: LoadedCertcacheSettings,
  { source, granted }: { readonly source: LoginSource; readonly granted: Granted },
): Promise<void> {
  if (granted.refreshToken === undefined)
    throw new TtsError('grant_refused', 'the identity provider gave no refresh token', {
      check: 'offline_access_refused',
      remedy: 'allow the scope offline_access for this client, and keep it in source.scopes',
    })
  const store = await surroundings.openState(state, surroundings.uid)
  try {
    const { accessToken, expiresAt, refreshExpiresAt } = granted
    const content = encodeState('incoming', {
      id: randomUUID(),
      issuer: source.issuer,
      client_id: source.client_id,
      refresh_token: granted.refreshToken,
      granted_at: surroundings.clock.now(),
      ...(refreshExpiresAt ? { refresh_expires_at: refreshExpiresAt } : {}),
      ...(expiresAt ? { access: { token: accessToken, expires_at: expiresAt } } : {}),
    })
    await store.deposit(content)
  } finally {
    await store.close()
  }
}
