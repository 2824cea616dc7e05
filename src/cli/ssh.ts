/** `tts ssh-ca`: the key by which SSH certificates are signed, and what hosts need of it. */
import { randomBytes } from 'node:crypto'
import { Command, Option } from 'commander'
import {
  type SshAuthority,
  type SshAuthorityKeyKind,
  sshAuthorityKeyKinds,
} from '../../ca/ssh/authority.ts'
import { createKrl, krlVersionAt } from '../../ca/ssh/krl.ts'
import { formatSshPublicKey, sshFingerprint } from '../../ca/ssh/public-key.ts'
import type { LoadedConfiguration } from '../config/load.ts'
import { SSH_AUTHORITY_COMMENT } from '../domain/issuing/ssh.ts'
import type { AuthorityFilesOptions } from '../files/authority-files.ts'
import {
  initSshAuthorityFiles,
  openSshAuthorityFiles,
  sshAuthorityPaths,
} from '../files/ssh-authority-files.ts'
import { loadedConfigurationFor, facts, type OperatorOptions, type Terminal } from './terminal.ts'

/** Serial numbers of the revoked SSH certificates that have not ended, from the records. */
export type RevokedSshSerials = (options: OperatorOptions) => Promise<readonly bigint[]>

export function sshCaCommand(terminal: Terminal, revokedSerials: RevokedSshSerials): Command {
  const command = new Command('ssh-ca').description(
    'the CA of SSH certificates: make it, show the line that hosts trust, print its revocation list',
  )

  command
    .command('init')
    .description('make the key of a new SSH CA in the data directory')
    .addOption(
      new Option('--key-kind <KIND>', 'kind of the key')
        .choices(sshAuthorityKeyKinds)
        .default('ed25519'),
    )
    .action((_options, self: Command) => init(terminal, self.optsWithGlobals()))

  command
    .command('show')
    .description('the key, and the line for TrustedUserCAKeys')
    .action((_options, self: Command) => show(terminal, self.optsWithGlobals()))

  command
    .command('krl')
    .description('print the revocation list (KRL) for RevokedKeys, in binary')
    .action((_options, self: Command) => krl(terminal, self.optsWithGlobals(), revokedSerials))

  return command.addHelpText(
    'after',
    `
Examples:
  tts ssh-ca init
  tts ssh-ca show --json | jq -r .trusted_user_ca_keys > /etc/ssh/tts-ssh-ca.pub
  tts ssh-ca krl > tts.krl && ssh-keygen -Ql -f tts.krl`,
  )
}

function filesOptions({
  configuration,
  dataDirectory,
}: LoadedConfiguration): AuthorityFilesOptions {
  return { dataDirectory, passphrase: configuration.ca.passphrase, randomBytes }
}

async function init(
  terminal: Terminal,
  options: OperatorOptions & { readonly keyKind: SshAuthorityKeyKind },
): Promise<void> {
  const loaded = await loadedConfigurationFor(terminal, options)
  const authority = await initSshAuthorityFiles(filesOptions(loaded), options.keyKind)
  const { directory } = sshAuthorityPaths(loaded.dataDirectory)
  terminal.out(lineOf(authority))
  terminal.note(
    `The SSH CA is in ${directory}. Back this directory up: it cannot be made again. The line above goes into TrustedUserCAKeys of hosts.`,
  )
}

async function show(terminal: Terminal, options: OperatorOptions): Promise<void> {
  const authority = await openSshAuthorityFiles(
    filesOptions(await loadedConfigurationFor(terminal, options)),
  )
  const about = {
    key: authority.publicKey.kind,
    fingerprint: sshFingerprint(authority.publicKey),
    trusted_user_ca_keys: lineOf(authority).trimEnd(),
  }
  terminal.out(
    options.json
      ? `${JSON.stringify(about, null, 2)}\n`
      : facts([
          ['key', about.key],
          ['fingerprint', about.fingerprint],
          ['TrustedUserCAKeys', about.trusted_user_ca_keys],
        ]),
  )
}

async function krl(
  terminal: Terminal,
  options: OperatorOptions,
  revokedSerials: RevokedSshSerials,
): Promise<void> {
  const authority = await openSshAuthorityFiles(
    filesOptions(await loadedConfigurationFor(terminal, options)),
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

function lineOf(authority: SshAuthority): string {
  return formatSshPublicKey(authority.publicKey, SSH_AUTHORITY_COMMENT)
}
