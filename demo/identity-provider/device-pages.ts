import type { KoaContextWithOIDC, Provider } from 'oidc-provider'
import type { ProviderState } from './state.ts'

/** The three pages of the device flow (RFC 8628 section 3.3). The `form` of oidc-provider has no button. */
export const devicePages = {
  userCodeInputSource: (ctx: KoaContextWithOIDC, form: string): void =>
    page(
      ctx,
      `<p>Enter the code that your device shows.</p>${form}${button('op.deviceInputForm')}`,
    ),
  userCodeConfirmSource: (
    ctx: KoaContextWithOIDC,
    form: string,
    ...[, , userCode]: [client: unknown, device: unknown, userCode: string]
  ): void =>
    page(ctx, `<p>Does your device show ${userCode}?</p>${form}${button('op.deviceConfirmForm')}`),
  successSource: (ctx: KoaContextWithOIDC): void =>
    page(ctx, '<p>Success: go back to your device.</p>'),
}

/** Adds `interval` to device authorization answers (RFC 8628 section 3.2), which oidc-provider does not. */
export function installDeviceInterval(provider: Provider, state: ProviderState): void {
  provider.use(async (ctx: KoaContextWithOIDC, next) => {
    await next()
    const { deviceIntervalSeconds: interval } = state.tokens
    if (ctx.path !== '/devicecode' || ctx.status !== 200 || interval === undefined) return
    ctx.body = { ...(ctx.body as Record<string, unknown>), interval }
  })
}

function button(form: string): string {
  return `<button type="submit" form="${form}">Continue</button>`
}

function page(ctx: KoaContextWithOIDC, body: string): void {
  ctx.body = `<!doctype html><html lang="en"><title>Device</title><body>${body}</body></html>`
}
