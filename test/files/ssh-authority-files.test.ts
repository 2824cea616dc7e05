import { execFileSync } from 'node:child_process'
import { createPrivateKey, randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { encryptPrivateKey } from '../../ca/private-key.ts'
import {
  initSshAuthorityFiles,
  openSshAuthorityFiles,
  sshAuthorityExists,
  sshAuthorityPaths,
} from '../../src/files/ssh-authority-files.ts'
import { createPrivateFile, writePrivateFile } from '../../src/files/private-file.ts'
import { sshKeyPair } from '../support/ssh-keys.ts'

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-ssh-ca-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const options = (passphrase?: string) => ({ dataDirectory: directory, passphrase, randomBytes })
const paths = () => sshAuthorityPaths(directory)
const modeOf = (path: string): string => (statSync(path).mode & 0o7777).toString(8)
const configuration = (why: string) =>
  expect.objectContaining({
    code: 'configuration',
    message: expect.stringContaining(why) as string,
  }) as Error

test('an SSH CA is made private, its key encrypted under a passphrase made at random', async () => {
  expect(sshAuthorityExists(directory)).toBe(false)
  const made = await initSshAuthorityFiles(options(), 'ed25519')
  expect(sshAuthorityExists(directory)).toBe(true)
  expect(readdirSync(paths().directory).toSorted()).toEqual(['ca-key.pem', 'passphrase'])
  expect(modeOf(paths().directory)).toBe('700')
  expect(modeOf(paths().privateKey)).toBe('600')
  expect(modeOf(paths().passphrase)).toBe('600')
  const key = readFileSync(paths().privateKey, 'utf8')
  expect(key).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY-----\n/)
  const passphrase = readFileSync(paths().passphrase, 'utf8').trim()
  expect(passphrase.length).toBeGreaterThanOrEqual(43)
  expect(() => createPrivateKey({ key, passphrase: 'wrong' })).toThrow()
  const printed = execFileSync(
    'openssl',
    ['pkey', '-in', paths().privateKey, '-passin', `file:${paths().passphrase}`, '-noout', '-text'],
    { encoding: 'utf8' },
  )
  expect(printed).toContain('ED25519')
  const opened = await openSshAuthorityFiles(options())
  expect(opened.publicKey.blob).toEqual(made.publicKey.blob)
})

test('with a passphrase of the operator none is written', async () => {
  await initSshAuthorityFiles(options('of the operator'), 'ec-p256')
  expect(readdirSync(paths().directory)).toEqual(['ca-key.pem'])
  expect((await openSshAuthorityFiles(options('of the operator'))).publicKey.kind).toBe('ec-p256')
  await expect(openSshAuthorityFiles(options('another'))).rejects.toThrow(
    configuration('passphrase'),
  )
  await expect(openSshAuthorityFiles(options())).rejects.toThrow(configuration('is missing'))
})

test('an SSH CA is never overwritten, also when two are made at once', async () => {
  const attempts = await Promise.allSettled(
    Array.from({ length: 4 }, () => initSshAuthorityFiles(options(), 'ed25519')),
  )
  const made = attempts.flatMap((attempt) =>
    attempt.status === 'fulfilled' ? [attempt.value] : [],
  )
  expect(made).toHaveLength(1)
  for (const attempt of attempts)
    if (attempt.status === 'rejected') expect(attempt.reason).toMatchObject({ code: 'conflict' })
  const opened = await openSshAuthorityFiles(options())
  expect(opened.publicKey.blob).toEqual(made[0]?.publicKey.blob)
  await expect(initSshAuthorityFiles(options(), 'ed25519')).rejects.toThrow(
    expect.objectContaining({ code: 'conflict' }),
  )
  expect(readdirSync(paths().directory).toSorted()).toEqual(['ca-key.pem', 'passphrase'])
})

test('what cannot be opened is named, with what to do', async () => {
  await expect(openSshAuthorityFiles(options())).rejects.toThrow(
    expect.objectContaining({
      code: 'configuration',
      remedy: expect.stringContaining('tts ssh-ca init') as string,
    }),
  )
  await initSshAuthorityFiles(options(), 'ed25519')
  chmodSync(paths().privateKey, 0o644)
  await expect(openSshAuthorityFiles(options())).rejects.toThrow(configuration('mode 0644'))
  chmodSync(paths().privateKey, 0o600)
  await writePrivateFile(paths().privateKey, 'nothing')
  await expect(openSshAuthorityFiles(options())).rejects.toThrow(configuration('cannot be read'))
})

test('a key that signs no SSH certificates is refused', async () => {
  await initSshAuthorityFiles(options('x'), 'ed25519')
  rmSync(paths().privateKey)
  const { privateKey } = sshKeyPair('ec-p384')
  await createPrivateFile(paths().privateKey, await encryptPrivateKey(privateKey, 'x', 1000))
  await expect(openSshAuthorityFiles(options('x'))).rejects.toThrow(
    configuration('an SSH CA key must be'),
  )
})
