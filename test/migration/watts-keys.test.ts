import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { findWattsKey, wattsKeys } from '../../src/migration/watts-keys.ts'

/** Every key that the schema of the last WaTTS maps. */
const schema = `
  watts.start_time watts_config_dir max_provider_wait hostname port web_acceptors web_parallel_conns web_connection_rate
  web_queue_max_wait web_background_image rsp_connection_rate rsp_queue_max_wait enable_ipv6 listen_port ssl cachain_file
  cert_file key_file dh_file allow_insecure_plugins session_timeout session_max_duration database_type mnesia_dir eleveldb_dir
  sqlite_file secret_dir jwt_key_rotation_interval jwt_key_bits redirection.enable redirection.listen_port main_path
  allow_dropping_credentials privacy_doc enable_user_doc enable_code_doc enable_rsp nodename admin_mail email.enable
  email.on_plugin_error email.name email.address email.user email.password email.relay email.no_mx_lookups email.port email.ssl
  email.tls distributed_cookie erlang.smp erlang.mode
  max_error_msg_per_sec log_dir debug_mode syslog_facility oidc.retrieve_userinfo oidc.use_cookie oidc.check_user_agent
  oidc.check_peer_ip oidc.support_none_algorithm oidc.add_cookies oidc.cache_duration oidc.cache_clean oidc.request_timeout
  oidc.cacertfile oidc.cert_depth start_timer
  openid.$id.description openid.$id.client_id openid.$id.client_secret openid.$id.client_secret_key openid.$id.config_endpoint
  openid.$id.request_scopes openid.$id.disable_login openid.$id.idphint
  rsp.$id.keys_location rsp.$id.show_ui rsp.$id.perform_login rsp.$id.base_url
  service.$id.description service.$id.display_prio service.$id.cmd service.$id.cmd_env_use service.$id.cmd_env_var
  service.$id.credential_limit service.$id.parallel_runner service.$id.allow_same_state service.$id.plugin_timeout
  service.$id.pass_access_token service.$id.connection.type service.$id.connection.user service.$id.connection.password
  service.$id.connection.host service.$id.connection.port service.$id.connection.ssh_dir service.$id.connection.ssh_key_pass
  service.$id.plugin.$key service.$id.mail_on_error_to service.$id.authz.hide service.$id.authz.tooltip
  service.$id.authz.allow.$provider.$oidckey.$operation service.$id.authz.forbid.$provider.$oidckey.$operation`
  .trim()
  .split(/\s+/)

/** Those of earlier versions. */
const former = `
  ca_cert_file docs_path enable_docs enable_direct_endpoint email.server erlang.cookie erlang.name oidc_ssl.cacertfile
  oidc_ssl.cert_depth rsp.$id.disable_login rsp.$id.disable_ui rsp.$id.return_to_referer rsp.$id.return_url
  service.$id.env_use service.$id.env_var`
  .trim()
  .split(/\s+/)

describe('the table', () => {
  test.for([...schema, ...former])('has %s, and what becomes of it', (key) => {
    const row = wattsKeys.find((each) => each.key === key)
    expect(row).toBeDefined()
    expect(row?.becomes ?? row?.note).toMatch(/\w{3}/)
    expect(findWattsKey(key.replaceAll('$', '').split('.'))).toBe(row)
  })

  test('has no key twice', () => {
    expect(new Set(wattsKeys.map(({ key }) => key)).size).toBe(wattsKeys.length)
  })

  test('knows no others', () => {
    expect(findWattsKey(['hostnames'])).toBeUndefined()
    expect(findWattsKey(['service', 'a'])).toBeUndefined()
    expect(
      findWattsKey(['service', 'a', 'authz', 'allow', 'iam', 'realm', 'access', 'roles', 'any']),
    ).toBeUndefined()
  })

  test('docs/migration.md tells each', () => {
    const text = readFileSync(new URL('../../docs/migration.md', import.meta.url), 'utf8')
    const told = new Set([...text.matchAll(/`([\w.$]+)`/g)].map(([, key]) => key))
    for (const key of schema.filter((each) => !/^(watts|erlang|start_timer)/.test(each)))
      expect(told, key).toContain(key.replace(/^(openid|rsp|service)\.\$id\./, '$1.$id.'))
  })
})
