import { z } from 'zod'
import { aliasPattern } from '../../ca/subject-naming.ts'
import { isAcceptableUrl } from './provider-schema.ts'

const seconds = (least: number, most: number) => z.number().int().min(least).max(most)

const keysLocation = z
  .string()
  .max(1024)
  .refine((text) => isFileUrl(text) || isAcceptableUrl(text.split('?', 1)[0] ?? ''), {
    message:
      'must be an https URL, or file:///… with an absolute path (http only for loopback addresses); an attacker who can replace the keys can act as any user',
  })

/** One relying service (RSP of WaTTS): a site that sends its users to this service. */
const relyingServiceSettings = z.strictObject({
  keys_location: keysLocation.describe(
    'URL (https or file) of the public keys of the site: a JWK set (RFC 7517) with RSA keys. It is read again after 15 minutes, and when a request names an unknown key.',
  ),
  base_url: z
    .string()
    .max(1024)
    .refine(isAcceptableUrl, {
      message:
        'must be an https URL without query, fragment or user (http only for loopback addresses)',
    })
    .describe(
      'Base URL of the site. Users must come from a page under it, and are sent back only to URLs under it.',
    ),
  show_ui: z
    .boolean()
    .default(true)
    .describe(
      'True: the user sees the request, agrees, and sees the credential. False: the request runs without a page, the credential is not shown, and the user is sent back.',
    ),
  perform_login: z
    .boolean()
    .default(true)
    .describe(
      'True: each request names a provider (`watts_provider`), where the user must log in first. The plugin gets this login in addition to the user named by the site.',
    ),
  description: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe('Name of the site, as its users know it. Default: its id.'),
  alias: z
    .string()
    .max(64)
    .optional()
    .describe('Text after the @ in subject names of its users. Default: `rsp-` and the id.'),
  audiences: z
    .array(z.string().min(1).max(1024))
    .max(10)
    .default([])
    .describe(
      'If set, `aud` of each request must contain one of these. If not set, a request needs no `aud`, but an `aud` must contain the public URL of this service.',
    ),
  require_referer: z
    .boolean()
    .default(true)
    .describe(
      'True: the browser must report the site in the header Referer. False is for sites whose pages forbid that (`Referrer-Policy: no-referrer`); a Referer of another site is still refused.',
    ),
  maximum_token_age_seconds: seconds(10, 3600)
    .default(300)
    .describe('Maximum age of a request since its `iat`, in seconds, even if its `exp` is later.'),
  clock_leeway_seconds: seconds(0, 300)
    .default(30)
    .describe('Allowed difference between the clocks of the site and of this service.'),
  requests_per_second: z
    .number()
    .min(0.01)
    .max(1e6)
    .default(10)
    .describe('Rate of valid requests of the site; further requests get 503.'),
  burst: z.int().min(1).max(1e6).default(50).describe('Burst of valid requests of the site.'),
  timeout_seconds: z
    .number()
    .min(0.05)
    .max(60)
    .default(10)
    .describe('Time limit for fetching the keys, in seconds.'),
})

/** Checked settings of one relying service. */
export type RelyingServiceSettings = z.output<typeof relyingServiceSettings>

/** All relying services by id. */
export const relyingServicesSettings = z.record(
  z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,60}$/, 'must be 1 to 60 letters, digits, underscores or hyphens'),
  relyingServiceSettings,
)

/** Returns the id of the pseudo provider of a relying service's users, for rules and plugins. */
export function relyingProviderId(id: string): string {
  return `rsp-${id}`
}

/** Returns the text after the @ in subject names of its users. */
export function relyingAliasOf(
  id: string,
  { alias }: Pick<RelyingServiceSettings, 'alias'>,
): string {
  return alias ?? relyingProviderId(id)
}

/** Returns the problems of the relying services that depend on the rest of the configuration. */
export function relyingProblems(
  services: Readonly<Record<string, RelyingServiceSettings>>,
  context: { readonly aliases: readonly string[]; readonly webEnabled: boolean },
): readonly { readonly path: readonly string[]; readonly message: string }[] {
  const usedAliases = new Set(context.aliases.map((alias) => alias.toLowerCase()))
  return Object.entries(services).flatMap(([id, settings]) => {
    const alias = relyingAliasOf(id, settings)
    const isUsed = usedAliases.has(alias.toLowerCase())
    usedAliases.add(alias.toLowerCase())
    const path = [id, 'alias']
    if (!context.webEnabled)
      return [{ path: [id], message: 'needs web.enabled, because its users come with a browser' }]
    if (!aliasPattern.test(alias)) {
      const message =
        'must be 1 to 21 letters, digits, dots or hyphens (set it if the default, `rsp-` and the id, is not)'
      return [{ path, message }]
    }
    return isUsed
      ? [{ path, message: `must be unique, but another provider has ${alias} too` }]
      : []
  })
}

function isFileUrl(text: string): boolean {
  if (!URL.canParse(text)) return false
  const url = new URL(text)
  return (
    url.protocol === 'file:' && url.host === '' && url.pathname.length > 1 && !/[?#]/.test(text)
  )
}
