/** Where the master keys are: a file, or a value of the configuration. */
import { dirname, join, resolve } from 'node:path'
import type { LoadedConfiguration } from '../config/load.ts'
import {
  type MasterKeyFile,
  type MasterKeys,
  parseMasterKeys,
} from '../store/encryption/master-keys.ts'

/** @throws {TtsError} `configuration` (the value cannot be read) */
export function masterKeySource(loaded: LoadedConfiguration): MasterKeys | MasterKeyFile {
  const { master_key: value, master_key_file: file } = loaded.configuration
  if (file !== undefined) {
    const base = loaded.path === undefined ? process.cwd() : dirname(resolve(loaded.path))
    return { path: resolve(base, file), readers: 'root_for_group' }
  }
  if (value !== undefined) return parseMasterKeys(value, 'master_key')
  return { path: join(loaded.dataDirectory, 'master-keys') }
}
