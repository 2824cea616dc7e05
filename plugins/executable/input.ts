/** Encodes the input of a WaTTS plugin: a JSON object as base64url without padding. */
import type { PluginCaller } from '../plugin.ts'

/** The actions of a plugin. */
export type PluginAction = 'parameter' | 'request' | 'revoke'

/** The version of the protocol that watts-plugin-tester supports. */
export const WATTS_VERSION = '1.0.0'

/** Claims about the token, not about its user. WaTTS does not pass them to plugins either. */
const TOKEN_CLAIMS: ReadonlySet<string> = new Set(
  'aud exp nbf iat jti azp kid auth_time at_hash c_hash'.split(' '),
)

/** The input of a request or a revocation. */
export interface PluginInput {
  readonly caller: PluginCaller
  readonly confParams: Readonly<Record<string, boolean | string>>
  readonly params: Readonly<Record<string, unknown>>
  /** State of the credential to revoke. */
  readonly credState: string | undefined
  /** Whether to include access tokens. */
  readonly passAccessToken: boolean
}

/** Returns the input of `parameter`, base64url. */
export function encodeParameterInput(): string {
  return encode({ watts_version: WATTS_VERSION, action: 'parameter', cred_state: 'undefined' })
}

/** Returns the input of `request` or `revoke`, base64url. */
export function encodeInput(action: 'request' | 'revoke', input: PluginInput): string {
  const { caller, confParams, params, credState, passAccessToken } = input
  return encode({
    watts_version: WATTS_VERSION,
    action,
    // WaTTS sends this word when there is no state, and plugins may check for it.
    cred_state: credState ?? 'undefined',
    conf_params: confParams,
    params,
    watts_userid: wattsUserId(caller),
    user_info: userInfo(caller),
    additional_logins: caller.additionalLogins.map((login) => ({
      user_info: userInfo(login),
      ...accessToken(login.accessToken, passAccessToken),
    })),
    ...accessToken(caller.accessToken, passAccessToken),
  })
}

/**
 * Returns the user id of the WaTTS protocol. Plugins store it, so it has the bytes that WaTTS made: base64url without
 * padding of a JSON object as its library, jsone 1.4, writes it.
 */
export function wattsUserId({
  publishedIssuer,
  sub,
}: Pick<PluginCaller, 'publishedIssuer' | 'sub'>): string {
  const json = `{"issuer":${jsoneText(publishedIssuer)},"subject":${jsoneText(sub)}}`
  return Buffer.from(json, 'utf8').toString('base64url')
}

/** Formats a JSON string like jsone 1.4: in ASCII, with lower-case hexadecimal digits and an escaped slash. */
function jsoneText(text: string): string {
  return JSON.stringify(text)
    .replaceAll('/', '\\/')
    .replaceAll(
      /[\u0080-\uffff]/g,
      (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
    )
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value), 'utf8').toString('base64url')
}

function accessToken(token: string | undefined, pass: boolean): { access_token?: string } {
  return pass && token !== undefined ? { access_token: token } : {}
}

function userInfo(user: Pick<PluginCaller, 'publishedIssuer' | 'sub' | 'claims'>): object {
  const claims = Object.entries(user.claims).filter(([name]) => !TOKEN_CLAIMS.has(name))
  // The verified issuer and subject override those in UserInfo.
  return {
    ...Object.fromEntries(claims),
    ...scopes(user.claims['scope']),
    iss: user.publishedIssuer,
    sub: user.sub,
  }
}

function scopes(scope: unknown): object {
  if (typeof scope === 'string')
    return { scope, scope_list: scope.split(' ').filter((each) => each !== '') }
  if (Array.isArray(scope)) return { scope: scope.join(' '), scope_list: scope as unknown[] }
  return {}
}
