/** `tts ca …`: creates and shows the CA, exports its trust anchors, and puts it under an external root. */
import { Command, Option } from 'commander'
import type { Authority } from '../../ca/authority.ts'
import { fingerprint } from '../../ca/certificate.ts'
import { keyKinds, type KeyKind } from '../../ca/key.ts'
import { readPublicKey } from '../../ca/public-key.ts'
import { formatSlashDn } from '../../ca/name-text.ts'
import { toPem } from '../../ca/pem.ts'
import type { LoadedConfiguration } from '../config/load.ts'
import { trustAnchorsOf } from '../service/roll-over.ts'
import { cannotRead, fileError } from '../files/file-errors.ts'
import { STANDARD_OUTPUT } from '../files/output-file.ts'
import { packTrustAnchors } from '../files/trust-anchor-archive.ts'
import { readInputFile } from '../files/input-file.ts'
import {
  authorityExists,
  authorityPaths,
  initAuthorityFiles,
  installAuthorityFiles,
  openAuthorityFiles,
  renewAuthorityFiles,
  requestAuthorityFiles,
} from '../files/authority-files.ts'
import { writeTrustAnchorDirectory } from '../files/trust-anchor-directory.ts'
import type { Core } from '../service/compose.ts'
import { authorityFilesOptions } from '../service/installation.ts'
import { actAsCaller } from './act-as-owner.ts'
import { adoptCommand } from './adopt.ts'
import { rollOverCommand } from './roll-over.ts'
import { wholeNumberOption } from './duration.ts'
import {
  loadedConfigurationFor,
  facts,
  type OperatorOptions,
  type Terminal,
  timeLeft,
  withCore,
  withCoreOf,
} from './terminal.ts'

const MAX_CERTIFICATE_BYTES = 1024 * 1024

const kinds = keyKinds.filter((kind) => kind !== 'rsa-2048')

export function caCommand(terminal: Terminal): Command {
  const command = new Command('ca').description(
    'manage the certification authority: create, show, export trust anchors',
  )

  command
    .command('init')
    .description(
      'create a self-signed CA in the data directory (`tts serve` does this if there is none)',
    )
    .option('--subject <DN>', 'name of the CA, for example /DC=org/DC=example/CN=Example TTS CA')
    .addOption(new Option('--key-kind <KIND>', 'key type').choices(kinds))
    .option('--lifetime-days <DAYS>', 'lifetime of the CA certificate in days', wholeNumberOption)
    .action((_options, self: Command) => init(terminal, self.optsWithGlobals()))

  command
    .command('show')
    .description('show the CA, its expiry, and the next update of its CRL')
    .action((_options, self: Command) =>
      withCore(terminal, self.optsWithGlobals(), (core) =>
        show(terminal, core, self.optsWithGlobals()),
      ),
    )

  command
    .command('export')
    .argument(
      '<directory>',
      'for example /etc/grid-security/certificates; `-`: a .tar.gz to standard output',
    )
    .description(
      'write the trust anchors for relying parties: certificate, CRL, signing_policy, namespaces, info',
    )
    .action((directory: string, _options, self: Command) =>
      exportTo(terminal, self.optsWithGlobals(), directory),
    )

  command
    .command('crl')
    .description('print the CRL (and renew it first if that is due)')
    .option('--der', 'print DER instead of PEM')
    .action((options: { der?: boolean }, self: Command) =>
      withCore(terminal, self.optsWithGlobals(), async (core) => {
        const { der } = await core.crls.current()
        terminal.out(options.der ? der : toPem('X509 CRL', der))
      }),
    )

  addCertificateCommands(command, terminal)
  command.addCommand(rollOverCommand(terminal))
  command.addCommand(adoptCommand(terminal, 'x509-ca'))
  return command.addHelpText(
    'after',
    `
Examples:
  tts ca show
  tts ca export /etc/grid-security/certificates
  tts ca init --subject '/DC=org/DC=example/CN=Example TTS CA'
  tts ca csr > ca.csr      # let the root CA sign it, then:
  tts ca install ca-and-chain.pem`,
  )
}

/** Adds the commands that replace the CA certificate. */
function addCertificateCommands(command: Command, terminal: Terminal): void {
  command
    .command('csr')
    .description('create a key and a CSR for an intermediate CA, to be signed by an external root')
    .option('--subject <DN>', 'name of the CA')
    .addOption(new Option('--key-kind <KIND>', 'key type').choices(kinds))
    .action((_options, self: Command) => request(terminal, self.optsWithGlobals()))

  command
    .command('install')
    .argument('<file>', 'PEM file with the certificate of this CA, then its issuers, the root last')
    .description('install the certificate that the external root signed')
    .action((file: string, _options, self: Command) =>
      install(terminal, self.optsWithGlobals(), file),
    )

  command
    .command('renew')
    .description(
      'renew the certificate of a self-signed CA with the same key and name; all issued certificates stay valid',
    )
    .option('--lifetime-days <DAYS>', 'lifetime of the new certificate in days', wholeNumberOption)
    .action((_options, self: Command) => renew(terminal, self.optsWithGlobals()))
}

interface MakeOptions extends OperatorOptions {
  readonly subject?: string
  readonly keyKind?: KeyKind
  readonly lifetimeDays?: number
}

async function init(terminal: Terminal, options: MakeOptions): Promise<void> {
  const loaded = await loadedConfigurationFor(terminal, options)
  const { ca } = loaded.configuration
  const authority = await initAuthorityFiles(authorityFilesOptions(loaded), {
    subject: options.subject ?? ca.subject,
    keyKind: options.keyKind ?? ca.key_kind,
    lifetimeDays: options.lifetimeDays ?? ca.lifetime_days,
    now: terminal.now(),
  })
  const { directory } = authorityPaths(loaded.dataDirectory)
  terminal.note(
    `The CA ${formatSlashDn(authority.certificate.subject)} is in ${directory}. Back up this directory: nobody can recreate its key.`,
  )
}

async function request(terminal: Terminal, options: MakeOptions): Promise<void> {
  const loaded = await loadedConfigurationFor(terminal, options)
  const { ca } = loaded.configuration
  terminal.out(
    await requestAuthorityFiles(authorityFilesOptions(loaded), {
      subject: options.subject ?? (await currentSubject(loaded)) ?? ca.subject,
      keyKind: options.keyKind ?? ca.key_kind,
    }),
  )
  terminal.note(
    'Let the root sign the CSR as a CA (basicConstraints CA:TRUE, keyUsage keyCertSign and cRLSign), then run `tts ca install FILE`.',
  )
}

/**
 * Returns the name of the existing CA. It must stay the same under another root, because all issued certificates name
 * it as issuer.
 */
async function currentSubject(loaded: LoadedConfiguration): Promise<string | undefined> {
  if (!authorityExists(loaded.dataDirectory)) return undefined
  const { certificate } = await openAuthorityFiles(authorityFilesOptions(loaded))
  return formatSlashDn(certificate.subject)
}

async function install(terminal: Terminal, options: OperatorOptions, file: string): Promise<void> {
  // Before root acts as the owner of the data directory, who may not be able to read it.
  const content = await readInputFile(file, { maxBytes: MAX_CERTIFICATE_BYTES }).catch(
    (cause: unknown) => {
      throw cannotRead(`the file ${file}`, cause)
    },
  )
  const loaded = await loadedConfigurationFor(terminal, options)
  const request = { certificates: content.toString('utf8'), now: terminal.now() }
  const authority = await installAuthorityFiles(authorityFilesOptions(loaded), request)
  terminal.note(
    `Installed: ${describe(authority)}. Reload the service: send SIGHUP to \`tts serve\`.`,
  )
}

async function renew(terminal: Terminal, options: MakeOptions): Promise<void> {
  const loaded = await loadedConfigurationFor(terminal, options)
  const authority = await renewAuthorityFiles(authorityFilesOptions(loaded), {
    lifetimeDays: options.lifetimeDays ?? loaded.configuration.ca.lifetime_days,
    now: terminal.now(),
  })
  terminal.note(
    `Renewed: ${describe(authority)}. Reload the service (send SIGHUP to \`tts serve\`), and distribute the new trust anchors before the old certificate expires.`,
  )
}

function describe({ certificate, chain }: Authority): string {
  const root = chain.at(-1)
  const ends = certificate.validity.notAfter.toISOString()
  return `${formatSlashDn(certificate.subject)}${root ? ` under ${formatSlashDn(root.subject)}` : ''}, valid until ${ends}`
}

async function show(
  terminal: Terminal,
  { authority, others, crls, crlUrlOf, endEntityBase }: Core,
  options: OperatorOptions,
): Promise<void> {
  const { certificate } = authority
  const crlUrl = crlUrlOf()
  const crl = await crls.current()
  const now = terminal.now()
  const summary = {
    subject: formatSlashDn(certificate.subject),
    issuer: formatSlashDn(certificate.issuer),
    users_under: formatSlashDn(endEntityBase),
    serial: certificate.serial,
    key: readPublicKey(certificate.publicKeyInfo).kind,
    fingerprint_sha256: fingerprint(certificate.der),
    not_before: certificate.validity.notBefore.toISOString(),
    not_after: certificate.validity.notAfter.toISOString(),
    crl_number: crl.number,
    crl_next_update: crl.nextUpdate.toISOString(),
    crl_url: crlUrl ?? null,
    others: others.map((other) => ({
      role: other.role,
      subject: formatSlashDn(other.authority.certificate.subject),
      not_after: other.authority.certificate.validity.notAfter.toISOString(),
    })),
  }
  if (options.json) {
    terminal.out(`${JSON.stringify(summary, null, 2)}\n`)
    return
  }
  terminal.out(
    facts([
      ['subject', summary.subject],
      ['issuer', summary.issuer],
      ['users under', summary.users_under],
      ['serial', summary.serial],
      ['key', summary.key],
      ['SHA-256', summary.fingerprint_sha256],
      ['valid from', summary.not_before],
      ['valid until', `${summary.not_after}  (${timeLeft(certificate.validity.notAfter, now)})`],
      [
        'CRL',
        `number ${crl.number}, next update ${summary.crl_next_update}  (${timeLeft(crl.nextUpdate, now)})`,
      ],
      ['CRL URL', crlUrl ?? 'none (set listen.public_url or ca.crl_url)'],
      ...summary.others.map(
        ({ role, subject, not_after: end }) =>
          [`${role} CA`, `${subject}, valid until ${end}`] as const,
      ),
    ]),
  )
}

async function exportTo(
  terminal: Terminal,
  options: OperatorOptions,
  directory: string,
): Promise<void> {
  const loaded = await loadedConfigurationFor(terminal, options, 'until_written')
  const files = await withCoreOf(terminal, loaded, async (core) => trustAnchorsOf(core).files())
  if (directory === STANDARD_OUTPUT) {
    terminal.out(await packTrustAnchors(files))
    return
  }
  // Only root may write to /etc/grid-security.
  actAsCaller()
  await writeTrustAnchorDirectory(directory, files).catch((cause: unknown) => {
    throw fileError(`the trust anchors cannot be written to ${directory}`, cause)
  })
  terminal.note(
    `Wrote ${files.length} files to ${directory}. If this is not the default directory, set X509_CERT_DIR=${directory}.`,
  )
}
