/** Settings of delegations: the renewal at each provider, and the limits of this service. */
import { z } from 'zod'
import { requestedTokenType } from './provider-profile.ts'

const days = (least: number, most: number) => z.number().min(least).max(most)
const scope = z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'must be a scope without spaces')

/** `providers.<id>.delegation`: enables delegations for users of the provider. */
export const providerDelegationSettings = z.strictObject({
  client_id: z
    .string()
    .min(1)
    .optional()
    .describe(
      "OAuth client of this service for token exchange and refresh. Default: the provider's `client_id`. It must not be the client with which users log in.",
    ),
  client_secret: z.string().min(1).optional().describe('Secret of that client. Prefer the file.'),
  client_secret_file: z.string().min(1).optional().describe('File with the secret of that client.'),
  scopes: z
    .array(scope)
    .min(1)
    .default(['openid', 'profile', 'offline_access'])
    .describe(
      'Scopes to request at token exchange. Without offline_access there is no refresh token. The other scopes must satisfy the rules of the services.',
    ),
  audience: z
    .string()
    .min(1)
    .max(1024)
    .optional()
    .describe(
      'Audience to request at token exchange and refresh. Default: the first of `audiences`, so that this service accepts the tokens.',
    ),
  requested_token_type: requestedTokenType,
  refresh_token_lifetime_days: days(0.01, 3650)
    .default(30)
    .describe(
      'Lifetime of refresh tokens at the provider, in days. Used to forecast the end of a delegation, because few providers report it.',
    ),
  timeout_seconds: z
    .number()
    .min(0.05)
    .max(300)
    .default(45)
    .describe(
      'Time limit for a token exchange or refresh, in seconds. INDIGO IAM takes up to 20 seconds under load; if the service gives up too early, a rotated refresh token is lost.',
    ),
})

/** A list of arguments, because no shell parses the command. */
const command = z.array(z.string().min(1).max(4096)).min(1).max(64)

const noticeSettings = z.strictObject({
  days_before: days(0.01, 365).default(5).describe('Days between the notice and the expected end.'),
  command: command
    .optional()
    .describe(
      'Command to run, as a list of arguments, without a shell. It gets the notice as JSON on standard input.',
    ),
  webhook_url: z
    .string()
    .refine(isWebhook, { message: 'must be an https URL (http only for loopback addresses)' })
    .optional()
    .describe('URL to which the notice is posted as JSON. It is treated as a secret.'),
  webhook_url_file: z.string().min(1).optional().describe('File with that URL.'),
})

/** Top level `delegations`. */
export const delegationsSettings = z.strictObject({
  maximum_per_identity: z
    .int()
    .min(1)
    .max(10_000)
    .default(20)
    .describe('Maximum number of active delegations of one identity.'),
  maximum_days: days(0.01, 3650)
    .default(365)
    .describe('Maximum lifetime of a delegation, even if the provider would renew longer.'),
  notice: noticeSettings
    .prefault({})
    .describe(
      'Notice before a delegation ends, sent once. Without command and URL there is no notice.',
    ),
  renewal_by_possession: z
    .strictObject({
      enabled: z
        .boolean()
        .default(false)
        .describe(
          'Give the holder of a valid proxy from this service a new one without a token. The provider is not contacted, so a suspended account goes unnoticed.',
        ),
      maximum_days: days(0.01, 365)
        .default(30)
        .describe(
          'Maximum time from the original token to the expiry of the last successor, in days.',
        ),
    })
    .prefault({})
    .describe('Renewal with a valid proxy instead of a token.'),
})

/** Returns whether a URL is acceptable for the webhook. Unlike the URL of a provider it may have a query. */
export function isWebhook(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, hostname, username, password } = new URL(text)
  if (username !== '' || password !== '') return false
  const loopback = /^(localhost|\[::1\]|127\.\d+\.\d+\.\d+)$/.test(hostname)
  return protocol === 'https:' || (protocol === 'http:' && loopback)
}
