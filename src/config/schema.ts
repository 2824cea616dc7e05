/**
 * The configuration: every key, its default and what it means. The reference in docs/ is made from this file.
 * Keys are snake_case and reach the code as they are.
 */
import { z } from 'zod'
import { keyKinds } from '../../ca/key.ts'
import { aliasPattern } from '../../ca/subject-naming.ts'
import { trustAnchorAliasPattern } from '../../ca/trust-anchors.ts'
import { delegationsSettings } from './delegation-schema.ts'
import { limitsSettings } from './limits-schema.ts'
import { aliasOf, providersSettings } from './provider-schema.ts'
import { principalProblems } from './principal-problems.ts'
import { relyingProblems, relyingProviderId, relyingServicesSettings } from './relying-schema.ts'
import { type RulesSettings, unknownRuleProviders } from './rules-schema.ts'
import { servicesSettings } from './service-schema.ts'
import { storeSettings } from './store-schema.ts'
import { webSettings } from './web-schema.ts'
import { wattsSettings } from './watts-schema.ts'
import {
  hasOnePart,
  isAuthorityName,
  isNetwork,
  isObjectIdentifier,
  isSiteUrl,
  isUserBase,
  standsUnder,
} from './value-checks.ts'

const seconds = (least: number, most: number) => z.number().int().min(least).max(most)
const file = z.string().min(1).max(4096)

const listenSettings = z
  .strictObject({
    host: z.string().min(1).default('127.0.0.1').describe('Address to listen on.'),
    port: z
      .int()
      .min(0)
      .max(65535)
      .default(8080)
      .describe('Port to listen on; 0 takes a free one.'),
    tls_certificate_file: file
      .optional()
      .describe(
        'Certificate and chain in PEM. With it and `tls_key_file` the service speaks HTTPS; the files are read again when they change.',
      ),
    tls_key_file: file.optional().describe('Private key of the certificate in PEM.'),
    trusted_proxies: z
      .array(
        z
          .string()
          .refine(isNetwork, { message: 'must be an address or a network such as 10.0.0.0/8' }),
      )
      .default([])
      .describe(
        'Addresses or networks (CIDR) of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed. Plain HTTP on other than loopback is served only when this is set.',
      ),
    plain: z
      .strictObject({
        host: z.string().min(1).default('127.0.0.1').describe('Address of the plain listener.'),
        port: z.int().min(0).max(65535).describe('Port of the plain listener.'),
      })
      .optional()
      .describe(
        'A second listener, plain HTTP on any address, for what is public: /ca (CRLs are fetched over http), /problems, /healthz, /readyz, /metrics. It takes no tokens.',
      ),
    public_url: z
      .url()
      .refine(isSiteUrl, {
        message:
          'must be an http or https URL without user, query and fragment, such as https://tts.example.org or https://www.example.org/tts',
      })
      .optional()
      .describe(
        'URL under which clients reach the service, for links in answers and in certificates. With a path, as in https://www.example.org/tts, the reverse proxy takes that path off what it passes on. Default: made from host and port.',
      ),
  })
  .superRefine((listen, context) => {
    if ((listen.tls_certificate_file === undefined) !== (listen.tls_key_file === undefined)) {
      context.addIssue({
        code: 'custom',
        path: ['tls_key_file'],
        message: 'tls_certificate_file and tls_key_file must both be set, or neither',
      })
    }
    const loopback = /^(localhost|127\.\d+\.\d+\.\d+|::1)$/.test(listen.host)
    if (!loopback && listen.tls_key_file === undefined && listen.trusted_proxies.length === 0) {
      context.addIssue({
        code: 'custom',
        path: ['host'],
        message:
          'tokens and private keys would cross the network in clear; set tls_certificate_file and tls_key_file, or name the reverse proxy in trusted_proxies, or listen on 127.0.0.1',
      })
    }
  })

const authorityKeys = z.strictObject({
  subject: z
    .string()
    .refine(isAuthorityName, {
      message:
        'must be a name such as /C=EU/O=INDIGO/OU=TTS/CN=TTS-CA, of letters, digits, blanks and . , : @ ( ) _ -',
    })
    .default('/C=EU/O=INDIGO/OU=TTS/CN=TTS-CA')
    .describe('Name of the CA as slash-DN, when `tts serve` or `tts ca init` makes one.'),
  end_entity_base: z
    .string()
    .refine(isUserBase, {
      message:
        'must be a name such as /C=EU/O=INDIGO/OU=TTS, in ASCII without quotes, backslash and asterisk',
    })
    .optional()
    .describe(
      'Name under which all users stand, as slash-DN. Default: the name of the CA without its last part.',
    ),
  key_kind: z
    .enum(keyKinds)
    .exclude(['rsa-2048'])
    .default('rsa-4096')
    .describe('Kind of the CA key when it is made. RSA is what Globus, MyProxy and XRootD need.'),
  lifetime_days: z
    .int()
    .min(30)
    .max(7300)
    .default(3650)
    .describe('Life of a self-signed CA certificate.'),
  alias: z
    .string()
    .regex(
      trustAnchorAliasPattern,
      'must consist of letters and digits, and inside also dots, underscores, hyphens',
    )
    .default('tts-ca')
    .describe('Name of the files in the trust-anchor directory.'),
  passphrase: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Passphrase of the CA key. Better given as a file. Default: one made at random, in DATA_DIR/ca/passphrase.',
    ),
  passphrase_file: file.optional().describe('File with the passphrase of the CA key.'),
  end_entity_key_kind: z
    .enum(['rsa-2048', 'rsa-3072', 'ec-p256'])
    .default('rsa-2048')
    .describe(
      'Kind of the keys that sign proxies. ec-p256 makes a proxy several times cheaper; Globus code then cannot delegate it further.',
    ),
  end_entity_lifetime_seconds: seconds(3600, 34_560_000)
    .default(950_400)
    .describe(
      'Life of the EECs that the service holds, 11 days by default. A proxy never lives longer than its EEC.',
    ),
  policy_oids: z
    .array(z.string().refine(isObjectIdentifier, { message: 'must be a dotted object identifier' }))
    .max(16)
    .default([])
    .describe('Certificate policies to claim in EECs. IGTF ones only when accredited.'),
  crl_url: z
    .url({ protocol: /^http$/ })
    .optional()
    .describe(
      'http URL of the DER CRL, written into EECs and trust anchors. Default: made from public_url when that is http, else left out.',
    ),
  crl_lifetime_seconds: seconds(86_400, 34_560_000)
    .default(2_592_000)
    .describe(
      'From thisUpdate to nextUpdate of a CRL, 30 days by default. An outdated CRL is an outage: relying parties then refuse everything.',
    ),
  crl_refresh_seconds: seconds(60, 2_592_000)
    .default(86_400)
    .describe('Age at which a new CRL is made though nothing was revoked.'),
  subject_alternative_name: z
    .boolean()
    .default(true)
    .describe('Write issuer and sub as URI into subjectAltName of EECs.'),
})

const authoritySettings = authorityKeys.superRefine((ca, context) => {
  const complain = (key: string, message: string): void =>
    context.addIssue({ code: 'custom', path: [key], message })
  const { subject, end_entity_base: base, crl_lifetime_seconds: crlLifetime } = ca
  // With less between them than relying parties take to fetch one, they would meet outdated CRLs.
  if (ca.crl_refresh_seconds * 2 > crlLifetime)
    complain('crl_refresh_seconds', `must be at most half of crl_lifetime_seconds, ${crlLifetime}`)
  if (base !== undefined && standsUnder(base, subject))
    complain('end_entity_base', "must be a name that does not begin with the CA's own, `subject`")
  if (base === undefined && hasOnePart(subject))
    complain(
      'end_entity_base',
      'needs the name under which users stand, since `subject` has one part only',
    )
})

/** All of the configuration. */
export const configurationSchema = z
  .strictObject({
    data_dir: file
      .optional()
      .describe(
        'Directory of everything that is kept: CA, master key, SQLite database. Default: $XDG_DATA_HOME/tts, else ~/.local/share/tts.',
      ),
    listen: listenSettings.prefault({}).describe('Where the service listens.'),
    ca: authoritySettings.prefault({}).describe('The certification authority.'),
    providers: providersSettings
      .prefault({})
      .describe('Trusted OpenID providers by id. Without one every token is refused.'),
    services: servicesSettings
      .prefault({})
      .describe(
        'What credentials can be asked for, by id. Nobody may use a service until an allow rule lets them in.',
      ),
    delegations: delegationsSettings
      .prefault({})
      .describe(
        'Renewal with no person present. A provider gives delegations when it has a `delegation` section.',
      ),
    relying_services: relyingServicesSettings
      .prefault({})
      .describe(
        'Sites that send their users here with a signed request, by id (RSP of WaTTS). Their users are of the provider `rsp-` and the id in rules.',
      ),
    watts: wattsSettings.prefault({}).describe('The REST API that WaTTS had, under /api.'),
    web: webSettings.prefault({}).describe('The web page.'),
    store: storeSettings.prefault({}).describe('Where records are kept.'),
    limits: limitsSettings.prefault({}).describe('Bounds on what callers may do.'),
    log: z
      .strictObject({
        level: z
          .enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent'])
          .default('info')
          .describe('Least level that is logged.'),
      })
      .prefault({})
      .describe('The log, JSON lines on standard output.'),
    master_key: z
      .string()
      .min(1)
      .optional()
      .describe(
        'Master keys that encrypt keys at rest, lines of id:base64, the first one current. Better left out: DATA_DIR/master-keys is made at random.',
      ),
    master_key_file: file.optional().describe('File with the master keys.'),
  })
  .superRefine((configuration, context) => {
    for (const [id, provider] of Object.entries(configuration.providers)) {
      if (aliasPattern.test(aliasOf(id, provider))) continue
      context.addIssue({
        code: 'custom',
        path: ['providers', id, 'alias'],
        message: 'must be an alias (or an id) that begins and ends with a letter or a digit',
      })
    }
    const aliases = Object.entries(configuration.providers).map(([id, one]) => aliasOf(id, one))
    const around = { aliases, webEnabled: configuration.web.enabled }
    for (const { path, message } of relyingProblems(configuration.relying_services, around))
      context.addIssue({ code: 'custom', path: ['relying_services', ...path], message })
    const known = [
      ...Object.keys(configuration.providers),
      ...Object.keys(configuration.relying_services).map(relyingProviderId),
    ]
    for (const { path, message } of principalProblems(configuration.services, known))
      context.addIssue({ code: 'custom', path: ['services', ...path], message })
    const ruled: { readonly place: string[]; readonly rules: RulesSettings }[] = Object.entries(
      configuration.services,
    ).map(([id, service]) => ({ place: ['services', id, 'authz'], rules: service.authz }))
    ruled.push({ place: ['web', 'operators'], rules: configuration.web.operators })
    for (const { place, rules } of ruled) {
      for (const { path, provider } of unknownRuleProviders(
        rules,
        Object.keys(configuration.providers),
      )) {
        context.addIssue({
          code: 'custom',
          path: [...place, ...path],
          message: `must be the id of a configured provider, or any; there is no provider ${provider}`,
        })
      }
    }
  })

/** A checked configuration, defaults filled in. */
export type Configuration = z.output<typeof configurationSchema>
export type LimitsSettings = Configuration['limits']
