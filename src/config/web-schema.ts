import { z } from 'zod'
import { rulesSettings } from './rules-schema.ts'

/** Settings of the web pages (configuration section `web`). */
export const webSettings = z.strictObject({
  enabled: z.boolean().default(true).describe('False: there are no web pages and no login.'),
  title: z
    .string()
    .min(1)
    .max(80)
    .default('Token Translation Service')
    .describe('Name of this service on the pages.'),
  contact: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe('Contact for users, shown in the footer of each page and with refusals.'),
  session_idle_seconds: z
    .int()
    .min(60)
    .max(86_400)
    .default(900)
    .describe('A session ends after this time without a request, in seconds.'),
  session_maximum_seconds: z
    .int()
    .min(60)
    .max(86_400)
    .default(1800)
    .describe(
      'Maximum lifetime of a session, in seconds. Without a refresh token, a session also ends when its access token expires.',
    ),
  sessions_per_identity: z
    .int()
    .min(1)
    .max(1000)
    .default(10)
    .describe('Maximum number of sessions of one identity; a further session ends the oldest.'),
  operators: rulesSettings
    .prefault({})
    .describe(
      'Rules about who may see the page with the latest audit records, like those of services. Without allow rules, nobody may.',
    ),
})

/** Valid settings of the web pages. */
export type WebSettings = z.output<typeof webSettings>

/** Settings of browser login at a provider (`providers.<id>.login`). */
export const providerLoginSettings = z.strictObject({
  enabled: z
    .boolean()
    .default(true)
    .describe('False: no browser login with this provider; its tokens are still accepted.'),
  scopes: z
    .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'must be a scope without spaces'))
    .default(['openid', 'profile'])
    .describe('Scopes to request at login; openid is always requested.'),
})
