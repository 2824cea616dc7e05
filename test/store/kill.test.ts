import { spawn } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { parseMasterKeys } from '../../src/store/encryption/master-keys.ts'
import { programPath } from '../support/programs.ts'
import { describeStores, newEndEntity } from './support.ts'

const ROUNDS = 4
describeStores('kill -9 under load', ({ newDatabase, open, query }) => {
  test('loses no record whose promise was fulfilled, and keeps none by halves', async () => {
    const settings = await newDatabase()
    const keyText = `k:${randomBytes(32).toString('base64')}`
    const store = await open(settings, parseMasterKeys(keyText, 'test'))
    const { identity, serial } = await newEndEntity(store)
    const printed: string[] = []
    for (let round = 0; round < ROUNDS; round += 1) {
      printed.push(...(await runAndKill([JSON.stringify(settings), serial, identity.id], keyText)))
    }
    expect(printed.length).toBeGreaterThan(ROUNDS * 16)
    const column = async (sql: string): Promise<Set<string>> =>
      new Set(((await query(settings, sql)) as { id: string }[]).map((row) => row.id))
    const credentials = await column('select id from credentials')
    expect(printed.filter((id) => !credentials.has(id))).toEqual([])
    expect(
      await column('select credential_id as id from certificates where credential_id is not null'),
    ).toEqual(credentials)
    expect(
      await column('select credential_id as id from audit where credential_id is not null'),
    ).toEqual(credentials)
    await store.ping()
  })
})

/** Lets the child work for a random while after its first record, kills it, and answers the ids that it printed. */
async function runAndKill(parameters: readonly string[], keyText: string): Promise<string[]> {
  const program = programPath('test/store/kill-child.ts')
  const child = spawn(process.execPath, [program, ...parameters], {
    env: { ...process.env, KILL_TEST_MASTER_KEYS: keyText },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const closed = once(child, 'close')
  await Promise.race([once(child.stdout, 'data'), closed])
  await sleep(randomInt(20, 200))
  child.kill('SIGKILL')
  await closed
  expect(child.signalCode, errors).toBe('SIGKILL')
  // The last line may be cut: what is not whole was not said.
  return output.split('\n').slice(0, -1)
}
