import { z } from 'zod'

/** Settings of the WaTTS REST API. */
export const wattsSettings = z.strictObject({
  credential_timeout_seconds: z
    .int()
    .min(1)
    .max(600)
    .default(10)
    .describe(
      'Time that a credential is stored, encrypted, until the client picks it up at the redirect URL, in seconds.',
    ),
  allow_dropping_credentials: z
    .boolean()
    .default(false)
    .describe(
      'True: users may delete credentials of a plugin whose service is no longer configured; the plugin is not notified. X.509 and SSH certificates can always be deleted, because their revocation needs no plugin.',
    ),
})

export type WattsSettings = z.output<typeof wattsSettings>
