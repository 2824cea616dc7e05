import { execFile } from 'node:child_process'
import {
  lstat,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  writeFile,
  truncate,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MAX_CRL_BYTES } from '../../ca/crl.ts'
import { toPem } from '../../ca/pem.ts'
import {
  contentLimitOf,
  MAX_AUTHORITY_BYTES,
  MAX_LARGE_AUTHORITIES,
  packTrustAnchors,
} from '../../src/files/trust-anchor-archive.ts'
import {
  MAX_DIRECTORY_FILES,
  readTrustAnchorDirectory,
  writeTrustAnchorDirectory,
} from '../../src/files/trust-anchor-directory.ts'

const run = promisify(execFile)
const files = [
  { name: 'tts.pem', content: 'certificate\n' },
  { name: 'tts.info', content: 'alias = tts\n' },
  { name: '0a1b2c3d.0', linkTo: 'tts.pem' },
]

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tts-anchors-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

describe('writeTrustAnchorDirectory', () => {
  test('makes the directory, files for all to read, relative links', async () => {
    const target = join(directory, 'new')
    await writeTrustAnchorDirectory(target, files)
    expect((await readdir(target)).sort()).toEqual(['0a1b2c3d.0', 'tts.info', 'tts.pem'])
    expect((await lstat(join(target, 'tts.pem'))).mode & 0o777).toBe(0o644)
    expect((await lstat(target)).mode & 0o777).toBe(0o755)
    expect(await readlink(join(target, '0a1b2c3d.0'))).toBe('tts.pem')
  })

  test('writes again over what is there and leaves the rest alone', async () => {
    await writeTrustAnchorDirectory(directory, files)
    await writeFile(join(directory, 'other.pem'), 'other')
    await symlink('other.pem', join(directory, 'ffffffff.0'))
    // Where a link was there may be a file, and the other way round.
    await rm(join(directory, '0a1b2c3d.0'))
    await writeFile(join(directory, '0a1b2c3d.0'), 'a file')
    await writeTrustAnchorDirectory(directory, [
      { name: 'tts.pem', content: 'newer\n' },
      ...files.slice(1),
    ])
    expect(await readFile(join(directory, '0a1b2c3d.0'), 'utf8')).toBe('newer\n')
    expect(await readFile(join(directory, 'ffffffff.0'), 'utf8')).toBe('other')
    expect(await readdir(directory)).toHaveLength(5)
  })

  test('does not write through a link that stands in its way', async () => {
    await writeFile(join(directory, 'victim'), 'untouched')
    await symlink('victim', join(directory, 'tts.pem'))
    await writeTrustAnchorDirectory(directory, files)
    expect(await readFile(join(directory, 'victim'), 'utf8')).toBe('untouched')
  })

  test.for(['../x', 'a/b', '.hidden', ''])('refuses the name "%s"', async (name) => {
    await expect(writeTrustAnchorDirectory(directory, [{ name, content: '' }])).rejects.toThrow(
      TypeError,
    )
    const link = [{ name: 'x', linkTo: name }]
    await expect(writeTrustAnchorDirectory(directory, link)).rejects.toThrow(TypeError)
    expect(await readdir(directory)).toEqual([])
  })
})

describe('readTrustAnchorDirectory', () => {
  test('names a file that cannot be read, and reads the others', async () => {
    await writeFile(join(directory, '0a1b2c3d.0'), 'good')
    // Root can open all files, but nobody can read the first page of a process.
    await symlink('/proc/self/mem', join(directory, 'deadbeef.0'))
    expect(await readTrustAnchorDirectory(directory)).toEqual([
      { name: '0a1b2c3d.0', content: Buffer.from('good') },
      {
        name: 'deadbeef.0',
        content: Buffer.alloc(0),
        problem: 'the disk reports an input/output error',
      },
    ])
  })

  test('names a file that is too large', async () => {
    await writeFile(join(directory, '0a1b2c3d.r0'), '')
    await truncate(join(directory, '0a1b2c3d.r0'), 49 * 1024 * 1024)
    expect(await readTrustAnchorDirectory(directory)).toEqual([
      { name: '0a1b2c3d.r0', content: Buffer.alloc(0), problem: 'it is larger than 48 MiB' },
    ])
  })

  test('follows links, skips dangling ones and directories', async () => {
    await writeTrustAnchorDirectory(join(directory, 'sub'), files)
    await writeTrustAnchorDirectory(directory, files)
    await symlink('nowhere', join(directory, '11111111.0'))
    const read = await readTrustAnchorDirectory(directory)
    expect(read.map(({ name, content }) => `${name}: ${content.toString()}`)).toEqual([
      '0a1b2c3d.0: certificate\n',
      'tts.info: alias = tts\n',
      'tts.pem: certificate\n',
    ])
  })

  test('a directory of too many files is refused', async () => {
    await Promise.all(
      Array.from({ length: MAX_DIRECTORY_FILES + 1 }, (_, index) =>
        symlink('x', join(directory, String(index))),
      ),
    )
    await expect(readTrustAnchorDirectory(directory)).rejects.toThrow(RangeError)
  })
})

describe('packTrustAnchors', () => {
  test('real tar unpacks it to the same directory', async () => {
    const archive = join(directory, 'anchors.tar.gz')
    await writeFile(archive, await packTrustAnchors(files))
    await run('tar', ['-xzf', archive, '-C', directory])
    await rm(archive)
    expect((await readTrustAnchorDirectory(directory)).map(({ name }) => name)).toEqual([
      '0a1b2c3d.0',
      'tts.info',
      'tts.pem',
    ])
    expect(await readlink(join(directory, '0a1b2c3d.0'))).toBe('tts.pem')
  })

  test('the same files give the same bytes', async () => {
    expect(await packTrustAnchors(files)).toEqual(await packTrustAnchors(files))
  })

  test('a large CRL goes in whole, a giant one is refused', async () => {
    const content = 'x'.repeat(3_000_000)
    expect((await packTrustAnchors([{ name: 'a.r0', content }])).length).toBeGreaterThan(1000)
    const giant = [{ name: 'a.r0', content: 'x'.repeat(MAX_AUTHORITY_BYTES + 1) }]
    await expect(packTrustAnchors(giant)).rejects.toThrow(RangeError)
  })
  test('each CA of a roll-over may have the longest CRL', () => {
    const crlBytes = 128 * toPem('X509 CRL', Buffer.alloc(MAX_CRL_BYTES / 128)).length
    const anchors = (count: number) =>
      Array.from({ length: count }, (_, index) => [
        { name: `tts-${index}.pem`, content: 'certificate\n' },
        { name: `${index}0000000.0`, linkTo: `tts-${index}.pem` },
        { name: `${index}0000000.r0`, content: 'crl' },
      ]).flat()
    for (let count = 1; count <= MAX_LARGE_AUTHORITIES; count += 1)
      expect(contentLimitOf(anchors(count))).toBeGreaterThan(count * (2 * crlBytes + 20_000))
    expect(contentLimitOf(anchors(100))).toBe(contentLimitOf(anchors(MAX_LARGE_AUTHORITIES)))
  })
})
