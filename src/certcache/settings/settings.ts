/**
 * The settings schema of certcache: every key, its default and its meaning. The code uses the snake_case keys
 * unchanged.
 */
import { z } from 'zod'
import { requestedTokenType, requestSettings } from '../../config/provider-profile.ts'
import { isAcceptableUrl, providerEndpoints } from '../../config/provider-schema.ts'
import { tlsSettings } from '../../config/tls-schema.ts'
import { accessSettings, serverProblems, listenSettings } from './listen-settings.ts'
import { proxiesSettings } from './proxy-settings.ts'

const file = z.string().min(1).max(4096)
const secret = z.string().min(1).max(65_536)
const scope = z
  .string()
  .regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'must be a scope without spaces or quotes')
const serviceSettings = z.strictObject({
  url: z
    .string()
    .max(1024)
    .refine(isAcceptableUrl, {
      message: 'must be an https URL without query, fragment or user (http only on loopback)',
    })
    .default('http://127.0.0.1:8080')
    .describe('URL of the Token Translation Service.'),
  ca_file: file
    .optional()
    .describe(
      'PEM file of the only CAs that may issue the TLS certificate of the service. Default: all trusted CAs; see `tls`.',
    ),
  timeout_seconds: z
    .number()
    .min(0.1)
    .max(600)
    .default(60)
    .describe('Time limit for the service, which asks the identity provider first.'),
})

const sourceSettings = z.strictObject({
  kind: z
    .enum(['auto', 'delegation', 'refresh', 'token'])
    .default('auto')
    .describe(
      'How proxies are renewed. `delegation`: certcache sends the token to the service once, and the service renews from then on. `refresh`: certcache is a client of the identity provider and uses its own refresh token. `token`: another program renews the token, and certcache reads it each time. `auto`: the source that the state holds; otherwise `refresh` if client_id is set; otherwise `delegation`, or `token` if the service does not offer delegations.',
    ),
  token: secret.optional().describe('Access token to start with. Prefer `token_file`.'),
  token_file: file
    .optional()
    .describe(
      'File with the access token, read each time a token is needed. Default: WLCG bearer token discovery (BEARER_TOKEN, BEARER_TOKEN_FILE, $XDG_RUNTIME_DIR/bt_u$ID, /tmp/bt_u$ID).',
    ),
  delegation_id: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,128}$/)
    .optional()
    .describe('Id of an existing delegation.'),
  renewal_secret: secret
    .optional()
    .describe('Renewal secret of that delegation. Prefer `renewal_secret_file`.'),
  renewal_secret_file: file.optional().describe('File with the renewal secret.'),
  replace_delegation: z
    .boolean()
    .default(true)
    .describe(
      'Whether a new delegation ends the active ones of the same person and client with the same label, which names cluster, host, and state directory or database. Certcaches in containers with the same host name and state directory must differ in `state.cluster`, or set this to false.',
    ),
  issuer: z
    .string()
    .max(1024)
    .refine(isAcceptableUrl, {
      message: 'must be an https URL without query, fragment or user (http only on loopback)',
    })
    .optional()
    .describe('Issuer URL of the identity provider, for `refresh` and `certcache login`.'),
  client_id: z.string().min(1).max(1024).optional().describe('Client id at the identity provider.'),
  client_secret: secret.optional().describe('Client secret. Prefer `client_secret_file`.'),
  client_secret_file: file.optional().describe('File with the client secret.'),
  ...requestSettings,
  requested_token_type: requestedTokenType,
  endpoints: providerEndpoints
    .prefault({})
    .describe('Endpoints that replace those of the discovery document, or that it does not name.'),
  audience: z
    .string()
    .min(1)
    .max(1024)
    .optional()
    .describe('Audience of requested access tokens. The service must accept it.'),
  scopes: z
    .array(scope)
    .min(1)
    .max(50)
    .default(['openid', 'profile', 'offline_access'])
    .describe('Scopes requested at token exchange and login. Renewal needs offline_access.'),
  refresh_token: secret
    .optional()
    .describe(
      'Refresh token of the client, instead of a token exchange. Prefer `refresh_token_file`.',
    ),
  refresh_token_file: file.optional().describe('File with the refresh token.'),
  refresh_token_lifetime_days: z
    .number()
    .min(0.001)
    .max(3650)
    .default(30)
    .describe(
      'Lifetime of refresh tokens at the provider. Few providers announce it. Only used to predict the end of renewal.',
    ),
  timeout_seconds: z
    .number()
    .min(0.1)
    .max(600)
    .default(45)
    .describe(
      'Time limit for the identity provider. IAM needs up to 20 seconds under load, and a timeout can lose a rotated refresh token.',
    ),
})

const stateSettings = z.strictObject({
  directory: file
    .optional()
    .describe(
      'Directory of the state. Default: /var/lib/certcache for root, otherwise $XDG_STATE_HOME/certcache or ~/.local/state/certcache.',
    ),
  url: z
    .string()
    .regex(/^postgres(ql)?:\/\//, 'must begin with postgres:// or postgresql://')
    .optional()
    .describe(
      'Connection string of a PostgreSQL database, for several certcaches of one cluster. It may hold a password: prefer `url_file`.',
    ),
  url_file: file.optional().describe('File with the connection string.'),
  key_file: file
    .optional()
    .describe(
      'File with the key that encrypts the state, 32 bytes in base64. Default: DIRECTORY/state.key, created with a random key. With `url` all certcaches need the same key.',
    ),
  cluster: z
    .string()
    .regex(
      /^[A-Za-z0-9._-]{1,64}$/,
      'must consist of letters, digits, dots, underscores and hyphens',
    )
    .default('default')
    .describe('Name of the cluster. Certcaches with the same name share their state.'),
})

const renewalSettings = z
  .strictObject({
    renew_below: z
      .number()
      .min(0.05)
      .max(0.95)
      .default(0.667)
      .describe(
        'Renew when less than this fraction of the lifetime is left. With two thirds, a proxy of four days survives a weekend without the identity provider.',
      ),
    renew_after_seconds: z
      .int()
      .min(10)
      .max(34_560_000)
      .optional()
      .describe('Renew a proxy at this age, even if more of its lifetime is left. Default: never.'),
    jitter: z
      .number()
      .min(0)
      .max(0.5)
      .default(0.1)
      .describe(
        'Renewals are made earlier by up to this random fraction of the wait, so that they do not all come at the same time.',
      ),
    retry_first_seconds: z
      .number()
      .min(0.01)
      .max(3600)
      .default(5)
      .describe('Wait after the first failure. It doubles with each further failure.'),
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
      .describe('Warn when a proxy has less than this left. Pilots of glideinWMS need 12 hours.'),
  })
  .refine((renewal) => renewal.retry_longest_seconds >= renewal.retry_first_seconds, {
    message: 'must be at least retry_first_seconds',
    path: ['retry_longest_seconds'],
  })

/** The schema of certcache's settings. */
export const certcacheSchema = z
  .strictObject({
    service: serviceSettings.prefault({}).describe('The Token Translation Service.'),
    source: sourceSettings.prefault({}).describe('How proxies are renewed.'),
    tls: tlsSettings
      .prefault({})
      .describe(
        'Further CAs that are trusted for connections to the service, the identity provider and PostgreSQL.',
      ),
    state: stateSettings.prefault({}).describe('The encrypted state that survives restarts.'),
    proxies: proxiesSettings
      .prefault({ gwms_proxy: {} })
      .describe('The proxies, by name. /get_proxy serves the first one.'),
    renewal: renewalSettings.prefault({}).describe('When proxies are renewed.'),
    listen: listenSettings.prefault({}).describe('Where `certcache serve` listens.'),
    access: accessSettings.prefault({}).describe('Who may fetch proxies.'),
    trusted_group: z
      .int()
      .min(0)
      .optional()
      .describe(
        'Number of a group of this process whose members may read and change its private files. For Kubernetes volumes with fsGroup, which give all files to that group. Default: only the owner.',
      ),
    log_level: z
      .enum(['debug', 'info', 'warn', 'error', 'fatal', 'silent'])
      .default('info')
      .describe('Lowest level of logged messages.'),
  })
  .superRefine((settings, context) => {
    for (const problem of [
      ...serverProblems(settings.listen, settings.access),
      ...findConflicts(settings),
    ])
      context.addIssue({ code: 'custom', path: [...problem.path], message: problem.message })
  })

/** Checked settings. `load-settings.ts` makes paths absolute and reads secrets from their files. */
export type CertcacheSettings = z.output<typeof certcacheSchema>
export type SourceSettings = CertcacheSettings['source']
export type RenewalSettings = CertcacheSettings['renewal']

interface SourceAndState {
  readonly source: z.output<typeof sourceSettings>
  readonly state: z.output<typeof stateSettings>
}

function findConflicts({ source, state }: SourceAndState) {
  const problems: { readonly path: readonly string[]; readonly message: string }[] = []
  const addProblem = (path: string, message: string) =>
    void problems.push({ path: path.split('.'), message })
  if (source.kind === 'refresh' && source.client_id === undefined)
    addProblem('source.client_id', 'must be set for source.kind refresh')
  if (source.client_id !== undefined && source.issuer === undefined)
    addProblem('source.issuer', 'must be set with source.client_id')
  const hasSecret = (source.renewal_secret ?? source.renewal_secret_file) !== undefined
  if ((source.delegation_id !== undefined) !== hasSecret)
    addProblem('source.delegation_id', 'must be set together with renewal_secret_file')
  if ((state.url ?? state.url_file) !== undefined && state.key_file === undefined)
    addProblem(
      'state.key_file',
      'must be set with state.url: all certcaches of the cluster share this key (create it with: head -c 32 /dev/urandom | base64)',
    )
  return problems
}
