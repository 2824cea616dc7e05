import type { KoaContextWithOIDC } from 'oidc-provider'

/** The three pages of the device flow (RFC 8628 section 3.3). `form` comes from oidc-provider and has no button. */
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

function button(form: string): string {
  return `<button type="submit" form="${form}">Continue</button>`
}

function page(ctx: KoaContextWithOIDC, body: string): void {
  ctx.body = `<!doctype html><html lang="en"><title>Device</title><body>${body}</body></html>`
}
