import { expect, test } from 'vitest'
import { storeSettings } from '../../src/config/store-schema.ts'

test.for([
  [{ record_retention_days: 29 }, 'record_retention_days'],
  [{ record_retention_days: 36_501 }, 'record_retention_days'],
  [{ record_retention_days: 400.5 }, 'record_retention_days'],
  [{ audit_retention_days: 0 }, 'audit_retention_days'],
  [{ audit_retention_days: 36_501 }, 'audit_retention_days'],
  [{ archive_dir: '' }, 'archive_dir'],
] as const)('%j is refused', ([settings, key]) => {
  const { error } = storeSettings.safeParse(settings)
  expect(error?.issues.map(({ path }) => path.join('.'))).toEqual([key])
})

test.for([{ record_retention_days: 30 }, { record_retention_days: 36_500 }, {}])(
  '%j is accepted',
  (settings) => {
    expect(storeSettings.parse(settings)).toMatchObject({ archive_dir: 'archive', ...settings })
  },
)
