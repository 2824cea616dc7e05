import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { makeDirectory } from '../../src/files/directory.ts'
import { tryFileLock } from '../../src/files/file-lock.ts'
import { makePath, makePathSync } from '../../src/files/make-path.ts'

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-path-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const ways = [
  ['makePath', makePath],
  ['makePathSync', async (path: string, mode: number) => makePathSync(path, mode)],
] as const

describe.for(ways)('%s', ([, make]) => {
  test('creates the directory and its parents, and tells whether it is new', async () => {
    const path = join(directory, 'a/b/c')
    expect(await make(path, 0o700)).toBe(true)
    expect(await make(path, 0o700)).toBe(false)
    expect(await make('/', 0o700)).toBe(false)
    for (const made of ['a', 'a/b', 'a/b/c'])
      expect(statSync(join(directory, made)).mode & 0o7777).toBe(0o700)
  })

  test.for([
    ['is a file', 'file', 'EEXIST'],
    ['leads through a file', 'file/below', 'ENOTDIR'],
    ['is a link to nowhere', 'link', 'EEXIST'],
    ['leads through a link to nowhere', 'link/below', 'EEXIST'],
    ['is too long', 'n'.repeat(300), 'ENAMETOOLONG'],
  ] as const)('a path that %s is an error', async ([, name, code]) => {
    writeFileSync(join(directory, 'file'), '')
    symlinkSync(join(directory, 'nowhere'), join(directory, 'link'))
    await expect(make(join(directory, name), 0o700)).rejects.toMatchObject({ code })
  })

  test('follows a link to a directory', async () => {
    symlinkSync(directory, join(directory, 'link'))
    expect(await make(join(directory, 'link/below'), 0o700)).toBe(true)
    expect(statSync(join(directory, 'below')).isDirectory()).toBe(true)
  })

  // Node's own recursive mkdir never ends here.
  test('/proc accepts no directories', async () => {
    for (const path of ['/proc/x', '/proc/x/y'])
      await expect(make(path, 0o700)).rejects.toMatchObject({
        code: 'configuration',
        check: 'directory',
        message:
          '/proc/x cannot be created: the file system of its parent accepts no new directories',
      })
  })
})

test('all other directories are made in bounded time too', async () => {
  await expect(makeDirectory('/proc/x/y', 0o700)).rejects.toThrow(
    'the file system of its parent accepts no new directories',
  )
  expect(() => tryFileLock('/proc/x/lock', { makeDirectory: true })).toThrow('cannot be used')
})

test('no other file makes directories recursively', () => {
  const found = execFileSync('grep', ['-rnE', 'recursive: true', 'src', 'plugins'], {
    encoding: 'utf8',
  })
  expect(found.split('\n').filter((line) => /mkdir/.test(line))).toEqual([])
})
