/** What a WaTTS plugin receives: a JSON object, as base64url without padding. */
import type { PluginCaller } from '../plugin.ts'

/** The three things that a plugin can be asked to do. */
export type PluginAction = 'parameter' | 'request' | 'revoke'

/** The version of the protocol; watts-plugin-tester knows this one. */
export const WATTS_VERSION = '1.0.0'

/** Claims about a token rather than about its person; WaTTS keeps them to itself. */
const TOKEN_CLAIMS: ReadonlySet<string> = new Set(
  'aud exp nbf iat jti azp kid auth_time at_hash c_hash'.split(' '),
)

/** What a run is for. */
export interface PluginInput {
  readonly caller: PluginCaller
  readonly confParams: Readonly<Record<string, boolean | string>>
  readonly params: Readonly<Record<string, unknown>>
  /** Of the credential to revoke. */
  readonly credState: string | undefined
  /** Whether access tokens are in it. */
  readonly passAccessToken: boolean
}

/** The input of `parameter`, base64url. */
export function encodeParameterInput(): string {
  return encode({ watts_version: WATTS_VERSION, action: 'parameter', cred_state: 'undefined' })
}

/** The input of `request` and `revoke`, base64url. */
export function encodeInput(action: 'request' | 'revoke', input: PluginInput): string {
  const { caller, confParams, params, credState, passAccessToken } = input
  return encode({
    watts_version: WATTS_VERSION,
    action,
    // WaTTS writes the word where there is none, and plugins may look for it.
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

/** The id by which WaTTS plugins know a person. */
export function wattsUserId({ issuer, sub }: Pick<PluginCaller, 'issuer' | 'sub'>): string {
  return encode({ issuer, subject: sub })
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value), 'utf8').toString('base64url')
}

function accessToken(token: string | undefined, pass: boolean): { access_token?: string } {
  return pass && token !== undefined ? { access_token: token } : {}
}

function userInfo(person: Pick<PluginCaller, 'issuer' | 'sub' | 'claims'>): object {
  const claims = Object.entries(person.claims).filter(([name]) => !TOKEN_CLAIMS.has(name))
  // Issuer and subject are what was verified, whatever stands in UserInfo.
  return {
    ...Object.fromEntries(claims),
    ...scopes(person.claims['scope']),
    iss: person.issuer,
    sub: person.sub,
  }
}

function scopes(scope: unknown): object {
  if (typeof scope === 'string')
    return { scope, scope_list: scope.split(' ').filter((each) => each !== '') }
  if (Array.isArray(scope)) return { scope: scope.join(' '), scope_list: scope as unknown[] }
  return {}
}
