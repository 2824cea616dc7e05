/** Settings of a service that issues SSH certificates. */
import { z } from 'zod'
import { CaError } from '../../ca/errors.ts'
import { principalPattern, sshExtensions } from '../../ca/ssh/certificate.ts'
import { checkNetworks } from '../../ca/ssh/source-address.ts'

/** The account names that useradd accepts. */
export const DEFAULT_PRINCIPAL_PATTERN = '^[a-z_][a-z0-9_-]{0,31}$'
/** The claim that holds the account name by default. */
export const DEFAULT_PRINCIPAL_CLAIM = 'preferred_username'

/**
 * Privileged accounts: of the system, of common software, and the administrators of cloud images. They are forbidden
 * by default, because at many providers users choose their own `preferred_username`.
 */
export const reservedAccounts: readonly string[] = (
  'root toor admin administrator sudo wheel operator daemon bin sys adm sync shutdown halt games man lp mail news uucp ' +
  'proxy www-data backup list irc gnats ftp nobody sshd messagebus dbus polkitd ntp chrony docker git jenkins nginx apache ' +
  'postgres mysql redis ansible puppet slurm munge condor xrootd dcache glexec ubuntu debian ec2-user centos rocky almalinux ' +
  'fedora opc cloud-user azureuser vagrant core pi arch'
).split(' ')

/** A regular expression without groups and with few quantifiers, which cannot backtrack for long. */
const quickPattern = z.string().max(200).refine(isQuickPattern, {
  error:
    'must be a regular expression from ^ to $ without groups or alternatives and with at most 4 quantifiers',
})

function isQuickPattern(source: string): boolean {
  try {
    RegExp(source, 'u')
  } catch {
    return false
  }
  // Each escape and each class counts as one character.
  const bare = source.replaceAll(/\\./g, 'x').replaceAll(/\[[^\]]*\]/g, 'x')
  const quantifiers = bare.match(/[*+?]|\{\d/g) ?? []
  return /^\^[^()|^$]*\$$/.test(bare) && quantifiers.length <= 4
}

function areNetworks(networks: readonly string[]): boolean {
  try {
    checkNetworks(networks)
    return true
  } catch (error) {
    if (error instanceof CaError) return false
    throw error
  }
}

/** Settings under `settings:` of the service. */
export const sshCertificateSettings = z
  .strictObject({
    principal_claim: z
      .string()
      .min(1)
      .max(200)
      .optional()
      .describe('The claim whose value is the account name. Default: preferred_username.'),
    principal_pattern: quickPattern
      .optional()
      .describe(
        `What the claim's value must match, a regular expression without groups. Default: \`${DEFAULT_PRINCIPAL_PATTERN}\`.`,
      ),
    principal_issuer: z
      .string()
      .min(1)
      .max(1000)
      .optional()
      .describe(
        'The only issuer whose claim is trusted. Required, unless `principal_template` is set or the allow rules admit users of a single provider: each provider chooses its account names.',
      ),
    principal_template: z
      .string()
      .regex(
        /^[A-Za-z_][A-Za-z0-9_.-]{0,30}\{digest\}$/,
        'must be a prefix of letters, digits, _ . - and then {digest}, for example tts-{digest}',
      )
      .optional()
      .describe(
        'Replaces the claim: a principal made of a prefix and `{digest}`, the first 28 hex digits of SHA-256 over issuer, line end, sub.',
      ),
    forbidden_principals: z
      .array(z.string().regex(principalPattern).max(64))
      .max(1000)
      .default([...reservedAccounts])
      .describe(
        'Account names for which no certificate is issued, in any letter case. Default: root and the usual accounts of systems and cloud images.',
      ),
    extensions: z
      .array(z.enum(sshExtensions))
      .default(['permit-pty'])
      .describe('What sshd permits in addition to running commands. Default: a terminal.'),
    source_addresses: z
      .array(z.string())
      .refine(areNetworks, {
        error: 'must be 1 to 64 networks like 192.0.2.0/24, without bits set after the prefix',
      })
      .optional()
      .describe('Networks from which the certificate can be used. Default: all.'),
    force_command: z
      .string()
      .regex(/^[ -~]{1,1024}$/, 'must be printable characters')
      .optional()
      .describe('The only command that the certificate can run. Default: any command.'),
  })
  .refine(
    ({ principal_template: template, principal_claim: claim, principal_pattern: pattern }) =>
      template === undefined || (claim === undefined && pattern === undefined),
    {
      error: 'must not be combined with principal_claim or principal_pattern',
      path: ['principal_template'],
    },
  )

export type SshCertificateSettings = z.output<typeof sshCertificateSettings>
