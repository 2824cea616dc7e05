/** `tts provider probe`: looks at an identity provider and prints settings that fit. */
import { Command } from 'commander'
import { stringify } from 'yaml'
import { isAcceptableUrl } from '../config/provider-schema.ts'
import { readSecret } from '../config/settings-tree.ts'
import { TtsError } from '../base/errors.ts'
import { discoverBearerToken, readTokenFile } from '../files/bearer-token.ts'
import { useNetwork } from '../network/network.ts'
import { shownValues } from '../tokens/claim-values.ts'
import { probeProvider, type ProbeResult } from '../tokens/probe.ts'
import { describeFailure } from '../tokens/refusals.ts'
import { waitSeconds } from './duration.ts'
import { facts, type Terminal } from './terminal.ts'

interface ProbeOptions {
  readonly json?: boolean
  readonly clientId?: string
  readonly clientSecretFile?: string
  readonly introspectionEndpoint?: string
  readonly token?: boolean
  readonly tokenFile?: string
  readonly timeout: number
}

export function providerCommand(terminal: Terminal): Command {
  const command = new Command('provider').description('look at identity providers')
  command
    .command('probe')
    .argument('<issuer>', 'URL of the issuer, as in the claim iss of its tokens')
    .description('look at a provider, and at a token of it, and print settings that fit')
    .option('--client-id <ID>', 'our client at the provider, to introspect the token')
    .option('--client-secret-file <FILE>', 'file with its secret')
    .option(
      '--introspection-endpoint <URL>',
      'introspection endpoint, if discovery names none (Ory Hydra: on the administration port)',
    )
    .option('--token', 'examine the access token found by bearer token discovery (BEARER_TOKEN, …)')
    .option('--token-file <FILE>', 'examine the access token in this file')
    .option('--timeout <SECONDS>', 'time limit for each request, in seconds', waitSeconds, 10)
    .addHelpText(
      'after',
      `
Reads the discovery document and the keys. With a token, it verifies the signature, asks UserInfo and (with a client
and its secret, or with --introspection-endpoint) introspection, and shows where the token has audience, groups and
scopes. The token is shown to this provider only, and never printed. No configuration file is needed.
HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR: see docs/network.md.

Exit codes: 0 settings were printed, 2 wrong usage, 3 the token is refused, 4 the provider cannot be reached.

Examples:
  tts provider probe https://iam.example.org/
  BEARER_TOKEN=eyJ… tts provider probe https://keycloak.example.org/realms/grid --token`,
    )
    .action((issuer: string, _options, self: Command) =>
      probe(terminal, issuer, self.optsWithGlobals()),
    )
  return command
}

async function probe(terminal: Terminal, issuer: string, options: ProbeOptions): Promise<void> {
  const { introspectionEndpoint } = options
  if (!isAcceptableUrl(issuer)) throw notAcceptable('issuer')
  if (introspectionEndpoint !== undefined && !isAcceptableUrl(introspectionEndpoint))
    throw notAcceptable('introspection endpoint')
  useNetwork({
    environment: terminal.environment,
    trustGridAuthorities: false,
    warn: (line) => terminal.note(`tts: warning: ${line}`),
  })
  const result = await probeProvider({
    issuer,
    clientId: options.clientId,
    introspectionEndpoint,
    clientSecret: await secretOf(options.clientSecretFile),
    token: await tokenOf(terminal, options),
    timeoutMs: options.timeout * 1000,
    now: terminal.now(),
  }).catch((error: unknown) => {
    if (error instanceof TtsError) throw error
    throw new TtsError('provider_unavailable', `${issuer}: ${describeFailure(error)}`, {
      remedy: `Open ${issuer.replace(/\/$/, '')}/.well-known/openid-configuration on this host.`,
    })
  })
  terminal.out(options.json ? `${JSON.stringify(result, null, 2)}\n` : format(result))
}

const notAcceptable = (name: string): TtsError =>
  new TtsError('configuration', `the ${name} is not an acceptable URL`, {
    check: name.replace(' ', '_'),
    remedy: 'Give an https URL without query, fragment or user (http only for this machine).',
  })

async function secretOf(path: string | undefined): Promise<string | undefined> {
  return path === undefined ? undefined : readSecret('--client-secret-file', path)
}

async function tokenOf(
  terminal: Terminal,
  { token, tokenFile }: ProbeOptions,
): Promise<string | undefined> {
  if (tokenFile !== undefined) return readTokenFile(tokenFile)
  return token ? (await discoverBearerToken(terminal)).token : undefined
}

/** Formats the result for people: what was found, the settings, and what remains to be decided. */
function format(result: ProbeResult): string {
  const { profile, endpoints, algorithms, token, remarks } = result
  const rows: [string, string][] = [
    ['issuer', result.issuer],
    ['looks like', profile === 'generic' ? 'no product that is known here' : profile],
    ...Object.entries(endpoints),
    ['signs with', algorithms.join(', ') || 'its keys cannot be read'],
  ]
  if (token !== undefined) {
    const { groups } = token
    rows.push(
      ['token', `${token.format === 'jwt' ? 'a JWT' : 'opaque'}, ${token.kind}`],
      ['of a', token.owner === 'unclear' ? 'user or a client' : token.owner],
      ['audience', shownValues(token.audiences)],
      ['scopes', shownValues(token.scopes)],
      ...Object.entries(groups).map(([name, values]): [string, string] => [
        name,
        shownValues(values),
      ]),
    )
  }
  return [
    // Discovery documents and claims come from outside: nothing in them may steer the terminal.
    facts(rows.map(([label, value]) => [shownValues([label]), shownValues([value])])),
    '\nSettings that fit. Replace the audience by the URL of your service',
    Object.keys(token?.groups ?? {}).length === 0 ? ':\n\n' : ', and choose your own rule:\n\n',
    stringify(configurationOf(result), { lineWidth: 0 }),
    ...(remarks.length === 0 ? [] : ['\nTo do:\n', ...remarks.map((remark) => `- ${remark}\n`)]),
  ].join('')
}

/** Returns the configuration. It has a rule only if there are groups: nobody may be allowed by mistake. */
function configurationOf({ profile, settings, token }: ProbeResult): object {
  const id = profile === 'generic' ? 'provider' : profile
  const providers = { [id]: { ...settings, audiences: ['https://tts.example.org'] } }
  const [group] = Object.entries(token?.groups ?? {})
  if (group === undefined) return { providers }
  const [claim, [value]] = group
  const rule = { provider: id, claims: { [claim]: { contains: value } } }
  return { providers, services: { proxy: { authz: { allow: [rule] } } } }
}
