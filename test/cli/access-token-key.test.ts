import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { runTts } from '../support/terminal.ts'

test('replace makes a new key each time, and records it', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'tts-access-token-key-'))
  onTestFinished(async () => rm(directory, { recursive: true, force: true }))
  const config = join(directory, 'tts.yaml')
  await writeFile(config, 'data_dir: data\nca: { key_kind: ec-p256 }\n')
  expect((await runTts(['-c', config, 'ca', 'init'])).code).toBe(0)
  const idOf = async () => {
    const { code, notes } = await runTts(['-c', config, 'access-token-key', 'replace'])
    expect(code, notes).toBe(0)
    return /^The key (\S{43}) signs access tokens now/.exec(notes)?.[1]
  }
  const ids = [await idOf(), await idOf()]
  expect(new Set(ids).size).toBe(2)
  const { out } = await runTts([
    '-c',
    config,
    '--json',
    'audit',
    '--event',
    'access_token_key.replaced',
  ])
  for (const id of ids) expect(out).toContain(id)
})
