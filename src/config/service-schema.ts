import { z } from 'zod'
import { executableSettings } from '../../plugins/executable/settings.ts'
import { pluginIds } from '../../plugins/registry.ts'
import { sshCertificateSettings } from '../../plugins/ssh-certificate/settings.ts'
import { idPattern } from './id-pattern.ts'
import { rulesSettings } from './rules-schema.ts'

const serviceId = z
  .string()
  .regex(
    idPattern,
    'must be 1 to 64 letters, digits, `_`, `-` or dots, and begin with a letter, a digit or `_`',
  )

const authzSettings = rulesSettings.extend({
  tooltip: z
    .string()
    .max(1000)
    .optional()
    .describe('Text for users who may not use the service, for example whom to ask.'),
  hide: z
    .boolean()
    .default(false)
    .describe('True: lists do not show the service to users who may not use it.'),
})

const serviceKeys = z.strictObject({
  plugin: z.enum(pluginIds).describe('The plugin that creates the credentials.'),
  enabled: z.boolean().default(true).describe('False: every request is refused.'),
  name: z
    .string()
    .trim()
    .min(1)
    .max(80)
    .regex(/^\P{C}+$/u, 'must be printable text')
    .optional()
    .describe(
      'Name of the service on the web pages, for example `Proxy for jobs`. Default: what its plugin makes, for example `Proxy` or `Certificate`; for executables, the id.',
    ),
  description: z
    .string()
    .max(1000)
    .optional()
    .describe('Description for users. Default: that of the plugin.'),
  default_lifetime_seconds: z
    .int()
    .min(60)
    .max(34_560_000)
    .optional()
    .describe(
      'Lifetime of a credential if the caller requests none, in seconds. Default: proxies 96 hours, EECs 11 days.',
    ),
  maximum_lifetime_seconds: z
    .int()
    .min(60)
    .max(34_560_000)
    .optional()
    .describe(
      'Maximum lifetime that a caller may request, in seconds. Default: proxies 168 hours, EECs 11 days.',
    ),
  priority: z
    .int()
    .min(0)
    .max(999_999_999)
    .optional()
    .describe('Position in lists, lowest first. Services without a priority come last.'),
  credential_limit: z
    .union([z.int().min(0).max(999_999_999), z.literal('infinite')])
    .default(10_000)
    .describe(
      'Maximum number of valid credentials of the service for one identity, or `infinite`. Expired, revoked and deleted ones do not count. The default is enough for a new proxy each minute during a run of jobs that takes a week, and prevents one identity from filling the database.',
    ),
  revoke_on_delete: z
    .union([
      z.enum(['at_once', 'never']),
      z.strictObject({ after_seconds: z.int().min(0).max(34_560_000) }),
    ])
    .optional()
    .describe(
      'Effect of DELETE in the WaTTS API, whose clients delete credentials that they have just picked up. `at_once`: revokes the credential. `never`: only removes it from the list. `after_seconds`: removes it from the list, and revokes it if it is at least that old. Default: `{after_seconds: 60}` for X.509 certificates and proxies, `at_once` for all others. DELETE /v1/credentials always revokes.',
    ),
  executable: executableSettings
    .optional()
    .describe('The program that creates the credentials, for the plugin `executable`.'),
  settings: sshCertificateSettings.optional().describe('Settings of the plugin `ssh-certificate`.'),
  authz: authzSettings
    .prefault({})
    .describe('Rules about who may use the service. Without allow rules, every user is refused.'),
})

/** Settings of a service: its plugin, its limits, and who may use it. */
export const serviceSettings = serviceKeys.superRefine((service, context) => {
  const complain = (key: string, message: string): void =>
    context.addIssue({ code: 'custom', path: [key], message })
  const { plugin, executable, settings } = service
  if ((plugin === 'executable') !== (executable !== undefined)) {
    complain(
      'executable',
      plugin === 'executable'
        ? 'needs the section `executable`, with at least `command`'
        : 'must be used only with the plugin executable',
    )
  }
  if (plugin !== 'ssh-certificate' && settings !== undefined)
    complain('settings', 'must be used only with the plugin ssh-certificate')
})

export type ServiceSettings = z.output<typeof serviceSettings>

/**
 * The default services of the native paths. They exist even if the configuration does not name them, but then nobody
 * may use them, and lists do not show them.
 */
const builtIn = { proxy: { plugin: 'x509-proxy' }, x509: { plugin: 'x509-certificate' } } as const
const UNNAMED = { authz: { hide: true } } as const

/** All services by id. */
export const servicesSettings = z.preprocess(
  (value) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? withBuiltIn(value)
      : value,
  z.record(serviceId, serviceSettings),
)

function withBuiltIn(value: object): object {
  const services = value as Record<string, unknown>
  const defaults = Object.entries(builtIn).map(([id, service]) => {
    const own = services[id]
    const merged = typeof own === 'object' && own !== null ? { ...service, ...own } : own
    return [id, merged ?? { ...service, ...UNNAMED }] as const
  })
  return { ...services, ...Object.fromEntries(defaults) }
}
