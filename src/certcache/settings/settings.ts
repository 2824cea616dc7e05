/** The settings of certcache: every key, its default and what it means. Keys are snake_case and reach the code as they are. */
import { z } from 'zod'
import { isAcceptableUrl } from '../../config/provider-schema.ts'
import { accessSettings, serverProblems, listenSettings } from './listen-settings.ts'
import { proxiesSettings } from './proxy-settings.ts'

const file = z.string().min(1).max(4096)
const secret = z.string().min(1).max(65_536)
const scope = z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'must be a scope without blanks')
const serviceSettings = z.strictObject({
  url: z
    .string()
    .max(1024)
    .refine(isAcceptableUrl, {
      message: 'must be an https URL without query, fragment or user (http only for this machine)',
    })
    .default('http://127.0.0.1:8080')
    .describe('URL of the Token Translation Service.'),
  ca_file: file
    .optional()
    .describe("CAs in PEM that the service's TLS certificate may be from. Default: the system's."),
  timeout_seconds: z
    .number()
    .min(0.1)
    .max(600)
    .default(60)
    .describe('How long the service may take; it asks the identity provider first.'),
})

const sourceSettings = z.strictObject({
  kind: z
    .enum(['auto', 'delegation', 'refresh', 'token'])
    .default('auto')
    .describe(
      'Where the right to renew comes from. `delegation`: the token is shown once to the service, which renews from then on. `refresh`: certcache is a client of the identity provider and refreshes by itself. `token`: somebody else renews the token, which is read every time. `auto`: what the state holds; else `refresh` when there is a client_id; else `delegation`, or `token` where the service makes none.',
    ),
  token: secret.optional().describe('Access token to start from. Better given as a file.'),
  token_file: file
    .optional()
    .describe(
      'File with the access token, read each time one is needed. Default: WLCG bearer token discovery (BEARER_TOKEN, BEARER_TOKEN_FILE, $XDG_RUNTIME_DIR/bt_u$ID, /tmp/bt_u$ID).',
    ),
  delegation_id: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,128}$/)
    .optional()
    .describe('Id of a delegation that was made before.'),
  renewal_secret: secret
    .optional()
    .describe('Renewal secret of that delegation. Better given as a file.'),
  renewal_secret_file: file.optional().describe('File with the renewal secret.'),
  issuer: z
    .string()
    .max(1024)
    .refine(isAcceptableUrl, {
      message: 'must be an https URL without query, fragment or user (http only for this machine)',
    })
    .optional()
    .describe('Issuer URL of the identity provider, for `refresh` and `certcache login`.'),
  client_id: z.string().min(1).max(1024).optional().describe('Our client at that provider.'),
  client_secret: secret.optional().describe('Secret of our client. Better given as a file.'),
  client_secret_file: file.optional().describe('File with the secret of our client.'),
  audience: z
    .string()
    .min(1)
    .max(1024)
    .optional()
    .describe('Audience of the access tokens that are asked for: what the service accepts.'),
  scopes: z
    .array(scope)
    .min(1)
    .max(50)
    .default(['openid', 'profile', 'offline_access'])
    .describe('Scopes asked for at token exchange and login. offline_access brings renewal.'),
  refresh_token: secret
    .optional()
    .describe('Refresh token of our client, in place of an exchange. Better given as a file.'),
  refresh_token_file: file.optional().describe('File with the refresh token.'),
  refresh_token_lifetime_days: z
    .number()
    .min(0.001)
    .max(3650)
    .default(30)
    .describe('Life of refresh tokens at the provider, which few tell: for the forecast only.'),
  timeout_seconds: z
    .number()
    .min(0.1)
    .max(600)
    .default(45)
    .describe(
      'How long the identity provider may take. IAM needs up to 20 seconds under load, and an answer that is not waited for loses a rotated refresh token.',
    ),
})

const stateSettings = z.strictObject({
  directory: file
    .optional()
    .describe(
      'Directory of what is kept. Default: /var/lib/certcache for root, else $XDG_STATE_HOME/certcache or ~/.local/state/certcache.',
    ),
  url: z
    .string()
    .regex(/^postgres(ql)?:\/\//, 'must begin with postgres:// or postgresql://')
    .optional()
    .describe(
      'Connection string of a PostgreSQL database, for several certcaches of one cluster. Secret: it may hold a password.',
    ),
  url_file: file.optional().describe('File with the connection string.'),
  key_file: file
    .optional()
    .describe(
      'Key that the state is encrypted under, 32 bytes in base64. Default: DIRECTORY/state.key, made at random. With `url` all certcaches need the same.',
    ),
  cluster: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,64}$/, 'must consist of letters, digits, dots, underscores, hyphens')
    .default('default')
    .describe('Name of the cluster: certcaches of one name share one record in the state.'),
})

const renewalSettings = z
  .strictObject({
    renew_below: z
      .number()
      .min(0.05)
      .max(0.95)
      .default(0.667)
      .describe(
        'Renew once less than this part of the life is left. Two thirds: a weekend without the identity provider is survived.',
      ),
    renew_after_seconds: z
      .int()
      .min(10)
      .max(34_560_000)
      .optional()
      .describe('Renew a proxy of this age, though more of its life may be left. Default: never.'),
    jitter: z
      .number()
      .min(0)
      .max(0.5)
      .default(0.1)
      .describe('Renewals come up to this part of the wait earlier, so that not all come at once.'),
    retry_first_seconds: z
      .number()
      .min(0.01)
      .max(3600)
      .default(5)
      .describe('Wait after the first failure; it doubles with each further one.'),
    retry_longest_seconds: z
      .number()
      .min(0.01)
      .max(86_400)
      .default(900)
      .describe('Longest wait between two attempts.'),
    warn_below_seconds: z
      .int()
      .min(0)
      .max(34_560_000)
      .default(43_200)
      .describe('Warn when less than this is left of a proxy. Pilots of glideinWMS want 12 hours.'),
  })
  .refine((renewal) => renewal.retry_longest_seconds >= renewal.retry_first_seconds, {
    message: 'must be at least retry_first_seconds',
    path: ['retry_longest_seconds'],
  })

/** The whole of certcache's configuration. */
export const certcacheSchema = z
  .strictObject({
    service: serviceSettings.prefault({}).describe('The Token Translation Service.'),
    source: sourceSettings.prefault({}).describe('Where the right to renew comes from.'),
    state: stateSettings.prefault({}).describe('What is kept over restarts, encrypted.'),
    proxies: proxiesSettings
      .prefault({ gwms_proxy: {} })
      .describe('The proxies that are kept, by name. The first is what /get_proxy gives.'),
    renewal: renewalSettings.prefault({}).describe('When proxies are renewed.'),
    listen: listenSettings.prefault({}).describe('Where `certcache serve` listens.'),
    access: accessSettings.prefault({}).describe('Who may fetch proxies.'),
    log_level: z
      .enum(['debug', 'info', 'warn', 'error', 'fatal', 'silent'])
      .default('info')
      .describe('How much is logged.'),
  })
  .superRefine((settings, context) => {
    for (const problem of [
      ...serverProblems(settings.listen, settings.access),
      ...togetherProblems(settings),
    ])
      context.addIssue({ code: 'custom', path: [...problem.path], message: problem.message })
  })

/** Checked settings; paths are made absolute and secrets read from their files by `load-settings.ts`. */
export type CertcacheSettings = z.output<typeof certcacheSchema>
export type SourceSettings = CertcacheSettings['source']
export type RenewalSettings = CertcacheSettings['renewal']

interface Together {
  readonly source: z.output<typeof sourceSettings>
  readonly state: z.output<typeof stateSettings>
}

function togetherProblems({ source, state }: Together) {
  const problems: { readonly path: readonly string[]; readonly message: string }[] = []
  const complain = (path: string, message: string) =>
    void problems.push({ path: path.split('.'), message })
  if (source.kind === 'refresh' && source.client_id === undefined)
    complain('source.client_id', 'needs our client at the identity provider, for kind refresh')
  if (source.client_id !== undefined && source.issuer === undefined)
    complain('source.issuer', 'needs the issuer that the client_id belongs to')
  const hasSecret = (source.renewal_secret ?? source.renewal_secret_file) !== undefined
  if ((source.delegation_id !== undefined) !== hasSecret)
    complain('source.delegation_id', 'delegation_id and renewal_secret_file must both be set')
  if ((state.url ?? state.url_file) !== undefined && state.key_file === undefined)
    complain(
      'state.key_file',
      'needs the file of the key that all certcaches of the cluster share (head -c 32 /dev/urandom | base64)',
    )
  return problems
}
