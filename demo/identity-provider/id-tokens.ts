import { randomUUID, sign } from 'node:crypto'
import { promisify } from 'node:util'
import { decodeJwt } from 'jose'
import type { KoaContextWithOIDC, Provider } from 'oidc-provider'
import type { ProviderState } from './state.ts'

const signAsync = promisify(sign)

/** The replaced method of oidc-provider's ID tokens, which is not in its types. */
interface IdTokenClass {
  readonly prototype: {
    issue: (this: IssuedIdToken, options: { readonly use: string }) => Promise<string>
  }
}
interface IssuedIdToken {
  readonly ctx: KoaContextWithOIDC
}

/**
 * Gives ID tokens the shape of IAM 1.12: signed with the key of the access tokens, and with `jti`, `kid` and groups;
 * only those of a browser login have `amr`. So little but `client_id` distinguishes them from access tokens.
 */
export function installIdTokenFormat(provider: Provider, state: ProviderState): void {
  const tokenClass = provider.IdToken as unknown as IdTokenClass
  const original = tokenClass.prototype.issue
  tokenClass.prototype.issue = async function issue(options) {
    const value = await original.call(this, options)
    if (options.use !== 'idtoken') return value
    const claims = decodeJwt(value)
    const user = state.users.bySub(claims.sub)
    const { current } = state.keys
    const { typ } = state.tokens
    const header = { kid: current.kid, alg: 'RS256', ...(typ !== undefined && { typ }) }
    const input = `${encode(header)}.${encode({
      ...claims,
      jti: randomUUID(),
      kid: current.kid,
      ...(this.ctx.oidc.entities.AuthorizationCode !== undefined && { amr: ['pwd'] }),
      ...(user !== undefined && {
        preferred_username: user.username,
        name: user.name,
        organisation_name: 'demo',
        groups: user.groups,
      }),
    })}`
    const signature = await signAsync('sha256', Buffer.from(input), current.privateKey)
    return `${input}.${signature.toString('base64url')}`
  }
}

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
