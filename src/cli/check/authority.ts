/** The checks of CA, CRL, database and SSH CA. */
import { randomBytes } from 'node:crypto'
import { formatSlashDn } from '../../../ca/name-text.ts'
import type { LoadedConfiguration } from '../../config/load.ts'
import { TtsError } from '../../base/errors.ts'
import { authorityExists } from '../../files/authority-files.ts'
import { openSshAuthorityFiles, sshAuthorityExists } from '../../files/ssh-authority-files.ts'
import { type Core, openCore, type Runtime } from '../../service/compose.ts'
import { needsSshAuthority } from '../../service/compose-services.ts'
import { timeLeft } from '../terminal.ts'
import { type Check, failure } from './check.ts'

const DAY_MS = 86_400_000

/**
 * Checks CA and database. Neither is created, so before the CA exists the database is not checked. A CA or database
 * that cannot be opened is a result of this command, not a reason to abort it.
 */
export async function authorityChecks(
  loaded: LoadedConfiguration,
  runtime: Runtime,
): Promise<Check[]> {
  const checks = await x509Checks(loaded, runtime)
  return needsSshAuthority(loaded) ? [...checks, await sshCheck(loaded)] : checks
}

async function x509Checks(loaded: LoadedConfiguration, runtime: Runtime): Promise<Check[]> {
  if (!authorityExists(loaded.dataDirectory)) {
    return [
      {
        check: 'ca',
        state: 'failed',
        detail: `there is no CA in ${loaded.dataDirectory} yet`,
        remedy: 'Run `tts ca init`, or `tts serve`, which creates one.',
      },
    ]
  }
  let core: Core
  try {
    core = await openCore(loaded, runtime, { makeAuthority: false })
  } catch (error) {
    return [failure('ca and records', error)]
  }
  try {
    return [certificateCheck(core), await crlCheck(core), await recordsCheck(core)]
  } finally {
    await core.close()
  }
}

async function sshCheck({ configuration, dataDirectory }: LoadedConfiguration): Promise<Check> {
  const check = 'ssh ca'
  if (!sshAuthorityExists(dataDirectory)) {
    return {
      check,
      state: 'failed',
      detail: `there is no SSH CA in ${dataDirectory} yet`,
      remedy: 'Run `tts ssh-ca init`, or `tts serve`, which creates one.',
    }
  }
  try {
    const options = { dataDirectory, passphrase: configuration.ca.passphrase, randomBytes }
    const { publicKey } = await openSshAuthorityFiles(options)
    return { check, state: 'ok', detail: publicKey.kind }
  } catch (error) {
    return failure(check, error)
  }
}

function certificateCheck({ authority, now }: Core): Check {
  const { notAfter } = authority.certificate.validity
  const left = notAfter.getTime() - now().getTime()
  const state = left <= 0 ? 'failed' : left < 365 * DAY_MS ? 'warning' : 'ok'
  const detail = `${formatSlashDn(authority.certificate.subject)}, ${timeLeft(notAfter, now())}`
  return {
    check: 'ca',
    state,
    detail,
    remedy: 'Run `tts ca renew`, then distribute the new trust anchors.',
  }
}

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
    const detail = error instanceof TtsError ? error.message : 'failed'
    return {
      check: 'records',
      state: 'failed',
      detail,
      remedy: 'Check store.path or store.url, free disk space, and the database server.',
    }
  }
}
