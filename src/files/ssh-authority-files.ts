/**
 * The SSH CA on disk: `ssh-ca/ca-key.pem` (PKCS#8, encrypted) and `ssh-ca/passphrase` (made at random unless one is
 * configured). There is no certificate: hosts trust the public key, which is derived from the private one.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { CaError } from '../../ca/errors.ts'
import { decryptPrivateKey, encryptPrivateKey } from '../../ca/private-key.ts'
import {
  generateSshAuthorityKey,
  openSshAuthority,
  type SshAuthority,
  type SshAuthorityKeyKind,
} from '../../ca/ssh/authority.ts'
import { TtsError } from '../base/errors.ts'
import type { AuthorityFilesOptions } from './authority-files.ts'
import { makeDirectory } from './directory.ts'
import { createPrivateFile, readPrivateFile } from './private-file.ts'

const MAX_KEY_BYTES = 64 * 1024
const MAX_PASSPHRASE_BYTES = 4096

/** Returns the paths of the SSH CA's files. */
export function sshAuthorityPaths(dataDirectory: string) {
  const directory = join(dataDirectory, 'ssh-ca')
  return {
    directory,
    privateKey: join(directory, 'ca-key.pem'),
    passphrase: join(directory, 'passphrase'),
  }
}

/** Whether there is an SSH CA key. */
export function sshAuthorityExists(dataDirectory: string): boolean {
  return existsSync(sshAuthorityPaths(dataDirectory).privateKey)
}

/**
 * Opens the SSH CA.
 *
 * @throws {TtsError} `configuration`, naming the faulty file
 */
export async function openSshAuthorityFiles(options: AuthorityFilesOptions): Promise<SshAuthority> {
  const paths = sshAuthorityPaths(options.dataDirectory)
  const pem = await readOr(paths.privateKey, MAX_KEY_BYTES, {
    message: `there is no SSH CA key ${paths.privateKey}`,
    remedy: 'Restore it from the backup, or make an SSH CA with `tts ssh-ca init`.',
  })
  const passphrase = await readPassphrase(options)
  return fromFiles(paths.directory, () => openSshAuthority(decryptPrivateKey(pem, passphrase)))
}

/**
 * Makes an SSH CA.
 *
 * @throws {TtsError} `conflict` (there is one already); `configuration`
 */
export async function initSshAuthorityFiles(
  options: AuthorityFilesOptions,
  kind: SshAuthorityKeyKind,
): Promise<SshAuthority> {
  const paths = sshAuthorityPaths(options.dataDirectory)
  if (sshAuthorityExists(options.dataDirectory)) throw existsAlready(paths.directory)
  await makeDirectory(paths.directory, 0o700)
  const passphrase = await readOrMakePassphrase(options)
  const privateKey = await generateSshAuthorityKey(kind)
  const pem = await encryptPrivateKey(privateKey, passphrase)
  try {
    await createPrivateFile(paths.privateKey, pem)
  } catch (error) {
    // Another process was faster.
    if (error instanceof TtsError && error.code === 'conflict') throw existsAlready(paths.directory)
    throw error
  }
  return openSshAuthority(privateKey)
}

function existsAlready(directory: string): TtsError {
  return new TtsError(
    'conflict',
    `there is an SSH CA in ${directory} already; a CA is never overwritten`,
  )
}

async function readPassphrase(options: AuthorityFilesOptions): Promise<string> {
  if (options.passphrase !== undefined) return options.passphrase
  const { passphrase } = sshAuthorityPaths(options.dataDirectory)
  const text = await readOr(passphrase, MAX_PASSPHRASE_BYTES, {
    message: `the passphrase of the SSH CA key, ${passphrase}, is missing`,
    remedy: 'Restore it from the backup, or configure the passphrase that encrypts the key.',
  })
  return text.trim()
}

async function readOrMakePassphrase(options: AuthorityFilesOptions): Promise<string> {
  const { passphrase } = sshAuthorityPaths(options.dataDirectory)
  if (options.passphrase !== undefined) return options.passphrase
  try {
    await createPrivateFile(passphrase, `${options.randomBytes(32).toString('base64url')}\n`)
  } catch (error) {
    if (!(error instanceof TtsError) || error.code !== 'conflict') throw error
  }
  return readPassphrase(options)
}

async function readOr(
  path: string,
  maxBytes: number,
  missing: { readonly message: string; readonly remedy: string },
): Promise<string> {
  try {
    return (await readPrivateFile(path, { maxBytes })).toString('utf8')
  } catch (error) {
    if (!(error instanceof TtsError) || error.code !== 'not_found') throw error
    throw new TtsError('configuration', missing.message, { cause: error, remedy: missing.remedy })
  }
}

function fromFiles<T>(directory: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof CaError)) throw error
    throw new TtsError('configuration', `the SSH CA in ${directory}: ${error.message}`, {
      cause: error,
    })
  }
}
