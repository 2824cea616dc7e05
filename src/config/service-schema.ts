import { z } from 'zod'
import { plugins } from '../../plugins/registry.ts'
import { rulesSettings } from './rules-schema.ts'

const serviceId = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,31}$/, 'wanted: lower-case letters, digits, _ and -')

/** One service: what a credential can be asked for, and by whom. */
export const serviceSettings = z.strictObject({
  plugin: z
    .enum([...plugins.keys()] as [string, ...string[]])
    .describe('The plugin that makes the credential.'),
  enabled: z.boolean().default(true).describe('False: every request is refused.'),
  description: z
    .string()
    .max(1000)
    .optional()
    .describe("What people read about it. Default: the plugin's own words."),
  default_lifetime_seconds: z
    .int()
    .min(60)
    .max(34_560_000)
    .optional()
    .describe(
      'Life of a credential when the caller asks for none. Default: proxies 96 hours, EECs 11 days.',
    ),
  maximum_lifetime_seconds: z
    .int()
    .min(60)
    .max(34_560_000)
    .optional()
    .describe('Longest life that a caller may ask for. Default: proxies 168 hours, EECs 11 days.'),
  authz: rulesSettings
    .prefault({})
    .describe('Who may use the service. With no allow rule: nobody.'),
})

export type ServiceSettings = z.output<typeof serviceSettings>

/** The services that the native paths ask for; there even when the configuration names none, for nobody to use. */
const builtIn = { proxy: { plugin: 'x509-proxy' }, x509: { plugin: 'x509-certificate' } } as const

/** All services by id. */
export const servicesSettings = z.preprocess(
  (value) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? withBuiltIn(value)
      : value,
  z.record(serviceId, serviceSettings),
)

function withBuiltIn(value: object): object {
  const given = value as Record<string, unknown>
  const defaults = Object.entries(builtIn).map(([id, service]) => {
    const own = given[id]
    const merged = typeof own === 'object' && own !== null ? { ...service, ...own } : own
    return [id, merged ?? service] as const
  })
  return { ...given, ...Object.fromEntries(defaults) }
}
