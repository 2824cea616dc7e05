import { z } from 'zod'
import { hostNamePattern } from '../../ca/host-certificate.ts'
import { parseFqan, voNamePattern } from '../../ca/voms/fqan.ts'

/** The part of a rule that stands for the rest of a group, and of the FQAN. */
export const REST = '/*'

const seconds = (least: number, most: number) => z.number().int().min(least).max(most)

const group = z
  .string()
  .min(1)
  .max(255)
  .regex(/^\P{C}+$/u, 'must be printable text')

const rule = z
  .strictObject({
    group: group.describe(
      'A value of one of the claims, such as `/cms/production`; a slash at the beginning does not matter. With `/*` at the end: every group below.',
    ),
    fqan: z
      .string()
      .refine(isFqanPattern, {
        message: 'must be an FQAN such as /cms/uscms or /cms/Role=production',
      })
      .describe(
        'The FQAN that members of the group have. With `/*` at the end, if the group has it: the same groups below this one.',
      ),
  })
  .refine(({ group: from, fqan: to }) => from.endsWith(REST) === to.endsWith(REST), {
    message: 'must end in /* exactly if the group does',
    path: ['fqan'],
  })

function isFqanPattern(text: string): boolean {
  try {
    const { role } = parseFqan(text.endsWith(REST) ? text.slice(0, -REST.length) : text)
    return !text.endsWith(REST) || role === undefined
  } catch {
    return false
  }
}

const organisation = z.strictObject({
  provider: z
    .string()
    .min(1)
    .max(64)
    .describe(
      'Id of the provider whose groups count. Users of other providers are strangers to the VO.',
    ),
  port: z
    .int()
    .min(1)
    .max(65535)
    .describe(
      'Port of the VOMS server of this VO. It is part of the attributes, also where there is no VOMS server.',
    ),
  claims: z
    .array(z.string().min(1).max(256))
    .min(1)
    .max(10)
    .default(['groups', 'wlcg.groups'])
    .describe(
      'Claims with groups: lists, or texts with words between spaces. Add `eduperson_entitlement` for entitlements.',
    ),
  fqans: z
    .array(rule)
    .min(1)
    .max(200)
    .optional()
    .describe(
      'Which group gives which FQAN. Default: the group with the name of the VO and all below it have the FQANs of the same names.',
    ),
  maximum_lifetime_seconds: seconds(600, 604_800)
    .default(86_400)
    .describe(
      'Maximum lifetime of attribute certificates, in seconds; a day by default, as in VOMS.',
    ),
  groups_valid_seconds: seconds(600, 2_592_000)
    .default(86_400)
    .describe(
      'How long the groups of a token count after it was issued, in seconds. No attribute certificate lives longer. After that, VOMS treats the user as a stranger until there is a newer token.',
    ),
})

/** Virtual organisations (VOs), whose attributes this service issues (configuration section `voms`). */
export const vomsSettings = z
  .strictObject({
    host: z
      .string()
      .regex(
        hostNamePattern,
        'must be a DNS name in lower case, at most 64 characters, such as voms.example.org',
      )
      .optional()
      .describe(
        'Name of the host in its certificate, also that of the MyProxy server, in vomses files and in attributes. Default: the host of listen.public_url.',
      ),
    listen: z
      .string()
      .min(1)
      .optional()
      .describe(
        'Address on which the VOMS servers listen, each on the port of its VO. Without it there are none, and attributes come only in proxies of this service.',
      ),
    vos: z
      .record(
        z
          .string()
          .regex(
            voNamePattern,
            'must be 1 to 63 letters, digits, dots, hyphens and underscores, and begin with a letter or digit',
          ),
        organisation,
      )
      .default({})
      .describe('VOs by name.'),
  })
  .superRefine(({ vos }, context) => {
    const complain = (path: readonly (string | number)[], message: string): void =>
      context.addIssue({ code: 'custom', path: ['vos', ...path], message })
    const byPort = new Map<number, string>()
    for (const [vo, { port, fqans = [] }] of Object.entries(vos)) {
      const other = byPort.get(port)
      if (other !== undefined)
        complain(
          [vo, 'port'],
          `must be another than that of ${other}: a request does not name its VO`,
        )
      byPort.set(port, vo)
      for (const [index, { fqan }] of fqans.entries())
        if (fqan !== `/${vo}` && !fqan.startsWith(`/${vo}/`))
          complain([vo, 'fqans', index, 'fqan'], `must begin with /${vo}`)
    }
  })

export type VomsSettings = z.output<typeof vomsSettings>
export type OrganisationSettings = z.output<typeof organisation>

/** Problems with what other sections say. */
export function vomsProblems(
  { host, vos }: VomsSettings,
  related: { readonly providers: readonly string[]; readonly publicUrl: string | undefined },
): readonly { readonly path: readonly string[]; readonly message: string }[] {
  if (Object.keys(vos).length === 0) return []
  const unknown = Object.entries(vos)
    .filter(([, { provider }]) => !related.providers.includes(provider))
    .map(([vo, { provider }]) => ({
      path: ['vos', vo, 'provider'],
      message: `must be the id of a configured provider; ${provider} is not configured`,
    }))
  if (vomsHost({ host }, related.publicUrl) !== undefined) return unknown
  const message = 'must be set, because listen.public_url has no DNS name'
  return [{ path: ['host'], message }, ...unknown]
}

/** The name of the host; undefined when neither setting has one. */
export function vomsHost(
  { host }: Pick<VomsSettings, 'host'>,
  publicUrl: string | undefined,
): string | undefined {
  if (host !== undefined) return host
  const name = publicUrl === undefined ? '' : new URL(publicUrl).hostname
  return hostNamePattern.test(name) && !/^[\d.]+$/.test(name) ? name : undefined
}
