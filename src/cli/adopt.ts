/** `tts ca adopt` and `tts ssh-ca adopt`: the operator's word that a database continues with another CA. */
import { Command } from 'commander'
import type { AuthorityKind, RecordedAuthority } from '../domain/installation.ts'
import { cliOrigin, operatorRecord } from '../domain/operator-audit.ts'
import type { AuditRecord } from '../domain/records.ts'
import { openAuthorityFiles } from '../files/authority-files.ts'
import { writeDatabaseMark } from '../files/database-mark.ts'
import { openSshAuthorityFiles } from '../files/ssh-authority-files.ts'
import type { LoadedConfiguration } from '../config/load.ts'
import { authorityFilesOptions, recordedForm, recordedSshForm } from '../service/installation.ts'
import {
  loadedConfigurationFor,
  type OperatorOptions,
  type Terminal,
  withRecords,
} from './terminal.ts'

export function adoptCommand(terminal: Terminal, kind: AuthorityKind): Command {
  const name = kind === 'x509-ca' ? 'CA' : 'SSH CA'
  return new Command('adopt')
    .description(
      `make the ${name} in the data directory the ${name} of the database, in place of a lost one`,
    )
    .addHelpText(
      'after',
      `
\`tts serve\` refuses to start when the database belongs to another ${name}. Restore the right one from the backup if
you can. Only if it is lost for ever, or was replaced on purpose, run this command, and start \`tts serve\` again.
${kind === 'x509-ca' ? 'Certificates of the former CA can then not be revoked any more: remove it from the trust anchors of all sites.' : 'Remove the key of the former SSH CA from the TrustedUserCAKeys file of all hosts.'}

Example:
  ${kind === 'x509-ca' ? 'tts ca init && tts ca adopt' : 'tts ssh-ca init && tts ssh-ca adopt'}`,
    )
    .action((_options, self: Command) => adopt(terminal, self.optsWithGlobals(), kind))
}

async function adopt(
  terminal: Terminal,
  options: OperatorOptions,
  kind: AuthorityKind,
): Promise<void> {
  const loaded = await loadedConfigurationFor(terminal, options)
  const found = await authorityOnDisk(loaded, kind, terminal.now())
  await withRecords(loaded, terminal.now, async ({ installation }) => {
    const former = await installation.authority(kind)
    const isAnother = former?.keyId !== found.keyId
    if (isAnother) await installation.adoptAuthority(kind, found, auditOf(kind, found, former))
    if (kind === 'x509-ca')
      await writeDatabaseMark(loaded.dataDirectory, await installation.databaseId())
    terminal.note(
      isAnother
        ? `The database now belongs to ${describe(found)}${former === undefined ? '' : `, before to ${describe(former)}`}. Start \`tts serve\`, or send it SIGHUP.`
        : `The database belongs to ${describe(found)} already.`,
    )
  })
}

async function authorityOnDisk(
  loaded: LoadedConfiguration,
  kind: AuthorityKind,
  now: Date,
): Promise<RecordedAuthority> {
  const options = authorityFilesOptions(loaded)
  return kind === 'x509-ca'
    ? recordedForm(await openAuthorityFiles(options), now)
    : recordedSshForm(await openSshAuthorityFiles(options), now)
}

const describe = ({ name, keyId }: RecordedAuthority): string => `${name} (key ${keyId})`

function auditOf(
  kind: AuthorityKind,
  found: RecordedAuthority,
  former: RecordedAuthority | undefined,
): AuditRecord {
  return operatorRecord({
    at: found.since,
    event: 'authority.adopted',
    origin: cliOrigin,
    detail: `${kind}: ${describe(found)} in place of ${former === undefined ? 'none' : describe(former)}`,
  })
}
