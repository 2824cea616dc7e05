/** Every key in the schema of WaTTS (latest and earlier versions), and its conversion. */

/** The conversion of a key. `$id` and similar words match any word, `$n` a number. */
export interface WattsKey {
  readonly key: string
  /** Key in the new configuration; undefined if the setting is not converted. */
  readonly becomes?: string
  /** The reason, the replacement, or the difference. */
  readonly note?: string
}

/** Returns the conversion of a key; undefined if WaTTS does not have it. */
export function findWattsKey(words: readonly string[]): WattsKey | undefined {
  return wattsKeys.find(({ key }) => {
    const pattern = key.split('.')
    return (
      pattern.length === words.length &&
      pattern.every((part, index) => fits(part, words[index] ?? ''))
    )
  })
}

const fits = (part: string, word: string): boolean =>
  part === '$n' ? /^\d+$/.test(word) : part.startsWith('$') || part === word

const erlang = 'a setting of the Erlang runtime; no replacement is needed'
const records =
  'the database of WaTTS is not read: revoke its credentials there; this service stores its data in data_dir, or in PostgreSQL with store.url'
const mail =
  'this service sends no mail: the log has errors with their remedy, and /metrics counts them for alerts'
const rate =
  'requests above the limits are refused immediately, for each address separately: limits.requests_per_second_per_address, limits.requests_in_flight'
const relyingRate =
  'each relying service has a separate rate, above which it is refused immediately: relying_services.ID.requests_per_second'
const ownKeys = 'keys and secrets of the service are random and stored in data_dir'
const docs =
  'the documentation pages of WaTTS do not exist; put a link into the description of a service'
const login = 'always on: state, nonce, PKCE and a cookie bind the login to the browser'
const session =
  'web sessions have separate limits: web.session_idle_seconds, web.session_maximum_seconds'
const environment = 'ignored by WaTTS too; plugins read standard input'
const renamed = (to: string): string =>
  `an old name of ${to}: use the new name, and run this command again`
const sshKey = 'executable.connection.identity_file names a private key without a passphrase'

const serverKeys: readonly WattsKey[] = [
  { key: 'hostname', becomes: 'listen.public_url' },
  { key: 'port', becomes: 'listen.public_url' },
  { key: 'listen_port', becomes: 'listen.port' },
  { key: 'ssl', becomes: 'listen.public_url' },
  { key: 'enable_ipv6', becomes: 'listen.host' },
  {
    key: 'main_path',
    becomes: 'listen.public_url',
    note: 'a reverse proxy must remove the path',
  },
  { key: 'cert_file', becomes: 'listen.tls_certificate_file' },
  { key: 'key_file', becomes: 'listen.tls_key_file' },
  {
    key: 'cachain_file',
    note: 'listen.tls_certificate_file must contain certificate and chain: combine both files',
  },
  {
    key: 'dh_file',
    note: 'the service offers only elliptic curves, no finite-field Diffie-Hellman',
  },
  {
    key: 'redirection.enable',
    note: 'the service does not redirect http; a reverse proxy can. listen.plain serves CRLs, health and metrics over http',
  },
  { key: 'redirection.listen_port', note: 'see redirection.enable' },
  { key: 'web_acceptors', note: 'the event loop accepts connections' },
  { key: 'web_parallel_conns', note: rate },
  { key: 'web_connection_rate', note: rate },
  { key: 'web_queue_max_wait', note: rate },
  { key: 'rsp_connection_rate', note: relyingRate },
  { key: 'rsp_queue_max_wait', note: relyingRate },
  { key: 'web_background_image', note: 'the web pages have their own design' },
  { key: 'allow_insecure_plugins', becomes: 'services.ID.executable.allow_insecure_plugins' },
  { key: 'session_timeout', note: session },
  { key: 'session_max_duration', note: session },
  { key: 'database_type', note: records },
  { key: 'sqlite_file', note: records },
  { key: 'mnesia_dir', note: records },
  { key: 'eleveldb_dir', note: records },
  { key: 'secret_dir', note: ownKeys },
  { key: 'jwt_key_rotation_interval', note: ownKeys },
  { key: 'jwt_key_bits', note: ownKeys },
  {
    key: 'allow_dropping_credentials',
    note: 'watts.allow_dropping_credentials does the same for credentials that this service issued',
  },
  { key: 'privacy_doc', note: docs },
  { key: 'enable_user_doc', note: docs },
  { key: 'enable_code_doc', note: docs },
  { key: 'enable_rsp', note: 'relying services are enabled when they are configured' },
  {
    key: 'max_provider_wait',
    note: 'providers are discovered in the background; the start does not wait for them',
  },
  { key: 'admin_mail', note: mail },
  ...[
    'enable',
    'on_plugin_error',
    'name',
    'address',
    'user',
    'password',
    'relay',
    'no_mx_lookups',
    'port',
    'ssl',
    'tls',
  ].map((word) => ({ key: `email.${word}`, note: mail })),
  { key: 'debug_mode', becomes: 'log.level' },
  { key: 'log_dir', note: 'the log goes to standard output; systemd or the container keeps it' },
  {
    key: 'syslog_facility',
    note: 'the log goes to standard output; systemd or the container keeps it',
  },
  { key: 'max_error_msg_per_sec', note: 'the log is not throttled here' },
  ...['nodename', 'distributed_cookie', 'erlang.smp', 'erlang.mode', 'start_timer'].map((key) => ({
    key,
    note: erlang,
  })),
  { key: 'watts.start_time', note: erlang },
  { key: 'watts_config_dir', note: 'the directory of the configuration of WaTTS' },
]

const oidcKeys: readonly WattsKey[] = [
  {
    key: 'oidc.cacertfile',
    note: 'the service trusts the CAs of Node; name others in tls.ca_file',
  },
  { key: 'oidc.cert_depth', note: 'certificate chains of any length are verified' },
  { key: 'oidc.cache_duration', becomes: 'providers.ID.introspection_cache_seconds' },
  { key: 'oidc.cache_clean', note: 'the cache removes old entries by itself' },
  { key: 'oidc.request_timeout', becomes: 'providers.ID.timeout_seconds' },
  {
    key: 'oidc.retrieve_userinfo',
    note: 'providers.ID.userinfo is set to `always`, as in WaTTS for tokens over REST',
  },
  { key: 'oidc.use_cookie', note: login },
  { key: 'oidc.check_user_agent', note: login },
  { key: 'oidc.check_peer_ip', note: login },
  { key: 'oidc.add_cookies', note: login },
  { key: 'oidc.support_none_algorithm', note: 'unsigned tokens are always refused' },
]

const providerKeys: readonly WattsKey[] = [
  { key: 'openid.$id.description', becomes: 'providers.ID.description' },
  { key: 'openid.$id.client_id', becomes: 'providers.ID.client_id' },
  { key: 'openid.$id.client_secret', becomes: 'providers.ID.client_secret_file' },
  {
    key: 'openid.$id.client_secret_key',
    note: 'there is no password daemon: put the secret into a file of mode 0600, and set providers.ID.client_secret_file to it',
  },
  { key: 'openid.$id.config_endpoint', becomes: 'providers.ID.issuer' },
  { key: 'openid.$id.request_scopes', becomes: 'providers.ID.login.scopes' },
  { key: 'openid.$id.disable_login', becomes: 'providers.ID.login.enabled' },
  { key: 'openid.$id.idphint', becomes: 'providers.ID.login.parameters' },
]

const rspKeys: readonly WattsKey[] = [
  { key: 'rsp.$id.keys_location', becomes: 'relying_services.ID.keys_location' },
  { key: 'rsp.$id.base_url', becomes: 'relying_services.ID.base_url' },
  { key: 'rsp.$id.show_ui', becomes: 'relying_services.ID.show_ui' },
  { key: 'rsp.$id.perform_login', becomes: 'relying_services.ID.perform_login' },
]

const serviceKeys: readonly WattsKey[] = [
  { key: 'service.$id.description', becomes: 'services.ID.description' },
  { key: 'service.$id.display_prio', becomes: 'services.ID.priority' },
  { key: 'service.$id.cmd', becomes: 'services.ID.executable.command' },
  { key: 'service.$id.cmd_env_use', note: environment },
  { key: 'service.$id.cmd_env_var', note: environment },
  { key: 'service.$id.credential_limit', becomes: 'services.ID.credential_limit' },
  { key: 'service.$id.parallel_runner', becomes: 'services.ID.executable.parallel_runner' },
  { key: 'service.$id.allow_same_state', becomes: 'services.ID.executable.allow_same_state' },
  { key: 'service.$id.plugin_timeout', becomes: 'services.ID.executable.timeout_seconds' },
  { key: 'service.$id.pass_access_token', becomes: 'services.ID.executable.pass_access_token' },
  { key: 'service.$id.connection.type', becomes: 'services.ID.executable.connection.type' },
  { key: 'service.$id.connection.user', becomes: 'services.ID.executable.connection.user' },
  { key: 'service.$id.connection.password', note: `ssh passwords are not supported: ${sshKey}` },
  { key: 'service.$id.connection.host', becomes: 'services.ID.executable.connection.host' },
  { key: 'service.$id.connection.port', becomes: 'services.ID.executable.connection.port' },
  {
    key: 'service.$id.connection.ssh_dir',
    becomes: 'services.ID.executable.connection.identity_file',
  },
  {
    key: 'service.$id.connection.ssh_key_pass',
    note: `ssh passphrases are not supported: ${sshKey} (ssh-keygen -p removes the passphrase)`,
  },
  { key: 'service.$id.plugin.$key', becomes: 'services.ID.executable.conf_params' },
  { key: 'service.$id.mail_on_error_to', note: mail },
  { key: 'service.$id.authz.hide', becomes: 'services.ID.authz.hide' },
  { key: 'service.$id.authz.tooltip', becomes: 'services.ID.authz.tooltip' },
  {
    key: 'service.$id.authz.allow.$provider.$oidckey.$operation',
    becomes: 'services.ID.authz.allow',
  },
  {
    key: 'service.$id.authz.forbid.$provider.$oidckey.$operation',
    becomes: 'services.ID.authz.forbid',
  },
  // Some configurations number the rules; WaTTS then tries them in that order.
  {
    key: 'service.$id.authz.allow.$n.$provider.$oidckey.$operation',
    becomes: 'services.ID.authz.allow',
  },
  {
    key: 'service.$id.authz.forbid.$n.$provider.$oidckey.$operation',
    becomes: 'services.ID.authz.forbid',
  },
]

/** Keys of earlier versions, and keys that only the manual of WaTTS has. */
const formerKeys: readonly WattsKey[] = [
  { key: 'ca_cert_file', note: renamed('cachain_file') },
  { key: 'enable_docs', note: docs },
  { key: 'docs_path', note: docs },
  { key: 'enable_direct_endpoint', note: renamed('enable_rsp') },
  { key: 'email.server', note: mail },
  { key: 'admin_email', note: mail },
  { key: 'enable_user_docs', note: docs },
  { key: 'enable_code_docs', note: docs },
  { key: 'erlang.cookie', note: erlang },
  { key: 'erlang.name', note: erlang },
  { key: 'oidc_ssl.cacertfile', note: renamed('oidc.cacertfile') },
  { key: 'oidc_ssl.cert_depth', note: renamed('oidc.cert_depth') },
  { key: 'rsp.$id.disable_login', note: renamed('rsp.ID.perform_login, and its opposite') },
  { key: 'rsp.$id.disable_ui', note: renamed('rsp.ID.show_ui, and its opposite') },
  { key: 'rsp.$id.return_to_referer', note: 'the relying service names its pages in the request' },
  { key: 'rsp.$id.return_url', note: 'the relying service names its pages in the request' },
  { key: 'service.$id.env_use', note: environment },
  { key: 'service.$id.env_var', note: environment },
  {
    key: 'service.$id.email_on_error_to',
    note: `the handbook's name of mail_on_error_to, which WaTTS did not know: ${mail}`,
  },
]

export const wattsKeys: readonly WattsKey[] = [
  ...serverKeys,
  ...oidcKeys,
  ...providerKeys,
  ...rspKeys,
  ...serviceKeys,
  ...formerKeys,
]
