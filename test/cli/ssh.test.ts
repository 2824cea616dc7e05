import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readKrl } from '../../ca/ssh/krl.ts'
import { readSshPublicKeyLine, sshFingerprint } from '../../ca/ssh/public-key.ts'
import { sshCaCommand } from '../../src/cli/ssh.ts'
import type { Terminal } from '../../src/cli/terminal.ts'

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-ssh-cli-'))
  writeFileSync(join(directory, 'tts.yaml'), 'data_dir: data\n')
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const now = new Date('2026-11-05T12:00:00Z')

/** `tts ssh-ca …` with the configuration of this test's directory. */
async function sshCa(words: readonly string[], revoked: readonly bigint[] = []) {
  const results: Buffer[] = []
  let notes = ''
  const terminal: Terminal = {
    environment: {},
    uid: 0,
    now: () => now,
    out: (result) => void results.push(Buffer.from(result)),
    note: (text) => void (notes += `${text}\n`),
    exitWith: () => undefined,
  }
  const program = new Command('tts').option('-c, --config <FILE>').option('--json').exitOverride()
  program.addCommand(sshCaCommand(terminal, () => Promise.resolve(revoked)))
  const config = ['--config', join(directory, 'tts.yaml')]
  await program.parseAsync([...config, 'ssh-ca', ...words], { from: 'user' })
  return { bytes: Buffer.concat(results), out: Buffer.concat(results).toString(), notes }
}

test('init makes the CA, prints its line and says to back it up', async () => {
  const { out, notes } = await sshCa(['init'])
  expect(readSshPublicKeyLine(out).kind).toBe('ed25519')
  expect(notes).toContain(`${join(directory, 'data', 'ssh-ca')}. Back up this directory`)
  await expect(sshCa(['init'])).rejects.toThrow(expect.objectContaining({ code: 'conflict' }))
})

test('init takes the kind of key', async () => {
  expect(readSshPublicKeyLine((await sshCa(['init', '--key-kind', 'ec-p256'])).out).kind).toBe(
    'ec-p256',
  )
})

test('show tells the key, for people and for scripts', async () => {
  const { out: line } = await sshCa(['init'])
  const fingerprint = sshFingerprint(readSshPublicKeyLine(line))
  const { out } = await sshCa(['show'])
  expect(out).toContain(`fingerprint       : ${fingerprint}\n`)
  expect(out).toContain(line)
  const json = JSON.parse((await sshCa(['--json', 'show'])).out) as object
  expect(json).toEqual({ key: 'ed25519', fingerprint, trusted_user_ca_keys: line.trim() })
  const secret = readFileSync(join(directory, 'data/ssh-ca/passphrase'), 'utf8').trim()
  expect(out).not.toContain(secret)
})

test('krl prints the list of what is revoked', async () => {
  const { out: line } = await sshCa(['init'])
  const read = readKrl((await sshCa(['krl'], [9n, 4n])).bytes)
  expect(read).toMatchObject({
    serials: [4n, 9n],
    keyIds: [],
    generatedAt: now,
    version: BigInt(now.getTime() / 1000),
  })
  expect(read.authority?.blob).toEqual(readSshPublicKeyLine(line).blob)
})

test('without a CA it says how to make one', async () => {
  for (const word of ['show', 'krl'])
    await expect(sshCa([word])).rejects.toThrow(
      expect.objectContaining({
        code: 'configuration',
        remedy: expect.stringContaining('tts ssh-ca init') as string,
      }),
    )
})
