import { execFileSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import {
  chmod,
  lstat,
  mkdir,
  readdir,
  readFile,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { readPem } from '../../../ca/pem.ts'
import { formatProxyFile } from '../../../ca/proxy-file.ts'
import type { HeldProxy } from '../../../src/certcache/proxy-engine.ts'
import { removeLeftovers, writeOutput } from '../../../src/certcache/outputs/proxy-output.ts'
import type { OutputSettings } from '../../../src/certcache/settings/proxy-settings.ts'
import { makeCredential } from '../../support/authority.ts'
import { temporaryDirectory, uid } from '../engine-support.ts'
import { makeHeldProxy } from '../server-support.ts'

const isRoot = uid === 0
let proxy: HeldProxy
let other: HeldProxy
beforeAll(async () => {
  proxy = await makeHeldProxy()
  other = await makeHeldProxy({ now: new Date(Date.now() + 1000) })
})

const to = (path: string, more: Partial<OutputSettings> = {}): OutputSettings => ({
  path,
  mode: '0600',
  format: 'pem',
  follow_symlink: false,
  ...more,
})

describe('writing', () => {
  test.for(['0600', '0400', '0640', '0440', '600'])('with mode %s', async (mode) => {
    const path = join(await temporaryDirectory(), 'gwms_proxy')
    expect(await writeOutput(to(path, { mode }), proxy)).toBe(true)
    expect(await readFile(path)).toEqual(proxy.pem)
    expect((await stat(path)).mode & 0o7777).toBe(Number.parseInt(mode, 8))
    // A file that is read-only is replaced all the same (ttsInK8s failed here).
    expect(await writeOutput(to(path, { mode }), other)).toBe(true)
    expect(await readFile(path)).toEqual(other.pem)
  })

  test('what is there already is left alone', async () => {
    const path = join(await temporaryDirectory(), 'gwms_proxy')
    await writeOutput(to(path), proxy)
    const { ino } = await stat(path)
    expect(await writeOutput(to(path), proxy)).toBe(false)
    expect((await stat(path)).ino).toBe(ino)
    await chmod(path, 0o644)
    expect(await writeOutput(to(path), proxy)).toBe(true)
    expect((await stat(path)).mode & 0o7777).toBe(0o600)
  })

  test('split: certificates and key apart', async () => {
    const path = join(await temporaryDirectory(), 'credential')
    await writeOutput(to(path, { format: 'split' }), proxy)
    const names = (await readdir(path)).filter((name) => !name.startsWith('..'))
    expect(names.toSorted()).toEqual(['usercert.pem', 'userkey.pem'])
    const certificates = await readFile(join(path, 'usercert.pem'), 'utf8')
    const key = createPrivateKey(await readFile(join(path, 'userkey.pem')))
    expect(new X509Certificate(certificates).checkPrivateKey(key)).toBe(true)
    expect(certificates).not.toContain('PRIVATE KEY')
    expect(certificates.match(/BEGIN CERTIFICATE/g)?.length).toBeGreaterThan(1)
    expect((await stat(join(path, 'userkey.pem'))).mode & 0o7777).toBe(0o600)
  })

  test.for([
    ['pkcs1', 'RSA PRIVATE KEY'],
    ['pkcs8', 'PRIVATE KEY'],
  ] as const)('split: a key in format %s stays in it', async ([format, label]) => {
    const { proxy: own, proxyKey: privateKey, endEntity } = await makeCredential()
    const text = formatProxyFile(own.der, { privateKey, format }, [endEntity.der])
    const path = join(await temporaryDirectory(), 'credential')
    const held = { ...proxy, pem: Buffer.from(text) }
    await writeOutput(to(path, { format: 'split' }), held)
    const key = await readFile(join(path, 'userkey.pem'), 'utf8')
    expect(readPem(key, 'key').map((block) => block.label)).toEqual([label])
    expect(createPrivateKey(key).equals(privateKey)).toBe(true)
  })

  test.runIf(isRoot)('for another user and group, by name and by number', async () => {
    const path = join(await temporaryDirectory(), 'gwms_proxy')
    await writeOutput(to(path, { owner: 'nobody', group: 0 }), proxy)
    const nobody = Number(execFileSync('id', ['-u', 'nobody']))
    expect(await stat(path)).toMatchObject({ uid: nobody, gid: 0 })
    // It is theirs by our own doing: it may be replaced, and is theirs again.
    await writeOutput(to(path, { owner: String(nobody) }), other)
    expect(await stat(path)).toMatchObject({ uid: nobody, gid: process.getgid?.() })
    expect(await readFile(path)).toEqual(other.pem)
  })

  test('through a link only when that is asked for', async () => {
    const directory = await temporaryDirectory()
    await mkdir(join(directory, 'real'))
    const target = join(directory, 'real/proxy')
    const link = join(directory, 'link')
    await writeOutput(to(target), proxy)
    await symlink(target, link)
    await expect(writeOutput(to(link), other)).rejects.toMatchObject({ check: 'symbolic_link' })
    expect(await readFile(target)).toEqual(proxy.pem)
    await writeOutput(to(link, { follow_symlink: true }), other)
    expect((await lstat(link)).isSymbolicLink()).toBe(true)
    expect(await readFile(target)).toEqual(other.pem)
  })
})

/** What stands at the path, made by `prepare`, is as before; the error says what is wrong. */
interface Refusal {
  readonly name: string
  readonly only?: boolean
  readonly prepare: (directory: string) => Promise<string>
  readonly output?: Partial<OutputSettings>
  readonly message: RegExp
  readonly check: string
}

const refusals: readonly Refusal[] = [
  {
    name: 'a directory',
    prepare: async (directory) => {
      await mkdir(join(directory, 'proxy'))
      return join(directory, 'proxy')
    },
    message: /is not a plain file/,
    check: 'foreign_file',
  },
  {
    name: 'a FIFO',
    prepare: async (directory) => {
      execFileSync('mkfifo', [join(directory, 'proxy')])
      return join(directory, 'proxy')
    },
    message: /is not a plain file/,
    check: 'foreign_file',
  },
  {
    name: 'a file of something else',
    prepare: async (directory) => {
      await writeFile(join(directory, 'shadow'), 'root:x:0')
      return join(directory, 'shadow')
    },
    message: /is not a proxy file/,
    check: 'foreign_file',
  },
  {
    name: "another user's proxy",
    only: isRoot,
    prepare: async (directory) => {
      const path = join(directory, 'proxy')
      await writeFile(path, '-----BEGIN CERTIFICATE-----\n')
      execFileSync('chown', ['12345', path])
      return path
    },
    message: /belongs to another user \(uid 12345\)/,
    check: 'foreign_file',
  },
  {
    name: 'a link that leads nowhere',
    prepare: async (directory) => {
      await symlink(join(directory, 'nowhere/proxy'), join(directory, 'link'))
      return join(directory, 'link')
    },
    output: { follow_symlink: true },
    message: /cannot be written: the file or its directory does not exist/,
    check: 'output',
  },
  {
    name: 'a directory that does not exist',
    prepare: async (directory) => join(directory, 'none/proxy'),
    message: /cannot be written: the file or its directory does not exist/,
    check: 'output',
  },
  {
    name: 'a path through a file',
    prepare: async (directory) => {
      await writeFile(join(directory, 'file'), '')
      return join(directory, 'file/proxy')
    },
    message: /cannot be written: a part of the path is not a directory/,
    check: 'output',
  },
  {
    name: 'a user who does not exist',
    prepare: async (directory) => join(directory, 'proxy'),
    output: { owner: 'nobody-has-this-name' },
    message: /user nobody-has-this-name does not exist/,
    check: 'account',
  },
]

describe('refused, with what is there left as it is', () => {
  test.for(refusals.filter(({ only }) => only !== false))('$name', async (row) => {
    const directory = await temporaryDirectory()
    const path = await row.prepare(directory)
    const before = await lstat(path).catch(() => undefined)
    const failure = writeOutput(to(path, row.output), proxy)
    await expect(failure).rejects.toMatchObject({
      code: 'configuration',
      check: row.check,
      message: expect.stringMatching(row.message),
      remedy: expect.any(String),
    })
    const after = await lstat(path).catch(() => undefined)
    expect([after?.ino, after?.size, after?.mtimeMs]).toEqual([
      before?.ino,
      before?.size,
      before?.mtimeMs,
    ])
    expect((await readdir(directory)).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })
})

test('what a killed certcache left half written goes, after a while, and nothing else', async () => {
  const directory = await temporaryDirectory()
  const old = new Date(Date.now() - 7_200_000)
  const names = ['.tts-abcdefghijkl.tmp', '.tts-mnopqrstuvwx.tmp', '.tts-short.tmp', 'proxy']
  for (const name of names) await writeFile(join(directory, name), 'x')
  for (const name of names.slice(1)) await utimes(join(directory, name), old, old)
  await removeLeftovers(join(directory, 'gwms_proxy'), new Date())
  expect((await readdir(directory)).toSorted()).toEqual([
    '.tts-abcdefghijkl.tmp',
    '.tts-short.tmp',
    'proxy',
  ])
})
