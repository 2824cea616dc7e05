/**
 * Run by archive-records.test.ts in a process of its own: archives, and kills itself when the first page is in the
 * archive and not yet removed.
 */
import { storeSettings } from '../../../src/config/store-schema.ts'
import { archiveRecords } from '../../../src/domain/retention/archive-records.ts'
import { createRecordArchive } from '../../../src/service/record-archive.ts'
import { parseMasterKeys } from '../../../src/store/encryption/master-keys.ts'
import { openStore } from '../../../src/store/store.ts'

const [settingsJson = '{}', directory = '', before = '0'] = process.argv.slice(2)
const now = (): Date => new Date()
const { endedRecords, ...store } = await openStore({
  settings: storeSettings.parse(JSON.parse(settingsJson)),
  masterKeys: parseMasterKeys(process.env['RETENTION_TEST_MASTER_KEYS'] ?? '', 'environment'),
  now,
})
const killed = {
  ...store,
  endedRecords: {
    ...endedRecords,
    removeCredentials: async (): Promise<void> => void process.kill(process.pid, 'SIGKILL'),
  },
}
await archiveRecords(
  {
    store: killed,
    archive: createRecordArchive(directory, now),
    onArchived: () => undefined,
  },
  new Date(Number(before)),
  new AbortController().signal,
)
