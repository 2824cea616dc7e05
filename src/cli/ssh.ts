/** `tts ssh-ca`: manages the key that signs SSH certificates, and prints the files for hosts. */
import { Command, Option } from 'commander'
import {
  type SshAuthority,
  type SshAuthorityKeyKind,
  sshAuthorityKeyKinds,
} from '../../ca/ssh/authority.ts'
import { createKrl, krlVersionAt } from '../../ca/ssh/krl.ts'
import { formatSshPublicKey, sshFingerprint } from '../../ca/ssh/public-key.ts'
import { SSH_AUTHORITY_COMMENT } from '../domain/issuing/ssh.ts'
import {
  initSshAuthorityFiles,
  openSshAuthorityFiles,
  sshAuthorityPaths,
} from '../files/ssh-authority-files.ts'
import { authorityFilesOptions } from '../service/installation.ts'
import { adoptCommand } from './adopt.ts'
import { loadedConfigurationFor, facts, type OperatorOptions, type Terminal } from './terminal.ts'

/** Returns the serial numbers of revoked SSH certificates that have not expired. */
export type RevokedSshSerials = (options: OperatorOptions) => Promise<readonly bigint[]>

export function sshCaCommand(terminal: Terminal, revokedSerials: RevokedSshSerials): Command {
  const command = new Command('ssh-ca').description(
    'manage the CA of SSH certificates: create, show its public key, print its revocation list',
  )

  command
    .command('init')
    .description('create a new SSH CA in the data directory')
    .addOption(
      new Option('--key-kind <KIND>', 'key type').choices(sshAuthorityKeyKinds).default('ed25519'),
    )
    .action((_options, self: Command) => init(terminal, self.optsWithGlobals()))

  command
    .command('show')
    .description('show the public key, with the line for TrustedUserCAKeys')
    .action((_options, self: Command) => show(terminal, self.optsWithGlobals()))

  command
    .command('krl')
    .description('print the revocation list (KRL) for RevokedKeys, in binary')
    .action((_options, self: Command) => krl(terminal, self.optsWithGlobals(), revokedSerials))

  command.addCommand(adoptCommand(terminal, 'ssh-ca'))
  return command.addHelpText(
    'after',
    `
Examples:
  tts ssh-ca init
  tts ssh-ca show --json | jq -r .trusted_user_ca_keys > /etc/ssh/tts-ssh-ca.pub
  tts ssh-ca krl > tts.krl && ssh-keygen -Ql -f tts.krl`,
  )
}

async function init(
  terminal: Terminal,
  options: OperatorOptions & { readonly keyKind: SshAuthorityKeyKind },
): Promise<void> {
  const loaded = await loadedConfigurationFor(terminal, options)
  const authority = await initSshAuthorityFiles(authorityFilesOptions(loaded), options.keyKind)
  const { directory } = sshAuthorityPaths(loaded.dataDirectory)
  terminal.out(publicKeyLine(authority))
  terminal.note(
    `The SSH CA is in ${directory}. Back up this directory: nobody can recreate its key. Add the line above to the TrustedUserCAKeys file of your hosts.`,
  )
}

async function show(terminal: Terminal, options: OperatorOptions): Promise<void> {
  const authority = await openSshAuthorityFiles(
    authorityFilesOptions(await loadedConfigurationFor(terminal, options)),
  )
  const description = {
    key: authority.publicKey.kind,
    fingerprint: sshFingerprint(authority.publicKey),
    trusted_user_ca_keys: publicKeyLine(authority).trimEnd(),
  }
  terminal.out(
    options.json
      ? `${JSON.stringify(description, null, 2)}\n`
      : facts([
          ['key', description.key],
          ['fingerprint', description.fingerprint],
          ['TrustedUserCAKeys', description.trusted_user_ca_keys],
        ]),
  )
}

async function krl(
  terminal: Terminal,
  options: OperatorOptions,
  revokedSerials: RevokedSshSerials,
): Promise<void> {
  const authority = await openSshAuthorityFiles(
    authorityFilesOptions(await loadedConfigurationFor(terminal, options)),
  )
  const now = terminal.now()
  terminal.out(
    createKrl({
      authority: authority.publicKey,
      version: krlVersionAt(now),
      generatedAt: now,
      comment: SSH_AUTHORITY_COMMENT,
      serials: await revokedSerials(options),
      keyIds: [],
    }),
  )
}

function publicKeyLine(authority: SshAuthority): string {
  return formatSshPublicKey(authority.publicKey, SSH_AUTHORITY_COMMENT)
}
