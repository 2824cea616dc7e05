import type { Provider } from 'oidc-provider'

/** IAM deletes a refresh token that another client shows. */
export function installRefreshRules(provider: Provider): void {
  provider.on('grant.error', (ctx) => {
    const { params, client } = ctx.oidc
    const value = params?.['refresh_token']
    if (params?.['grant_type'] !== 'refresh_token' || typeof value !== 'string') return
    void provider.RefreshToken.find(value).then(async (token) => {
      if (token !== undefined && token.clientId !== client?.clientId) await token.destroy()
    })
  })
}
