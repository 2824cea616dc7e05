/** Settings of delegations: what each provider lets us renew with, and the bounds that we set ourselves. */
import { z } from 'zod'

const days = (least: number, most: number) => z.number().min(least).max(most)
const scope = z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'must be a scope without blanks')

/** `providers.<id>.delegation`: with it the service makes delegations for users of the provider. */
export const providerDelegationSettings = z.strictObject({
  client_id: z
    .string()
    .min(1)
    .optional()
    .describe(
      "Our client for token exchange and refresh. Default: the provider's `client_id`. It must not be the client that users log in with.",
    ),
  client_secret: z
    .string()
    .min(1)
    .optional()
    .describe('Secret of that client. Better given as a file.'),
  client_secret_file: z.string().min(1).optional().describe('File with the secret of that client.'),
  scopes: z
    .array(scope)
    .min(1)
    .default(['openid', 'profile', 'offline_access'])
    .describe(
      'Scopes asked for at token exchange. Without offline_access there is no refresh token; the others must be enough for the rules of the services.',
    ),
  audience: z
    .string()
    .min(1)
    .max(1024)
    .optional()
    .describe(
      'Audience asked for at token exchange and refresh. Default: the first of `audiences`, so that the tokens are accepted here.',
    ),
  refresh_token_lifetime_days: days(0.01, 3650)
    .default(30)
    .describe(
      'Life of refresh tokens at the provider, for the forecast of the end: few providers tell it.',
    ),
  timeout_seconds: z
    .number()
    .min(0.05)
    .max(300)
    .default(45)
    .describe(
      'Deadline of a token exchange or refresh. INDIGO IAM takes up to 20 seconds under load, and with an answer that is not waited for a rotated refresh token is lost.',
    ),
})

/** Each argument is one word of the command: no shell reads it. */
const command = z.array(z.string().min(1).max(4096)).min(1).max(64)

const noticeSettings = z.strictObject({
  days_before: days(0.01, 365)
    .default(5)
    .describe('How long before the forecast end the notice is given.'),
  command: command
    .optional()
    .describe(
      'Command that is run, as a list of words, without a shell; the facts come as JSON on its standard input.',
    ),
  webhook_url: z
    .string()
    .refine(isWebhook, { message: 'must be an https URL (http only for this machine)' })
    .optional()
    .describe('URL that the facts are posted to as JSON. Secret when the URL itself is.'),
  webhook_url_file: z.string().min(1).optional().describe('File with that URL.'),
})

/** Top level `delegations`. */
export const delegationsSettings = z.strictObject({
  maximum_per_identity: z
    .int()
    .min(1)
    .max(10_000)
    .default(20)
    .describe('Active delegations that one identity may have.'),
  maximum_days: days(0.01, 3650)
    .default(365)
    .describe('Longest life of a delegation, however long the provider would renew.'),
  notice: noticeSettings
    .prefault({})
    .describe(
      'Who is notified, once, before a delegation ends. With neither command nor URL: nobody.',
    ),
  renewal_by_possession: z
    .strictObject({
      enabled: z
        .boolean()
        .default(false)
        .describe(
          'Let the holder of a proxy of ours have its successor without a token. The provider is not asked: a suspended account is not noticed.',
        ),
      maximum_days: days(0.01, 365)
        .default(30)
        .describe('How long after the token such proxies may live, all successors included.'),
    })
    .prefault({})
    .describe('Renewal by a proxy that is still valid.'),
})

/** A URL of its own may be secret and have a query, unlike a provider's. */
export function isWebhook(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, hostname, username, password } = new URL(text)
  if (username !== '' || password !== '') return false
  const loopback = /^(localhost|\[::1\]|127\.\d+\.\d+\.\d+)$/.test(hostname)
  return protocol === 'https:' || (protocol === 'http:' && loopback)
}
