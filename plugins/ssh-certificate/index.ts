/**
 * An OpenSSH user certificate for the caller's own public key: the private key never leaves the caller. Which account it is
 * good for follows from the identity and the settings, never from the request.
 */
import { z } from 'zod'
import { CaError } from '../../ca/errors.ts'
import {
  MAX_PUBLIC_KEY_CHARACTERS,
  readSshPublicKeyLine,
  type SshPublicKey,
} from '../../ca/ssh/public-key.ts'
import { lifetimeSeconds } from '../parameters.ts'
import { definePlugin, type PluginAnswer, PluginError, type IssuingContext } from '../plugin.ts'
import { keyIdOf, principalOf } from './identity.ts'
import { type SshCertificateSettings, sshCertificateSettings } from './settings.ts'

/** The tools of this plugin; sshd logs the id of the credential. */
export type SshIssuingContext = Pick<IssuingContext, 'caller' | 'credentialId' | 'sshCertificate'>

const parameters = z.strictObject({
  public_key: z
    .string()
    .min(1)
    .max(MAX_PUBLIC_KEY_CHARACTERS)
    .describe(
      'Your public key, the one line of a file like ~/.ssh/id_ed25519.pub. Its comment is not used.',
    ),
  lifetime_seconds: lifetimeSeconds.optional(),
})

/** OpenSSH user certificates; the state by which one is revoked is its serial number, in decimal. */
export const sshCertificate = {
  id: 'ssh-certificate',
  description: 'OpenSSH user certificate for your own SSH key',
  lifetimes: { defaultSeconds: 12 * 3600, maximumSeconds: 24 * 3600 },
  settings: sshCertificateSettings,
  parameters,
  async request(
    context: SshIssuingContext,
    wanted: z.output<typeof parameters>,
    settings: SshCertificateSettings,
  ): Promise<PluginAnswer> {
    const publicKey = readKey(wanted.public_key)
    const principal = principalOf(context.caller, settings)
    const made = await context.sshCertificate({
      publicKey,
      principals: [principal],
      keyId: keyIdOf(context.caller, context.credentialId),
      lifetimeSeconds: wanted.lifetime_seconds,
      extensions: settings.extensions,
      sourceAddresses: settings.source_addresses,
      forceCommand: settings.force_command,
    })
    return {
      kind: 'credential',
      entries: [
        {
          name: 'SSH Certificate',
          type: 'textfile',
          value: made.line,
          saveAs: 'id_tts-cert.pub',
        },
        { name: 'Principal', type: 'text', value: principal },
        { name: 'Certificate Authority', type: 'textarea', value: made.authorityLine },
      ],
      notAfter: made.notAfter,
      warnings: warningsFor(publicKey, settings),
      state: made.serial.toString(),
    }
  },
} as const

/** The plugin with the settings of one service. */
export function sshCertificatePlugin(settings: SshCertificateSettings) {
  const { id, description, lifetimes } = sshCertificate
  return definePlugin({
    id,
    description,
    lifetimes,
    parameters,
    request: (context, wanted) => sshCertificate.request(context, wanted, settings),
  })
}

function readKey(line: string): SshPublicKey {
  try {
    return readSshPublicKeyLine(line)
  } catch (error) {
    if (!(error instanceof CaError)) throw error
    throw new PluginError('invalid_parameters', `public_key: ${error.message}`, { cause: error })
  }
}

/** What would else be found out only when a login fails. */
function warningsFor(publicKey: SshPublicKey, settings: SshCertificateSettings): string[] {
  const { source_addresses: networks, force_command: command } = settings
  const warnings: string[] = []
  if (publicKey.kind.startsWith('sk-'))
    warnings.push('Servers take keys that are in a security key from OpenSSH 8.2 on')
  if (networks !== undefined)
    warnings.push(`The certificate is good for logins from these networks: ${networks.join(', ')}`)
  if (command !== undefined)
    warnings.push(`Whatever you ask, this certificate runs one command: ${command}`)
  return warnings
}
