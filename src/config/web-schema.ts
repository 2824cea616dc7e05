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
  show_access_token: z
    .boolean()
    .default(false)
    .describe(
      'True: users can see issuer, subject and access token of their login, as in WaTTS. Anybody who sees the token can act as the user.',
    ),
  operators: rulesSettings
    .prefault({})
    .describe(
      'Rules about who may see the page with the latest audit records and ban users there, like those of services. Without allow rules, nobody may.',
    ),
})

/** Valid settings of the web pages. */
export type WebSettings = z.output<typeof webSettings>

/** Parameters of an authorization request on which the security of a login depends. */
const PROTOCOL_PARAMETERS = [
  'audience',
  'client_id',
  'code_challenge',
  'code_challenge_method',
  'nonce',
  'redirect_uri',
  'request',
  'request_uri',
  'resource',
  'response_mode',
  'response_type',
  'scope',
  'state',
]

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
  redirect_path: z
    .enum(['/login/callback', '/oidc'])
    .default('/login/callback')
    .describe(
      'Path of the redirect URI that the client is registered with at the provider. `/oidc` is that of WaTTS.',
    ),
  parameters: z
    .record(
      z
        .string()
        .regex(/^[A-Za-z0-9_.-]{1,64}$/, 'must consist of letters, digits, `_`, `-` and dots')
        .refine((name) => !PROTOCOL_PARAMETERS.includes(name), {
          message: 'must not be a parameter that this service sets itself',
        }),
      z.string().min(1).max(512).describe('Value of one parameter.'),
    )
    .default({})
    .describe(
      'Further parameters of the authorization request, for example `{idphint: …}`, which names the home institution at some providers (`kc_idp_hint` at Keycloak).',
    ),
})
