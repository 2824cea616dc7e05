/** What is left when the files of a backup cannot all be created: nothing of it, and everything of others. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createFiles } from '../../src/backup/files.ts'

// A disk that fails after the file has got its name.
vi.mock(import('../../src/files/private-file.ts'), async (original) => {
  const real = await original()
  return {
    ...real,
    createPrivateFile: async (path, data, options) => {
      await real.createPrivateFile(path, data, options)
      if (path.endsWith('failing')) throw new Error('the directory cannot be synchronised')
    },
  }
})

let dataDirectory = ''
beforeEach(async () => {
  dataDirectory = await mkdtemp(join(tmpdir(), 'tts-create-'))
})
afterEach(async () => {
  await rm(dataDirectory, { recursive: true, force: true })
})

const create = async (...names: readonly string[]) =>
  createFiles(
    { dataDirectory, masterKeyFile: undefined },
    names.map((path) => ({ path, mode: 0o600, data: Buffer.from('from the backup') })),
  )

test('a file whose creation fails after it is there is removed', async () => {
  await expect(create('ca/ca.pem', 'ca/failing')).rejects.toThrow('synchronised')
  expect(await readdir(dataDirectory)).toEqual([])
})

test('a file of another process stays, and so does a directory that was there', async () => {
  await mkdir(join(dataDirectory, 'ca'))
  await mkdir(join(dataDirectory, 'ssh-ca'))
  await writeFile(join(dataDirectory, 'ca/ca.pem'), 'of another')
  await expect(create('ssh-ca/passphrase', 'ca-next/ca.pem', 'ca/ca.pem')).rejects.toMatchObject({
    check: 'file_exists',
  })
  expect(await readFile(join(dataDirectory, 'ca/ca.pem'), 'utf8')).toBe('of another')
  expect((await readdir(dataDirectory)).sort()).toEqual(['ca', 'ssh-ca'])
  expect(await readdir(join(dataDirectory, 'ssh-ca'))).toEqual([])
})
