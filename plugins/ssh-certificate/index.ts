/**
 * The plugin `ssh-certificate`: an OpenSSH user certificate for the caller's own public key. The private key never
 * leaves the caller. The account follows from identity and settings, never from the request.
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

/** The part of the issuing context that this plugin uses. */
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

/** Issues OpenSSH user certificates. The `state` by which one is revoked is its serial number, decimal. */
export const sshCertificate = {
  id: 'ssh-certificate',
  description: 'OpenSSH user certificate for your own SSH key',
  lifetimes: { defaultSeconds: 12 * 3600, maximumSeconds: 24 * 3600 },
  settings: sshCertificateSettings,
  parameters,
  async request(
    context: SshIssuingContext,
    request: z.output<typeof parameters>,
    settings: SshCertificateSettings,
  ): Promise<PluginAnswer> {
    const publicKey = readKey(request.public_key)
    const principal = principalOf(context.caller, settings)
    const made = await context.sshCertificate({
      publicKey,
      principals: [principal],
      keyId: keyIdOf(context.caller, context.credentialId),
      lifetimeSeconds: request.lifetime_seconds,
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

/** Returns the plugin with the settings of one service. */
export function sshCertificatePlugin(settings: SshCertificateSettings) {
  const { id, description, lifetimes } = sshCertificate
  return definePlugin({
    id,
    description,
    lifetimes,
    parameters,
    request: (context, request) => sshCertificate.request(context, request, settings),
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

/** Warnings about restrictions that users would otherwise notice only when a login fails. */
function warningsFor(publicKey: SshPublicKey, settings: SshCertificateSettings): string[] {
  const { source_addresses: networks, force_command: command } = settings
  const warnings: string[] = []
  if (publicKey.kind.startsWith('sk-'))
    warnings.push('Only servers with OpenSSH 8.2 or later accept keys on a security key')
  if (networks !== undefined)
    warnings.push(`The certificate can only be used from these networks: ${networks.join(', ')}`)
  if (command !== undefined) warnings.push(`The certificate can only run this command: ${command}`)
  return warnings
}
