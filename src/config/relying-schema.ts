import { z } from 'zod'
import { aliasPattern } from '../../ca/subject-naming.ts'
import { isAcceptableUrl } from './provider-schema.ts'

const seconds = (least: number, most: number) => z.number().int().min(least).max(most)

const keysLocation = z
  .string()
  .max(1024)
  .refine((text) => isFileUrl(text) || isAcceptableUrl(text.split('?', 1)[0] ?? ''), {
    message:
      'must be an https URL, or file:///… with an absolute path (http only for this machine); whoever can change keys on the way can act as any user',
  })

/** One relying service (RSP of WaTTS): another site that sends its users here. */
const relyingServiceSettings = z.strictObject({
  keys_location: keysLocation.describe(
    'Where the public keys of the site are: a JWK set (RFC 7517) with RSA keys, at an https or a file URL. Read again after 15 minutes, and when a request names a key that is not known.',
  ),
  base_url: z
    .string()
    .max(1024)
    .refine(isAcceptableUrl, {
      message: 'must be an https URL without query, fragment or user (http only for this machine)',
    })
    .describe(
      'Every address of the site lies under this one: where its users come from, and where they are sent back to.',
    ),
  show_ui: z
    .boolean()
    .default(true)
    .describe(
      'True: the user reads what is asked for, agrees, and is shown the credential. False: the request runs at once, what it brings is shown to nobody, and the user is sent back.',
    ),
  perform_login: z
    .boolean()
    .default(true)
    .describe(
      'True: each request names a provider (`watts_provider`), where the user logs in first. The plugin is told of that login besides the user that the site names.',
    ),
  description: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe('What its users know the site by. Default: its id.'),
  alias: z
    .string()
    .max(64)
    .optional()
    .describe(
      'What stands behind the @ in subject names of its users. Default: `rsp-` and the id.',
    ),
  audiences: z
    .array(z.string().min(1).max(1024))
    .max(10)
    .default([])
    .describe(
      'When given, one of them must be in `aud` of each request. Without, a request needs none, and one that has `aud` must name the public URL of this service.',
    ),
  require_referer: z
    .boolean()
    .default(true)
    .describe(
      'True: the browser must tell that it comes from the site (header Referer). False is for sites whose pages forbid browsers to tell (`Referrer-Policy: no-referrer`); another site that is named there is refused all the same.',
    ),
  maximum_token_age_seconds: seconds(10, 3600)
    .default(300)
    .describe('A request older than this is refused (`iat`), even if its `exp` is later.'),
  clock_leeway_seconds: seconds(0, 300)
    .default(30)
    .describe("Allowed difference between the site's clock and ours."),
  requests_per_second: z
    .number()
    .min(0.01)
    .max(1e6)
    .default(10)
    .describe('Rate of sound requests of the site; what comes beyond is refused with 503.'),
  burst: z
    .int()
    .min(1)
    .max(1e6)
    .default(50)
    .describe('Sound requests of the site that may come at once.'),
  timeout_seconds: z
    .number()
    .min(0.05)
    .max(60)
    .default(10)
    .describe('Deadline of fetching the keys.'),
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

/** Provider of the users of a relying service, as rules and plugins know it. */
export function relyingProviderId(id: string): string {
  return `rsp-${id}`
}

/** What stands behind the @ in subject names of its users. */
export function relyingAliasOf(
  id: string,
  { alias }: Pick<RelyingServiceSettings, 'alias'>,
): string {
  return alias ?? relyingProviderId(id)
}

/** What is wrong with the relying services beside the rest of the configuration. */
export function relyingProblems(
  services: Readonly<Record<string, RelyingServiceSettings>>,
  around: { readonly aliases: readonly string[]; readonly webEnabled: boolean },
): readonly { readonly path: readonly string[]; readonly message: string }[] {
  const taken = new Set(around.aliases.map((alias) => alias.toLowerCase()))
  return Object.entries(services).flatMap(([id, settings]) => {
    const alias = relyingAliasOf(id, settings)
    const isTaken = taken.has(alias.toLowerCase())
    taken.add(alias.toLowerCase())
    const path = [id, 'alias']
    if (!around.webEnabled)
      return [{ path: [id], message: 'its users come with a browser: needs web.enabled' }]
    if (!aliasPattern.test(alias)) {
      const message =
        'must be 1 to 21 letters, digits, dots or hyphens, which `rsp-` and the id are not always'
      return [{ path, message }]
    }
    return isTaken ? [{ path, message: `${alias} is also that of another provider` }] : []
  })
}

function isFileUrl(text: string): boolean {
  if (!URL.canParse(text)) return false
  const url = new URL(text)
  return (
    url.protocol === 'file:' && url.host === '' && url.pathname.length > 1 && !/[?#]/.test(text)
  )
}
