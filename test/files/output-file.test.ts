import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { checkOutputFile } from '../../src/files/output-file.ts'
import { writePrivateFile } from '../../src/files/private-file.ts'

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-output-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))
const path = (name: string): string => join(directory, name)

const isRoot = process.getuid?.() === 0

async function prepare(): Promise<() => void> {
  execFileSync('mkfifo', [path('pipe')])
  mkdirSync(path('directory'))
  writeFileSync(path('file'), 'old')
  symlinkSync(path('file'), path('link'))
  symlinkSync(path('nowhere'), path('dangling'))
  symlinkSync(path('loop'), path('loop'))
  // In this directory alone: a rename replaces a device with a file.
  if (isRoot) execFileSync('mknod', [path('device'), 'c', '1', '7'])
  const server = createServer().listen(path('socket'))
  await once(server, 'listening')
  return () => server.close()
}

const refused = [
  ['pipe', 'not_plain_file', /pipe is a named pipe; it is not replaced$/],
  ['socket', 'not_plain_file', /socket is a socket; it is not replaced$/],
  ['directory', 'not_plain_file', /directory is a directory; it is not replaced$/],
  ['link', 'symbolic_link', /link is a symbolic link; secrets are not written through links$/],
  ['dangling', 'symbolic_link', /dangling is a symbolic link/],
  ['loop', 'symbolic_link', /loop is a symbolic link/],
  ...(isRoot
    ? [['device', 'not_plain_file', /device is a device; it is not replaced$/] as const]
    : []),
] as const

test.for(refused)(
  '%s is refused before and while it is written',
  async ([name, check, message]) => {
    const close = await prepare()
    try {
      const before = lstatSync(path(name))
      const error = { code: 'configuration', check, message: expect.stringMatching(message) }
      await expect(checkOutputFile(path(name))).rejects.toMatchObject(error)
      await expect(writePrivateFile(path(name), 'new')).rejects.toMatchObject(error)
      const after = lstatSync(path(name))
      expect([after.ino, after.mode, after.rdev]).toEqual([before.ino, before.mode, before.rdev])
      expect(readFileSync(path('file'), 'utf8')).toBe('old')
      expect(existsSync(path('nowhere'))).toBe(false)
    } finally {
      close()
    }
  },
)

test.for([
  ['', '"" cannot be written: it is not the name of a file'],
  ['directory/', 'cannot be written: it is not the name of a file'],
  ['none/proxy', 'cannot be written: the file or its directory does not exist'],
  ['file/proxy', 'cannot be written: a part of the path is not a directory'],
  ['n'.repeat(300), 'cannot be written: the path is too long'],
] as const)('the path "%.20s" is refused', async ([name, message]) => {
  const close = await prepare()
  const full = name === '' ? '' : `${directory}/${name}`
  await expect(checkOutputFile(full)).rejects.toThrow(message)
  close()
})

test('a directory that this user cannot write is refused', async ({ skip }) => {
  skip(isRoot, 'root may write everywhere')
  mkdirSync(path('closed'))
  chmodSync(path('closed'), 0o500)
  await expect(checkOutputFile(path('closed/proxy'))).rejects.toThrow('permission denied')
})

test('a file system that takes no files is refused', async () => {
  await expect(checkOutputFile('/proc/proxy')).rejects.toThrow(/\/proc\/proxy cannot be written: /)
})

test('a new file and an old one are accepted, and nothing is left or changed', async () => {
  writeFileSync(path('old'), 'old')
  await checkOutputFile(path('new'))
  await checkOutputFile(path('old'))
  expect(readdirSync(directory)).toEqual(['old'])
  expect(readFileSync(path('old'), 'utf8')).toBe('old')
})
