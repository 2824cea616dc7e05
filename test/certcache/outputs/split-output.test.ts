/** Certificates and key as two files: one pair at every moment. */
import { execFileSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync, realpathSync } from 'node:fs'
import {
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  realpath,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { inspectOutput, writeOutput } from '../../../src/certcache/outputs/proxy-output.ts'
import { pairOf } from '../../../src/certcache/outputs/split-output.ts'
import type { HeldProxy } from '../../../src/certcache/proxy-engine.ts'
import type { OutputSettings } from '../../../src/certcache/settings/proxy-settings.ts'
import { temporaryDirectory, uid } from '../engine-support.ts'
import { makeHeldProxy } from '../server-support.ts'

let proxy: HeldProxy
let other: HeldProxy
beforeAll(async () => {
  proxy = await makeHeldProxy()
  other = await makeHeldProxy({ now: new Date(Date.now() + 1000) })
})
const to = (path: string, more: Partial<OutputSettings> = {}): OutputSettings => ({
  path,
  mode: '0600',
  format: 'split',
  follow_symlink: false,
  ...more,
})
const inside = async (): Promise<string> => join(await temporaryDirectory(), 'credential')
const fits = (certificate: string, key: string): boolean =>
  new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))
const versions = async (path: string): Promise<readonly string[]> =>
  (await readdir(path)).filter((name) => name.startsWith('..v-'))

test('a reader that resolves the directory once never has two that do not fit', async () => {
  const path = await inside()
  await writeOutput(to(path), proxy)
  // Another thread, as another program would: it reads while we write.
  const reader = new Worker(
    `const { readFileSync, realpathSync } = require('node:fs')
     const { parentPort, workerData: path } = require('node:worker_threads')
     let [stop, seen] = [false, []]
     parentPort.on('message', () => { stop = true })
     const read = () => {
       for (let n = 0; n < 20; n += 1) {
         const directory = realpathSync(path + '/..data')
         const key = readFileSync(directory + '/userkey.pem', 'latin1')
         seen.push([readFileSync(directory + '/usercert.pem', 'latin1'), key].join('|'))
         readFileSync(path + '/usercert.pem')
         readFileSync(path + '/userkey.pem')
       }
       if (stop) parentPort.postMessage([seen.length, [...new Set(seen)]])
       else setImmediate(read)
     }
     read()`,
    { eval: true, workerData: path },
  )
  onTestFinished(async () => void (await reader.terminate()))
  const told = new Promise<[number, string[]]>((resolve, reject) => {
    reader.on('message', resolve).on('error', reject)
  })
  for (let n = 0; n < 40; n += 1)
    expect(await writeOutput(to(path), n % 2 ? proxy : other)).toBe(true)
  reader.postMessage('stop')
  const [reads, pairs] = await told
  expect(reads).toBeGreaterThan(40)
  expect(pairs.length).toBe(2)
  for (const pair of pairs) {
    const [certificate = '', key = ''] = pair.split('|')
    expect(fits(certificate, key)).toBe(true)
  }
})

test('what is there already is left alone, and looked at', async () => {
  const path = await inside()
  expect(await writeOutput(to(path), proxy)).toBe(true)
  const link = await readlink(join(path, '..data'))
  expect(await writeOutput(to(path), proxy)).toBe(false)
  expect(await readlink(join(path, '..data'))).toBe(link)
  expect(await inspectOutput(to(path), proxy)).toBeUndefined()
  expect(await inspectOutput(to(path), other)).toMatchObject({ check: 'output' })
  await rm(join(path, 'userkey.pem'))
  expect(await inspectOutput(to(path), proxy)).toMatchObject({ check: 'output' })
  expect(await writeOutput(to(path), proxy)).toBe(true)
  expect(await inspectOutput(to(path), proxy)).toBeUndefined()
})

test('files of an earlier version become links', async () => {
  const path = await inside()
  await mkdir(path)
  for (const [name, text] of Object.entries(pairOf(other))) await writeFile(join(path, name), text)
  expect(await writeOutput(to(path), proxy)).toBe(true)
  for (const [name, text] of Object.entries(pairOf(proxy))) {
    expect(await readlink(join(path, name))).toBe(`..data/${name}`)
    expect(await readFile(join(path, name), 'utf8')).toBe(text)
  }
})

test.for(['usercert.pem', 'userkey.pem'])('what is not ours is left as it is: %s', async (name) => {
  const path = await inside()
  await mkdir(path)
  const target = join(path, 'target')
  await writeFile(target, 'old')
  await symlink(target, join(path, name))
  const foreign = { check: 'foreign_file', code: 'configuration' }
  await expect(writeOutput(to(path), proxy)).rejects.toMatchObject(foreign)
  await rm(join(path, name))
  await writeFile(join(path, name), 'no proxy at all')
  await expect(writeOutput(to(path), proxy)).rejects.toMatchObject(foreign)
  expect(await readFile(target, 'utf8')).toBe('old')
  expect((await readdir(path)).toSorted()).toEqual(['target', name].toSorted())
})

test('pairs of an hour ago go, the one before stays', async () => {
  const path = await inside()
  for (const each of [proxy, other, proxy]) await writeOutput(to(path), each)
  expect(await versions(path)).toHaveLength(3)
  const before = await readlink(join(path, '..data'))
  const old = new Date(Date.now() - 2 * 3_600_000)
  for (const name of await versions(path)) await utimes(join(path, name), old, old)
  await writeOutput(to(path), other)
  expect(new Set(await versions(path))).toEqual(
    new Set([before, await readlink(join(path, '..data'))]),
  )
})

test('who may read the files may reach them', async () => {
  const path = await inside()
  await writeOutput(to(path), proxy)
  const modeOf = async (name: string) => (await stat(join(path, name))).mode & 0o7777
  expect([await modeOf('..data'), await modeOf('userkey.pem')]).toEqual([0o700, 0o600])
  await writeOutput(to(path, { mode: '0640' }), proxy)
  expect([await modeOf('..data'), await modeOf('userkey.pem')]).toEqual([0o750, 0o640])
  expect((await lstat(join(path, '..data'))).isSymbolicLink()).toBe(true)
})

test('a full disk: the old pair stays, whole', async ({ skip }) => {
  skip(uid !== 0, 'only root can mount a small disk')
  const path = await inside()
  await mkdir(path)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=700', 'tmpfs', path], {
      stdio: 'ignore',
    })
  } catch {
    skip('this container may not mount')
  }
  try {
    await writeOutput(to(path), proxy)
    await writeFile(join(path, 'filler'), Buffer.alloc(1 << 20)).catch(() => undefined)
    await expect(writeOutput(to(path), other)).rejects.toMatchObject({
      code: 'configuration',
      message: expect.stringMatching(/: the disk is full$/),
      remedy: expect.stringMatching(/Free space on the disk/),
    })
    const directory = realpathSync(join(path, '..data'))
    expect(readFileSync(join(directory, 'usercert.pem'), 'utf8')).toBe(
      pairOf(proxy)['usercert.pem'],
    )
    expect(await realpath(join(path, 'userkey.pem'))).toBe(join(directory, 'userkey.pem'))
    expect(await versions(path)).toHaveLength(1)
    expect(await inspectOutput(to(path), other)).toMatchObject({
      message: expect.stringMatching(/the disk is full/),
    })
  } finally {
    execFileSync('umount', [path])
  }
})
