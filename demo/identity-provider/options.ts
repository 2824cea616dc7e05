import type { DemoUser } from './users.ts'

/** The token profiles of INDIGO IAM that this provider can imitate. */
export type TokenProfile = 'iam' | 'wlcg' | 'kc' | 'aarc'

/**
 * The format of tokens. The object is live: a test may change a field between two requests, like an administrator who
 * changes the settings of an IAM.
 */
export interface TokenSettings {
  /** Claims of access tokens. Default `iam`: neither scope nor groups. */
  profile: TokenProfile
  /** Default `jwt`; `opaque` tokens need introspection. */
  format: 'jwt' | 'opaque'
  /** IAM_ACCESS_TOKEN_INCLUDE_SCOPE. Default false. */
  includeScope: boolean
  /** IAM_ACCESS_TOKEN_INCLUDE_NBF. Default false. */
  includeNbf: boolean
  /** IAM_ACCESS_TOKEN_INCLUDE_AUTHN_INFO: names, email and groups. Default false. */
  includeAuthnInfo: boolean
  /** Form of `aud` in JWTs. Default `string` if there is one audience; `array` is always a list. */
  audienceForm: 'string' | 'array'
  /** Whether `iss` in tokens ends in the slash that the discovery document has. Default true. */
  issuerSlash: boolean
  /** Header `typ` of access tokens and ID tokens. Default undefined: no `typ`, as in IAM. */
  typ: string | undefined
  /** Lifetime of access tokens in seconds. Default 3600. */
  lifetimeSeconds: number
  /** Lifetime of refresh tokens in seconds. Default 2,592,000 (30 days). */
  refreshLifetimeSeconds: number
  /**
   * IAM's client setting "Reuse refresh token". Default false: every refresh gives a new one, which is the harder
   * case. At IAM it is off for clients that an administrator creates, and on for those that register themselves.
   */
  reuseRefreshToken: boolean
  /** Time that a rotated refresh token stays valid. Default 0, as in IAM; the WLCG profile recommends one day. */
  rotationGraceSeconds: number
  /** Whether a refresh that does not rotate repeats the refresh token in its answer. Default true. */
  repeatRefreshToken: boolean
  /** Result of offline_access at token exchange: a refresh token (default), a refusal (Keycloak), or nothing. */
  offlineAccessByExchange: 'given' | 'refused' | 'ignored'
  /**
   * Where a suspended user is refused: `at_refresh` only (default, as IAM 1.8 to 1.12: introspection says active,
   * UserInfo answers, and exchange works), or `everywhere`, as at other providers.
   */
  suspension: 'at_refresh' | 'everywhere'
  /** `interval` of the device flow in seconds. Default undefined: the answer has none, which means 5. */
  deviceIntervalSeconds: number | undefined
  /** Format of introspection answers: that of IAM 1.12 (default) or the newer one with arrays. */
  introspection: 'iam-1.12' | 'iam-2026'
}

/** Options of `startIdentityProvider`. */
export interface IdentityProviderOptions {
  /** Port on 127.0.0.1. Default 0: any free port. */
  readonly port?: number
  /** Users of the provider. Default `demoUsers`. */
  readonly users?: readonly DemoUser[]
  /** Initial token settings. */
  readonly tokens?: Partial<TokenSettings>
  /** Further redirect URIs of the service's client, for a service behind a reverse proxy. Default none. */
  readonly redirectUris?: readonly string[]
}

/** Returns the default token settings of an IAM, with `changes`. */
export function tokenSettings(changes: Partial<TokenSettings> = {}): TokenSettings {
  return {
    profile: 'iam',
    format: 'jwt',
    includeScope: false,
    includeNbf: false,
    includeAuthnInfo: false,
    audienceForm: 'string',
    issuerSlash: true,
    typ: undefined,
    lifetimeSeconds: 3600,
    refreshLifetimeSeconds: 30 * 24 * 3600,
    reuseRefreshToken: false,
    rotationGraceSeconds: 0,
    repeatRefreshToken: true,
    offlineAccessByExchange: 'given',
    suspension: 'at_refresh',
    deviceIntervalSeconds: undefined,
    introspection: 'iam-1.12',
    ...changes,
  }
}
