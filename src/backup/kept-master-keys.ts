/** Master keys that are there already when a backup is restored, as they must be with `master_key_file`. */
import { TtsError } from '../base/errors.ts'
import { parseMasterKeys, readMasterKeyFile } from '../store/encryption/master-keys.ts'
import type { BackupFile } from './content.ts'
import { type FilePlace, MASTER_KEYS } from './files.ts'

/**
 * Whether there is a file of master keys, which is then kept. It must have all those of the backup.
 *
 * @throws {TtsError} `conflict`, check `not_empty` (it lacks some); `configuration` (it cannot be read)
 */
export async function keepsMasterKeys(
  { masterKeyFile: path }: FilePlace,
  files: readonly BackupFile[],
): Promise<boolean> {
  if (path === undefined) return false
  const present = await readMasterKeyFile({ path, readers: 'root_for_group' })
  if (present === undefined) return false
  const file = files.find((one) => one.path === MASTER_KEYS)
  if (file === undefined) return true
  const { keys } = parseMasterKeys(file.data.toString('utf8'), 'the file master-keys of the backup')
  const missing = [...keys].filter(([id, key]) => present.keys.get(id)?.equals(key) !== true)
  if (missing.length === 0) return true
  const ids = missing.map(([id]) => id).join(', ')
  throw new TtsError(
    'conflict',
    `${path} does not have all master keys of the backup: ${ids} ${missing.length === 1 ? 'is' : 'are'} missing or different; nothing was restored`,
    {
      check: 'not_empty',
      remedy:
        'Add these keys to the file from where your secrets are kept. Or move the file away, and leave out master_key_file until the restore has written the file of the backup. It is never overwritten.',
    },
  )
}
