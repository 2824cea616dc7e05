import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { watch } from 'node:fs'
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  createPrivateFile,
  readPrivateFile,
  refuseSharedSecret,
  writePrivateFile,
} from '../../src/files/private-file.ts'

let directory = ''
let path = ''

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tts-file-'))
  path = join(directory, 'secret')
})

afterEach(async () => {
  await rm(directory, { recursive: true, force: true })
})

const modeOf = async (file: string): Promise<number> => (await stat(file)).mode & 0o7777

const writers = [
  { name: 'writePrivateFile', write: writePrivateFile },
  { name: 'createPrivateFile', write: createPrivateFile },
]

describe.for(writers)('$name', ({ write }) => {
  test('leaves the data, mode 0600 and nothing else', async () => {
    await write(path, 'data')
    expect(await readFile(path, 'utf8')).toBe('data')
    expect(await modeOf(path)).toBe(0o600)
    expect(await readdir(directory)).toEqual(['secret'])
  })

  test('the wanted mode is given at the end', async () => {
    await write(path, 'data', { mode: 0o640 })
    expect(await modeOf(path)).toBe(0o640)
  })

  test('never passes through a wider mode, with umask 000 too', async () => {
    // Worker threads may not change the umask: then the process's own is what is tested.
    const before = process.umask()
    let previous: number | undefined
    try {
      previous = process.umask(0)
    } catch {
      expect(before & 0o077).toBe(0o022)
    }
    try {
      const modes = await modesWhileWriting(() => write(path, Buffer.alloc(8_000_000)))
      expect(modes.length).toBeGreaterThan(0)
      expect(new Set(modes)).toEqual(new Set([0o600]))
    } finally {
      if (previous !== undefined) process.umask(previous)
    }
  })

  test('a failure leaves no temporary file', async () => {
    await mkdir(path)
    await expect(write(path, 'data')).rejects.toThrow(path)
    expect(await readdir(directory)).toEqual(['secret'])
  })

  test('a directory that is not there is a configuration error', async () => {
    await expect(write(join(directory, 'none', 'secret'), 'data')).rejects.toMatchObject({
      code: 'configuration',
    })
  })

  test('the owner is set before the file has its name', async ({ skip }) => {
    skip(process.getuid?.() !== 0, 'only root can give files away')
    await write(path, 'data', { owner: { uid: 65534, gid: 65534 } })
    expect(await stat(path)).toMatchObject({ uid: 65534, gid: 65534 })
    expect(await modeOf(path)).toBe(0o600)
  })
})

describe('writePrivateFile', () => {
  test('replaces a file that others could read by a private one', async () => {
    await writeFile(path, 'old', { mode: 0o644 })
    await writePrivateFile(path, 'new')
    expect(await readFile(path, 'utf8')).toBe('new')
    expect(await modeOf(path)).toBe(0o600)
  })

  test('refuses a symbolic link and leaves its target alone', async () => {
    const target = join(directory, 'target')
    await writeFile(target, 'old')
    await symlink(target, path)
    await expect(writePrivateFile(path, 'new')).rejects.toMatchObject({
      code: 'configuration',
      check: 'symbolic_link',
    })
    expect(await readFile(target, 'utf8')).toBe('old')
  })

  test('the old file is whole when the disk is full', async ({ skip }) => {
    skip(process.getuid?.() !== 0, 'only root can mount a small disk')
    const small = join(directory, 'small')
    await mkdir(small)
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', small], { stdio: 'ignore' })
    } catch {
      skip('this container may not mount')
    }
    try {
      const secret = join(small, 'secret')
      await writePrivateFile(secret, 'old')
      await expect(writePrivateFile(secret, Buffer.alloc(1_000_000))).rejects.toThrow(
        'cannot be written: the disk is full',
      )
      expect(await readFile(secret, 'utf8')).toBe('old')
      expect(await readdir(small)).toEqual(['secret'])
    } finally {
      execFileSync('umount', [small])
    }
  })

  test('a reader sees the old file or the new one, never a part', async () => {
    const [old, fresh] = [Buffer.alloc(300_000, 'a'), Buffer.alloc(300_000, 'b')]
    await writePrivateFile(path, old)
    const reading = Array.from({ length: 50 }, () => readFile(path))
    const writing = [writePrivateFile(path, fresh), writePrivateFile(path, old)]
    for (const seen of await Promise.all(reading))
      expect(seen.equals(old) || seen.equals(fresh)).toBe(true)
    await Promise.all(writing)
  })
})

describe('createPrivateFile', () => {
  test('refuses a name that is taken, by a file or a dangling link', async () => {
    await createPrivateFile(path, 'first')
    await expect(createPrivateFile(path, 'second')).rejects.toMatchObject({
      code: 'conflict',
      check: 'file_exists',
    })
    expect(await readFile(path, 'utf8')).toBe('first')
    const dangling = join(directory, 'link')
    await symlink(join(directory, 'nowhere'), dangling)
    await expect(createPrivateFile(dangling, 'x')).rejects.toMatchObject({ check: 'file_exists' })
    expect((await readdir(directory)).toSorted()).toEqual(['link', 'secret'])
  })

  test('of many at once exactly one wins', async () => {
    const done = await Promise.allSettled(
      Array.from({ length: 10 }, (_, n) => createPrivateFile(path, `${n}`)),
    )
    expect(done.filter((result) => result.status === 'fulfilled')).toHaveLength(1)
  })
})

describe('readPrivateFile', () => {
  test.for([0o640, 0o604, 0o620, 0o602, 0o777])(
    'mode %o is refused with the command that fixes it',
    async (mode) => {
      await writeFile(path, 'secret words')
      await chmod(path, mode)
      const refusal = readPrivateFile(path, { maxBytes: 100 })
      await expect(refusal).rejects.toMatchObject({
        code: 'configuration',
        remedy: expect.stringContaining(`Run chmod 600 '${path}'.`) as string,
      })
      await expect(refusal).rejects.toThrow(
        `${path} can be used by others than its owner (mode 0${mode.toString(8)})`,
      )
    },
  )

  test.for([0o600, 0o400])('mode %o is read', async (mode) => {
    await writeFile(path, 'secret', { mode })
    expect((await readPrivateFile(path, { maxBytes: 6 })).toString()).toBe('secret')
  })

  test('takes as much memory as the file is long, not as it might be', async () => {
    await writePrivateFile(path, 'x'.repeat(10_000))
    const found = await readPrivateFile(path, { maxBytes: 32 * 1024 * 1024 })
    expect(found.toString()).toBe('x'.repeat(10_000))
    expect(found.buffer.byteLength).toBeLessThan(32_000)
  })

  test('longer than allowed, a FIFO, a directory and a missing file are refused', async () => {
    await writeFile(path, 'secret', { mode: 0o600 })
    await expect(readPrivateFile(path, { maxBytes: 5 })).rejects.toMatchObject({
      code: 'configuration',
    })
    const fifo = join(directory, 'fifo')
    execFileSync('mkfifo', ['-m', '600', fifo])
    await expect(readPrivateFile(fifo, { maxBytes: 5 })).rejects.toThrow('not a plain file')
    await expect(readPrivateFile(directory, { maxBytes: 5 })).rejects.toThrow('not a plain file')
    await expect(readPrivateFile(join(directory, 'no'), { maxBytes: 5 })).rejects.toMatchObject({
      code: 'not_found',
    })
  })
})

/** Modes of whatever appears in the directory while `action` runs. */
async function modesWhileWriting(action: () => Promise<void>): Promise<number[]> {
  const modes: number[] = []
  const looks: Promise<unknown>[] = []
  const watcher = watch(directory, (_, file) => {
    const look = modeOf(join(directory, file ?? '')).then((mode) => modes.push(mode))
    looks.push(look.catch(() => undefined))
  })
  try {
    await action()
    await Promise.all(looks)
    modes.push(await modeOf(path))
  } finally {
    watcher.close()
    await once(watcher, 'close')
  }
  return modes
}

describe('a secret that root hands to a group', () => {
  const [root, user] = [0, 1000]
  test.for([
    { name: 'private of a user', uid: user, mode: 0o100600, fits: true },
    { name: 'private of root', uid: root, mode: 0o100400, fits: true },
    { name: 'as Kubernetes mounts it with an fsGroup', uid: root, mode: 0o100440, fits: true },
    {
      name: 'as systemd hands it over, the mask of its ACL',
      uid: root,
      mode: 0o100440,
      fits: true,
    },
    { name: 'as a package installs it', uid: root, mode: 0o100640, fits: true },
    { name: 'of a user, for their group', uid: user, mode: 0o100440, fits: false },
    { name: 'of a user, for their group, to be changed', uid: user, mode: 0o100660, fits: false },
    { name: 'of root, for the group to change', uid: root, mode: 0o100660, fits: false },
    { name: 'of root, to be run by the group', uid: root, mode: 0o100450, fits: false },
    { name: 'of root, for everybody', uid: root, mode: 0o100444, fits: false },
    { name: 'of root, to be run by everybody', uid: root, mode: 0o100441, fits: false },
    { name: 'of root, for everybody but the group', uid: root, mode: 0o100404, fits: false },
    { name: 'of root, for everybody to change', uid: root, mode: 0o100602, fits: false },
    { name: 'of a user, for everybody', uid: user, mode: 0o100644, fits: false },
  ])('$name, mode $mode: $fits', ({ uid, mode, fits }) => {
    const judged = () => refuseSharedSecret('/secret', { uid, mode, gid: 4_000_000 })
    if (fits) expect(judged).not.toThrow()
    else
      expect(judged).toThrow(
        expect.objectContaining({
          check: 'file_mode',
          message: `/secret can be used by others than its owner (mode ${(mode & 0o7777).toString(8).padStart(4, '0')})`,
          remedy: expect.stringMatching(/^Run chmod 6[04]0 '\/secret'/),
        }),
      )
  })

  test('is read where that was asked for, and only of root', async ({ skip }) => {
    skip(process.getuid?.() !== 0, 'only root can give files away')
    await writeFile(path, 'secret words')
    await chmod(path, 0o440)
    await chown(path, root, user)
    const forGroup = { maxBytes: 100, readers: 'root_for_group' } as const
    expect((await readPrivateFile(path, forGroup)).toString()).toBe('secret words')
    const refused = { code: 'configuration', check: 'file_mode' }
    await expect(readPrivateFile(path, { maxBytes: 100 })).rejects.toMatchObject(refused)
    await chown(path, user, user)
    await expect(readPrivateFile(path, forGroup)).rejects.toMatchObject(refused)
  })
})
