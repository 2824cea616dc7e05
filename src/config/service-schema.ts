import { z } from 'zod'
import { executableSettings } from '../../plugins/executable/settings.ts'
import { pluginIds } from '../../plugins/registry.ts'
import { sshCertificateSettings } from '../../plugins/ssh-certificate/settings.ts'
import { rulesSettings } from './rules-schema.ts'

const serviceId = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,31}$/, 'must consist of lower-case letters, digits, _ and -')

const authzSettings = rulesSettings.extend({
  tooltip: z
    .string()
    .max(1000)
    .optional()
    .describe('What people read who may not use the service, for example whom to ask.'),
  hide: z
    .boolean()
    .default(false)
    .describe('True: who may not use the service does not see it in lists.'),
})

const serviceKeys = z.strictObject({
  plugin: z.enum(pluginIds).describe('The plugin that makes the credential.'),
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
  priority: z
    .int()
    .min(0)
    .max(999_999_999)
    .optional()
    .describe('Place in lists, the lowest first. Without one: after those that have one.'),
  credential_limit: z
    .union([z.int().min(0).max(999_999_999), z.literal('infinite')])
    .default(10_000)
    .describe(
      'How many credentials of the service one identity may have at once, or `infinite`. Those that ended, were revoked or deleted do not count. The default is more than a user needs who gets a new proxy each minute for a week-long run of jobs, and keeps one identity from filling the records.',
    ),
  revoke_on_delete: z
    .union([
      z.enum(['at_once', 'never']),
      z.strictObject({ after_seconds: z.int().min(0).max(34_560_000) }),
    ])
    .optional()
    .describe(
      'What DELETE of the WaTTS API does, whose clients delete what they just picked up. `at_once`: revokes. `never`: only takes it off the list. `after_seconds`: takes it off the list, and revokes when it is at least so old. Default: `{after_seconds: 60}` for X.509 certificates and proxies, `at_once` for all else. DELETE /v1/credentials always revokes.',
    ),
  executable: executableSettings
    .optional()
    .describe('The program that makes the credentials, for the plugin `executable`.'),
  settings: sshCertificateSettings.optional().describe('Settings of the plugin `ssh-certificate`.'),
  authz: authzSettings
    .prefault({})
    .describe('Who may use the service. With no allow rule: nobody.'),
})

/** One service: what a credential can be asked for, and by whom. */
export const serviceSettings = serviceKeys.superRefine((service, context) => {
  const complain = (key: string, message: string): void =>
    context.addIssue({ code: 'custom', path: [key], message })
  const { plugin, executable, settings } = service
  if ((plugin === 'executable') !== (executable !== undefined)) {
    complain(
      'executable',
      plugin === 'executable'
        ? 'needs the section `executable`, with at least `command`'
        : 'goes with the plugin executable',
    )
  }
  if (plugin !== 'ssh-certificate' && settings !== undefined)
    complain('settings', 'goes with the plugin ssh-certificate')
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
