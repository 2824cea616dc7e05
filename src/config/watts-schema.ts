import { z } from 'zod'

/** Settings of the WaTTS REST API. */
export const wattsSettings = z.strictObject({
  credential_timeout_seconds: z
    .int()
    .min(1)
    .max(600)
    .default(10)
    .describe(
      'How long a credential waits, encrypted, to be picked up at the address that the request was redirected to.',
    ),
  allow_dropping_credentials: z
    .boolean()
    .default(false)
    .describe(
      'True: credentials of a plugin whose service is no more configured can be deleted, which the plugin is not told. X.509 and SSH certificates can be deleted in any case: revoking them needs no plugin.',
    ),
})

export type WattsSettings = z.output<typeof wattsSettings>
