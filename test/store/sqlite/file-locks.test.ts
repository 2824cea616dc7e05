/**
 * Locks over processes: each instance here stands for one, because the kernel's locks are taken by SQLite for each
 * connection.
 */
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createFileLocks } from '../../../src/store/sqlite/file-locks.ts'
import type { NamedLocks } from '../../../src/store/named-locks.ts'

let directory = ''
let one: NamedLocks
let other: NamedLocks

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-locks-'))
  one = createFileLocks(join(directory, 'locks'))
  other = createFileLocks(join(directory, 'locks'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

/** Work that goes on until it is told to end. */
function work(): { readonly run: () => Promise<void>; readonly end: () => void; begun: boolean } {
  let end = (): void => undefined
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  const made = {
    begun: false,
    end,
    run: async () => {
      made.begun = true
      await ended
    },
  }
  return made
}

test.for(['the same process', 'another process'])('%s waits for its turn', async (who) => {
  const [first, second] = [work(), work()]
  const running = one.run('delegation a', first.run, 1000)
  const waiting = (who === 'another process' ? other : one).run('delegation a', second.run, 5000)
  await sleep(50)
  expect([first.begun, second.begun]).toEqual([true, false])
  first.end()
  await running
  second.end()
  await waiting
  expect(second.begun).toBe(true)
})

test('another process does not wait for longer than it will', async () => {
  const first = work()
  const running = one.run('delegation a', first.run, 1000)
  await expect(other.run('delegation a', async () => 'done', 20)).rejects.toMatchObject({
    code: 'overloaded',
    check: 'delegation_busy',
  })
  first.end()
  await running
  expect(await other.run('delegation a', async () => 'done', 20)).toBe('done')
})

test('work that fails leaves no lock', async () => {
  const failing = one.run('delegation a', () => Promise.reject(new Error('failed')), 20)
  await expect(failing).rejects.toThrow('failed')
  expect(await other.run('delegation a', async () => 'done', 20)).toBe('done')
})

test('names that share a file do not wait for each other in one process, and the file stays held', async () => {
  const names = Array.from({ length: 200 }, (_, index) => `delegation ${index}`)
  const works = names.map(() => work())
  const running = names.map(async (name, index) => one.run(name, works[index]!.run, 1000))
  await sleep(50)
  expect(works.every(({ begun }) => begun)).toBe(true)
  const files = readdirSync(join(directory, 'locks')).filter((name) => name.endsWith('.lock'))
  expect(files.length).toBeLessThanOrEqual(64)
  for (const [index, { end }] of works.entries()) if (index > 0) end()
  await sleep(20)
  await expect(other.run(names[0]!, async () => 'done', 20)).rejects.toMatchObject({
    code: 'overloaded',
  })
  works[0]!.end()
  await Promise.all(running)
  expect(await other.run(names[0]!, async () => 'done', 20)).toBe('done')
})

test('files and directory are private', async () => {
  await one.run('delegation a', async () => undefined, 20)
  const locks = join(directory, 'locks')
  expect(statSync(locks).mode & 0o777).toBe(0o700)
  for (const name of readdirSync(locks)) expect(statSync(join(locks, name)).mode & 0o077).toBe(0)
})

test('a directory that cannot be made is named, with what to do', async () => {
  writeFileSync(join(directory, 'file'), '')
  const locks = createFileLocks(join(directory, 'file', 'locks'))
  await expect(locks.run('delegation a', async () => 'done', 20)).rejects.toMatchObject({
    code: 'configuration',
    check: 'file_lock',
  })
})
