/**
 * Opens the CA and the SSH CA, and makes sure that they and the database belong together. A new CA is created only
 * where there has never been one: a forgotten volume or a new replica must not get a CA that nobody trusts.
 */
import { createHash, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { encode } from '../../ca/asn1.ts'
import type { Authority } from '../../ca/authority.ts'
import { verifyCrl } from '../../ca/chain-revocation.ts'
import { readCrlOutline } from '../../ca/crl.ts'
import { formatSlashDn } from '../../ca/name-text.ts'
import type { SshAuthority } from '../../ca/ssh/authority.ts'
import { TtsError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { LoadedConfiguration } from '../config/load.ts'
import type { AuthorityKind, RecordedAuthority } from '../domain/installation.ts'
import type { Store } from '../domain/store.ts'
import {
  type AuthorityFilesOptions,
  authorityExists,
  initAuthorityFiles,
  openAuthorityFiles,
} from '../files/authority-files.ts'
import { describeInvalid, invalidAt } from '../files/authority-certificate.ts'
import { readDatabaseMark, writeDatabaseMark } from '../files/database-mark.ts'
import {
  initSshAuthorityFiles,
  openSshAuthorityFiles,
  sshAuthorityExists,
} from '../files/ssh-authority-files.ts'

/** What opening a CA needs. */
export interface Installation {
  readonly loaded: LoadedConfiguration
  readonly store: Pick<Store, 'installation' | 'latestCrl'>
  readonly log: Log
  readonly now: () => Date
}

/** Options of the files of both CAs. */
export function authorityFilesOptions({
  configuration,
  dataDirectory,
}: LoadedConfiguration): AuthorityFilesOptions {
  return { dataDirectory, passphrase: configuration.ca.passphrase, randomBytes }
}

/**
 * Opens the CA of this database.
 *
 * @param mayCreate create a CA if there has never been one, and record the CA in the database
 * @throws {TtsError} `configuration`, checks `authority_missing` (the database knows a CA, but there is none in the
 *   data directory), `authority_differs` (it is another one), `database_differs` (the CA has issued with another
 *   database)
 */
export async function openInstalledAuthority(
  installation: Installation,
  mayCreate: boolean,
): Promise<Authority> {
  const { loaded, store, now } = installation
  const recorded = await store.installation.authority('x509-ca')
  if (!authorityExists(loaded.dataDirectory)) {
    await refuseMissing(installation, { kind: 'x509-ca', recorded })
    if (!mayCreate) throw noAuthorityYet(loaded)
    await createAuthority(installation)
  }
  const authority = await openAuthorityFiles(authorityFilesOptions(loaded))
  const found = recordedForm(authority, now())
  if (recorded === undefined) await refuseForeignCrl(installation, authority)
  refuseOther(installation, { kind: 'x509-ca', found, recorded })
  await refuseOtherDatabase(installation)
  if (mayCreate) await record(installation, { kind: 'x509-ca', found })
  return authority
}

/** The same for the SSH CA. @throws as `openInstalledAuthority` */
export async function openInstalledSshAuthority(
  installation: Installation,
  mayCreate: boolean,
): Promise<SshAuthority> {
  const { loaded, store, log, now } = installation
  const options = authorityFilesOptions(loaded)
  const recorded = await store.installation.authority('ssh-ca')
  if (!sshAuthorityExists(loaded.dataDirectory)) {
    await refuseMissing(installation, { kind: 'ssh-ca', recorded })
    if (mayCreate) {
      const { publicKey } = await initSshAuthorityFiles(options, 'ed25519')
      log.info({ event: 'ssh-ca.made', key_kind: publicKey.kind }, 'created a new SSH CA')
    }
  }
  const authority = await openSshAuthorityFiles(options)
  const found = recordedSshForm(authority, now())
  refuseOther(installation, { kind: 'ssh-ca', found, recorded })
  await record(installation, { kind: 'ssh-ca', found })
  return authority
}

/** The error of commands that need a CA and must not create one. */
export function noAuthorityYet({ dataDirectory }: LoadedConfiguration): TtsError {
  return new TtsError('configuration', `there is no CA in ${dataDirectory} yet`, {
    check: 'no_authority',
    remedy: 'Select the right configuration with --config FILE, or create a CA with `tts ca init`.',
  })
}

/**
 * Whether the CA can issue now: `ok`, or what is wrong, for `/readyz`.
 *
 * @throws {TtsError} `store_unavailable`
 */
export async function authorityStatus(
  { store, now, others }: AuthorityState,
  authority: Authority,
): Promise<string> {
  const invalid = invalidAt(authority, now())
  if (invalid !== undefined) return describeInvalid(invalid)
  const recorded = await store.installation.authority('x509-ca')
  // After a roll-over on another replica, this one follows by itself; until then its CA is as good.
  const usable = [authority, ...others.map((other) => other.authority)]
  return recorded === undefined ||
    usable.some((one) => recorded.keyId === recordedForm(one, now()).keyId)
    ? 'ok'
    : 'the database belongs to another CA now: restart this replica with that CA'
}

interface AuthorityState extends Pick<Installation, 'store' | 'now'> {
  /** The CAs before and after a roll-over of the key. */
  readonly others: readonly { readonly authority: Authority }[]
}

/** How the records identify a CA: by its key, because a renewed certificate has the same one. */
export function recordedForm({ certificate }: Authority, since: Date): RecordedAuthority {
  const keyId = createHash('sha256').update(encode(certificate.publicKeyInfo)).digest('hex')
  return { keyId, name: formatSlashDn(certificate.subject), since }
}

/** The same for an SSH CA. */
export function recordedSshForm({ publicKey }: SshAuthority, since: Date): RecordedAuthority {
  const keyId = createHash('sha256').update(publicKey.blob).digest('hex')
  return { keyId, name: publicKey.kind, since }
}

async function createAuthority({ loaded, log, now }: Installation): Promise<void> {
  const { subject, key_kind: keyKind, lifetime_days: lifetimeDays } = loaded.configuration.ca
  const request = { subject, keyKind, lifetimeDays, now: now() }
  await initAuthorityFiles(authorityFilesOptions(loaded), request)
  const directory = join(loaded.dataDirectory, 'ca')
  log.info({ event: 'ca.made', subject, key_kind: keyKind, directory }, 'created a new CA')
}

/** Words for the messages about each kind of CA. */
const texts = {
  'x509-ca': { name: 'CA', directory: 'ca', init: 'tts ca init', adopt: 'tts ca adopt' },
  'ssh-ca': {
    name: 'SSH CA',
    directory: 'ssh-ca',
    init: 'tts ssh-ca init',
    adopt: 'tts ssh-ca adopt',
  },
} as const

async function refuseMissing(
  { loaded, store }: Installation,
  missing: { readonly kind: AuthorityKind; readonly recorded: RecordedAuthority | undefined },
): Promise<void> {
  const { kind, recorded } = missing
  if (recorded === undefined && !(await store.installation.hasIssued(kind))) return
  const { name, directory, init, adopt } = texts[kind]
  const belongs = recorded === undefined ? `records of a ${name}` : `the ${name} ${short(recorded)}`
  throw new TtsError(
    'configuration',
    `the database belongs to ${belongs}, but there is no ${name} in ${join(loaded.dataDirectory, directory)}`,
    {
      check: 'authority_missing',
      remedy: `Restore this directory from the backup, mount the volume that holds it, or copy it from another replica. If this ${name} is lost for ever, run \`${init}\`, then \`${adopt}\`.`,
    },
  )
}

function refuseOther(
  { loaded }: Installation,
  compared: {
    readonly kind: AuthorityKind
    readonly found: RecordedAuthority
    readonly recorded: RecordedAuthority | undefined
  },
): void {
  const { kind, found, recorded } = compared
  if (recorded === undefined || found.keyId === recorded.keyId) return
  const { name, directory, adopt } = texts[kind]
  throw new TtsError(
    'configuration',
    `the database belongs to the ${name} ${short(recorded)}, but in ${join(loaded.dataDirectory, directory)} is the ${name} ${short(found)}`,
    { check: 'authority_differs', remedy: remedyForOther(name, adopt) },
  )
}

function remedyForOther(name: string, adopt: string): string {
  return `Restore the directory of the right ${name}, or set store.path or store.url to the database of this one. To continue with this ${name} on purpose, run \`${adopt}\`.`
}

const short = ({ name, keyId }: RecordedAuthority): string =>
  `${name} (SHA-256 of its key ${keyId.slice(0, 16)}…)`

/** The last CRL identifies the CA of a database that has not recorded one yet. */
async function refuseForeignCrl(
  { store, loaded }: Installation,
  { certificate }: Authority,
): Promise<void> {
  const crl = await store.latestCrl()
  if (crl === undefined || verifyCrl(readCrlOutline(crl.der), certificate)) return
  throw new TtsError(
    'configuration',
    `the CA in ${join(loaded.dataDirectory, 'ca')} did not sign the CRL in the database, so it is not the CA of these records`,
    { check: 'authority_differs', remedy: remedyForOther('CA', 'tts ca adopt') },
  )
}

/**
 * A CA that has issued with another database must not continue with a new one: names could be given to other people,
 * and revoked certificates would be missing in the CRL.
 */
async function refuseOtherDatabase({ loaded, store }: Installation): Promise<void> {
  const mark = await readDatabaseMark(loaded.dataDirectory)
  if (mark === undefined || mark === (await store.installation.databaseId())) return
  throw new TtsError(
    'configuration',
    `the CA in ${join(loaded.dataDirectory, 'ca')} has issued with another database than this one`,
    {
      check: 'database_differs',
      remedy:
        'Restore the database from the backup, or set store.path or store.url to the right one. Another database knows neither the names of the users nor what was revoked. To continue with it on purpose, run `tts ca adopt`.',
    },
  )
}

async function record(
  { loaded, store, log }: Installation,
  { kind, found }: { readonly kind: AuthorityKind; readonly found: RecordedAuthority },
): Promise<void> {
  const recorded = await store.installation.recordAuthority(kind, found)
  // Another process may have recorded its CA since we looked.
  refuseOther({ loaded, store, log, now: () => found.since }, { kind, found, recorded })
  if (kind === 'x509-ca')
    await writeDatabaseMark(loaded.dataDirectory, await store.installation.databaseId()).catch(
      (error: unknown) => {
        log.warn(
          { event: 'ca.mark-failed', err: error },
          'cannot write ca/database-id; a start with a new database will not be noticed',
        )
      },
    )
}
