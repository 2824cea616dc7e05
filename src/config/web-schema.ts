import { z } from 'zod'
import { rulesSettings } from './rules-schema.ts'

/** Settings of the web page (configuration section `web`). */
export const webSettings = z.strictObject({
  enabled: z.boolean().default(true).describe('False: there is no web page and no login.'),
  title: z
    .string()
    .min(1)
    .max(80)
    .default('Token Translation Service')
    .describe('What the page calls this service.'),
  contact: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe('Whom people can ask: shown at the foot of each page and beside refusals.'),
  session_idle_seconds: z
    .int()
    .min(60)
    .max(86_400)
    .default(900)
    .describe('A session ends when nothing was asked in it for this long.'),
  session_maximum_seconds: z
    .int()
    .min(60)
    .max(86_400)
    .default(1800)
    .describe(
      'A session ends after this in any case, and no later than its access token unless the provider gave a refresh token.',
    ),
  sessions_per_identity: z
    .int()
    .min(1)
    .max(1000)
    .default(10)
    .describe('Sessions that one identity may have; one more ends the oldest.'),
  operators: rulesSettings
    .prefault({})
    .describe(
      'Who sees the page of what was issued and refused last: rules like those of services. With no allow rule: nobody.',
    ),
})

/** Checked settings of the web page. */
export type WebSettings = z.output<typeof webSettings>

/** How people log in at a provider with a browser (`providers.<id>.login`). */
export const providerLoginSettings = z.strictObject({
  enabled: z
    .boolean()
    .default(true)
    .describe('False: nobody logs in with a browser at this provider; its tokens are taken.'),
  scopes: z
    .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'must be a scope without blanks'))
    .default(['openid', 'profile'])
    .describe('Scopes asked for at login; openid is asked for in any case.'),
})
