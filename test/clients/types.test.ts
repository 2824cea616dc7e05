/** The types of the clients are those of /openapi.json. */
import { readFileSync } from 'node:fs'
import { format, resolveConfig } from 'prettier'
import { expect, test } from 'vitest'
import { pythonTypes, typescriptTypes } from '../../scripts/client-types.ts'

const stale = 'out of date: run `npm run docs`'

test('TypeScript', async () => {
  const path = 'clients/typescript/src/api-types.ts'
  const options = { ...(await resolveConfig(path)), parser: 'typescript' }
  expect(await format(typescriptTypes(), options), stale).toBe(readFileSync(path, 'utf8'))
})

test('Python', () => {
  const path = 'clients/python/src/tts_client/api_types.py'
  expect(pythonTypes(), stale).toBe(readFileSync(path, 'utf8'))
})
