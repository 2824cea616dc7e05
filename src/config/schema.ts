/**
 * The configuration schema: every key with its default and meaning. docs/configuration.md is generated from it.
 * Keys are snake_case, also in the code.
 */
import { z } from 'zod'
import { keyKinds } from '../../ca/key.ts'
import { aliasPattern } from '../../ca/subject-naming.ts'
import { trustAnchorAliasPattern } from '../../ca/trust-anchors.ts'
import { accessTokenProblems, accessTokensSettings } from './access-token-schema.ts'
import { delegationsSettings } from './delegation-schema.ts'
import { limitsSettings } from './limits-schema.ts'
import { listenerSettings } from './listen-schema.ts'
import { myproxyProblems, myproxySettings } from './myproxy-schema.ts'
import { aliasOf, providersSettings } from './provider-schema.ts'
import { principalProblems } from './principal-problems.ts'
import { relyingProblems, relyingProviderId, relyingServicesSettings } from './relying-schema.ts'
import { type RulesSettings, unknownRuleProviders } from './rules-schema.ts'
import { servicesSettings } from './service-schema.ts'
import { storeSettings } from './store-schema.ts'
import { tlsSettings } from './tls-schema.ts'
import { webSettings } from './web-schema.ts'
import { vomsProblems, vomsSettings } from './voms-schema.ts'
import { wattsSettings } from './watts-schema.ts'
import {
  hasOnePart,
  isAuthorityName,
  isObjectIdentifier,
  isUserBase,
  standsUnder,
} from './value-checks.ts'

const seconds = (least: number, most: number) => z.number().int().min(least).max(most)
const file = z.string().min(1).max(4096)

const authorityKeys = z.strictObject({
  subject: z
    .string()
    .refine(isAuthorityName, {
      message:
        'must be a name such as /C=EU/O=INDIGO/OU=TTS/CN=TTS-CA, of letters, digits, spaces and . , : @ ( ) _ -',
    })
    .default('/C=EU/O=INDIGO/OU=TTS/CN=TTS-CA')
    .describe('Name for a new CA as slash-DN, when `tts serve` or `tts ca init` creates one.'),
  end_entity_base: z
    .string()
    .refine(isUserBase, {
      message:
        'must be a name such as /C=EU/O=INDIGO/OU=TTS, in ASCII without quotes, backslash and asterisk',
    })
    .optional()
    .describe(
      'Prefix of the names of all users, as slash-DN. Default: the name of the CA without its last part.',
    ),
  key_kind: z
    .enum(keyKinds)
    .exclude(['rsa-2048'])
    .default('rsa-4096')
    .describe('Type of the key of a new CA. Globus, MyProxy and XRootD need RSA.'),
  lifetime_days: z
    .int()
    .min(30)
    .max(7300)
    .default(3650)
    .describe('Lifetime of a self-signed CA certificate, in days.'),
  alias: z
    .string()
    .regex(
      trustAnchorAliasPattern,
      'must begin and end with a letter or digit; dots, underscores and hyphens are allowed between',
    )
    .default('tts-ca')
    .describe('Base name of the files in the trust-anchor directory.'),
  passphrase: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Passphrase of the CA key. Prefer the file. Default: a random one in DATA_DIR/ca/passphrase.',
    ),
  passphrase_file: file.optional().describe('File with the passphrase of the CA key.'),
  end_entity_key_kind: z
    .enum(['rsa-2048', 'rsa-3072', 'ec-p256'])
    .default('rsa-2048')
    .describe(
      'Type of the keys that sign proxies. With ec-p256 a proxy costs several times less, but Globus code cannot delegate it further.',
    ),
  end_entity_lifetime_seconds: seconds(3600, 34_560_000)
    .default(950_400)
    .describe(
      'Lifetime of the EECs whose keys the service stores, in seconds; 11 days by default. A proxy never outlives its EEC.',
    ),
  policy_oids: z
    .array(z.string().refine(isObjectIdentifier, { message: 'must be a dotted object identifier' }))
    .max(16)
    .default([])
    .describe('Certificate policies to assert in EECs. Use IGTF policies only if accredited.'),
  crl_url: z
    .url({ protocol: /^http$/ })
    .optional()
    .describe(
      'http URL of the CRL in DER, written into EECs and trust anchors. Default: derived from public_url if that is http, otherwise omitted.',
    ),
  crl_lifetime_seconds: seconds(86_400, 34_560_000)
    .default(2_592_000)
    .describe(
      'Time from thisUpdate to nextUpdate of a CRL, in seconds; 30 days by default. An expired CRL is an outage: relying parties then refuse all certificates.',
    ),
  crl_refresh_seconds: seconds(60, 2_592_000)
    .default(86_400)
    .describe('Age at which a new CRL is issued even without a revocation, in seconds.'),
  subject_alternative_name: z
    .boolean()
    .default(true)
    .describe('Write issuer and sub as a URI into subjectAltName of EECs.'),
})

const authoritySettings = authorityKeys.superRefine((ca, context) => {
  const complain = (key: string, message: string): void =>
    context.addIssue({ code: 'custom', path: [key], message })
  const { subject, end_entity_base: base, crl_lifetime_seconds: crlLifetime } = ca
  // Relying parties need time to fetch a new CRL before the old one expires.
  if (ca.crl_refresh_seconds * 2 > crlLifetime)
    complain('crl_refresh_seconds', `must be at most half of crl_lifetime_seconds, ${crlLifetime}`)
  if (base !== undefined && standsUnder(base, subject))
    complain('end_entity_base', 'must not begin with the name of the CA (`subject`)')
  if (base === undefined && hasOnePart(subject))
    complain(
      'end_entity_base',
      'must be set, because `subject` has only one part and gives no default',
    )
})

/** The whole configuration. */
export const configurationSchema = z
  .strictObject({
    data_dir: file
      .optional()
      .describe(
        'Directory for CA, master key and SQLite database. Default: $XDG_DATA_HOME/tts, or ~/.local/share/tts.',
      ),
    trusted_group: z
      .int()
      .min(0)
      .optional()
      .describe(
        'Number of a group of this process whose members may read and change its private files. For Kubernetes volumes with fsGroup, which give all files to that group. Default: only the owner.',
      ),
    listen: listenerSettings.prefault({}).describe('Listeners of the service.'),
    ca: authoritySettings.prefault({}).describe('The certification authority.'),
    providers: providersSettings
      .prefault({})
      .describe('Trusted OpenID providers by id. Without providers every token is refused.'),
    services: servicesSettings
      .prefault({})
      .describe(
        'Services that issue credentials, by id. Every user is refused until an allow rule is true.',
      ),
    delegations: delegationsSettings
      .prefault({})
      .describe(
        'Renewal without the user. Users of a provider may create delegations if the provider has a section `delegation`.',
      ),
    access_tokens: accessTokensSettings
      .prefault({})
      .describe('Access tokens that this service signs, for the holders of its proxies.'),
    relying_services: relyingServicesSettings
      .prefault({})
      .describe(
        'Sites that send their users here with a signed request, by id (RSP of WaTTS). In rules, their users belong to the provider `rsp-` and the id.',
      ),
    voms: vomsSettings
      .prefault({})
      .describe(
        'Virtual organisations (VOs) whose VOMS attributes this service issues, by the groups in tokens. See docs/voms.md.',
      ),
    myproxy: myproxySettings
      .prefault({})
      .describe(
        'A MyProxy server, for myproxy-logon and other clients of its protocol. See docs/myproxy.md.',
      ),
    watts: wattsSettings.prefault({}).describe('The REST API of WaTTS, under /api.'),
    web: webSettings.prefault({}).describe('The web pages.'),
    store: storeSettings.prefault({}).describe('The database.'),
    tls: tlsSettings
      .prefault({})
      .describe(
        'Further CAs that are trusted for connections to identity providers, PostgreSQL, webhooks and sites.',
      ),
    limits: limitsSettings.prefault({}).describe('Limits for callers.'),
    log: z
      .strictObject({
        level: z
          .enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent'])
          .default('info')
          .describe('Minimum level of log messages.'),
      })
      .prefault({})
      .describe('The log: JSON lines on standard output.'),
    master_key: z
      .string()
      .min(1)
      .optional()
      .describe(
        'Master keys that encrypt stored private keys, lines of id:base64; the first one is in use. Prefer the default: a random key in DATA_DIR/master-keys.',
      ),
    master_key_file: file.optional().describe('File with the master keys.'),
  })
  .superRefine((configuration, context) => {
    for (const [id, provider] of Object.entries(configuration.providers)) {
      if (aliasPattern.test(aliasOf(id, provider))) continue
      context.addIssue({
        code: 'custom',
        path: ['providers', id, 'alias'],
        message:
          'must begin and end with a letter or a digit, and consist of at most 21 letters, digits, dots and hyphens (set it if the default, the id, does not)',
      })
    }
    const aliases = Object.entries(configuration.providers).map(([id, one]) => aliasOf(id, one))
    const related = { aliases, webEnabled: configuration.web.enabled }
    for (const { path, message } of relyingProblems(configuration.relying_services, related))
      context.addIssue({ code: 'custom', path: ['relying_services', ...path], message })
    const issuers = new Map(
      Object.entries(configuration.providers).map(([id, { issuer }]) => [id, issuer]),
    )
    const own = { publicUrl: configuration.listen.public_url, issuers }
    for (const { path, message } of accessTokenProblems(configuration.access_tokens, own))
      context.addIssue({ code: 'custom', path: [...path], message })
    const known = [
      ...Object.keys(configuration.providers),
      ...Object.keys(configuration.relying_services).map(relyingProviderId),
    ]
    for (const { path, message } of principalProblems(configuration.services, known))
      context.addIssue({ code: 'custom', path: ['services', ...path], message })
    const others = {
      providers: Object.keys(configuration.providers),
      publicUrl: configuration.listen.public_url,
    }
    for (const { path, message } of vomsProblems(configuration.voms, others))
      context.addIssue({ code: 'custom', path: ['voms', ...path], message })
    const { services, voms, myproxy } = configuration
    for (const { path, message } of myproxyProblems(myproxy, { ...others, services, voms }))
      context.addIssue({ code: 'custom', path: ['myproxy', ...path], message })
    const ruleSets: { readonly place: string[]; readonly rules: RulesSettings }[] = Object.entries(
      configuration.services,
    ).map(([id, service]) => ({ place: ['services', id, 'authz'], rules: service.authz }))
    ruleSets.push({ place: ['web', 'operators'], rules: configuration.web.operators })
    for (const { place, rules } of ruleSets) {
      for (const { path, provider } of unknownRuleProviders(
        rules,
        Object.keys(configuration.providers),
      )) {
        context.addIssue({
          code: 'custom',
          path: [...place, ...path],
          message: `must be the id of a configured provider, or any; ${provider} is not configured`,
        })
      }
    }
  })

/** A valid configuration with all defaults. */
export type Configuration = z.output<typeof configurationSchema>
export type LimitsSettings = Configuration['limits']
