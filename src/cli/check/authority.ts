/** The checks of CA, CRL, database and SSH CA. */
import { formatSlashDn } from '../../../ca/name-text.ts'
import type { LoadedConfiguration } from '../../config/load.ts'
import { authorityEnd, describeInvalid, invalidAt } from '../../files/authority-certificate.ts'
import { authorityExists } from '../../files/authority-files.ts'
import { openSshAuthorityFiles, sshAuthorityExists } from '../../files/ssh-authority-files.ts'
import { type Core, databaseSettings, openCore, type Runtime } from '../../service/compose.ts'
import { probeDatabase } from '../../store/probe-database.ts'
import { clockChecks } from './clock.ts'
import { authorityFilesOptions } from '../../service/installation.ts'
import { needsSshAuthority } from '../../service/compose-services.ts'
import { timeLeft } from '../terminal.ts'
import { type Check, failure } from './check.ts'

const DAY_MS = 86_400_000

/**
 * Checks CA and database. Neither is created. A CA or database that cannot be opened is a result of this command, not a
 * reason to abort it.
 */
export async function authorityChecks(
  loaded: LoadedConfiguration,
  runtime: Runtime,
): Promise<Check[]> {
  const checks = await x509Checks(loaded, runtime)
  return needsSshAuthority(loaded) ? [...checks, await sshCheck(loaded)] : checks
}

async function x509Checks(loaded: LoadedConfiguration, runtime: Runtime): Promise<Check[]> {
  const { checks: database, hasRecords } = await databaseChecks(loaded, runtime)
  if (database.some(({ check, state }) => check === 'database' && state === 'failed'))
    return database
  if (!authorityExists(loaded.dataDirectory) && !hasRecords)
    return [noAuthority('ca', 'CA', loaded), ...database]
  let core: Core
  try {
    core = await openCore(loaded, runtime, { makeAuthority: false })
  } catch (error) {
    return [failure('ca and records', error), ...database]
  }
  try {
    const records = await recordsCheck(core)
    const authorities = [
      certificateCheck(core),
      ...core.others.map((other) => otherCheck(other, core)),
    ]
    return [...authorities, await crlCheck(core), records, ...database.filter(isProblem)]
  } finally {
    await core.close()
  }
}

const isProblem = ({ state }: Check): boolean => state !== 'ok'

/** Looks at the database without changing it, also before there is a CA. */
async function databaseChecks(loaded: LoadedConfiguration, { now }: Runtime) {
  try {
    const { description, hasRecords, clock } = await probeDatabase(databaseSettings(loaded), now)
    const connected: Check = { check: 'database', state: 'ok', detail: description }
    const clocks = clock === undefined ? [] : clockChecks('the database', clock)
    return { hasRecords, checks: [connected, ...clocks] }
  } catch (error) {
    return { hasRecords: false, checks: [failure('database', error)] }
  }
}

/** A warning, because a first start makes it. */
function noAuthority(check: string, name: string, { dataDirectory }: LoadedConfiguration): Check {
  const command = check === 'ca' ? 'tts ca init' : 'tts ssh-ca init'
  return {
    check,
    state: 'warning',
    detail: `there is no ${name} in ${dataDirectory} yet`,
    remedy: `Run \`${command}\`, or \`tts serve\`, which creates one.`,
  }
}

async function sshCheck(loaded: LoadedConfiguration): Promise<Check> {
  const check = 'ssh ca'
  const { dataDirectory } = loaded
  if (!sshAuthorityExists(dataDirectory)) {
    return noAuthority(check, 'SSH CA', loaded)
  }
  try {
    const { publicKey } = await openSshAuthorityFiles(authorityFilesOptions(loaded))
    return { check, state: 'ok', detail: publicKey.kind }
  } catch (error) {
    return failure(check, error)
  }
}

function certificateCheck({ authority, now }: Core): Check {
  const end = authorityEnd(authority)
  const left = end.getTime() - now().getTime()
  const invalid = invalidAt(authority, now())
  const { chain, certificate } = authority
  const kind = chain.length === 0 ? 'self-signed' : `under ${chain.map(nameOf).join(', under ')}`
  return {
    check: 'ca',
    state: invalid !== undefined ? 'failed' : left < 365 * DAY_MS ? 'warning' : 'ok',
    detail:
      invalid === undefined
        ? `${nameOf(certificate)}, ${kind}, ${timeLeft(end, now())}`
        : describeInvalid(invalid),
    remedy:
      invalid?.state === 'not_yet_valid'
        ? 'Check the clock of this machine.'
        : chain.length === 0
          ? 'Run `tts ca renew`, then distribute the new trust anchors.'
          : 'Run `tts ca csr`, have the request signed by the CA above, run `tts ca install FILE`, then distribute the new trust anchors.',
  }
}

/** A CA before or after a roll-over of the key. */
function otherCheck({ authority, role }: Core['others'][number], { now }: Core): Check {
  const invalid = invalidAt(authority, now())
  return {
    check: `ca ${role}`,
    state: invalid === undefined ? 'ok' : 'warning',
    detail:
      invalid === undefined
        ? `${nameOf(authority.certificate)}, ${timeLeft(authorityEnd(authority), now())}`
        : describeInvalid(invalid),
    remedy:
      role === 'next'
        ? 'Check the clock of this machine.'
        : 'Run `tts ca roll-over finish`: what it signed has expired, too.',
  }
}

const nameOf = ({ subject }: Core['authority']['certificate']): string => formatSlashDn(subject)

async function crlCheck({ crls, now }: Core): Promise<Check> {
  try {
    const crl = await crls.current()
    return {
      check: 'crl',
      state: 'ok',
      detail: `number ${crl.number}, next update ${timeLeft(crl.nextUpdate, now())}`,
    }
  } catch (error) {
    return failure('crl', error)
  }
}

async function recordsCheck({ store }: Core): Promise<Check> {
  try {
    await store.ping()
    return { check: 'records', state: 'ok', detail: `${store.kind}, readable and writable` }
  } catch (error) {
    return failure('records', error)
  }
}
