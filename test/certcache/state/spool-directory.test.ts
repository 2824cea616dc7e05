import { chmodSync, lstatSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { spoolDirectory } from '../../../src/certcache/state/spool-directory.ts'

const uid = process.getuid?.() ?? 0
let root = ''
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'certcache-spool-'))
  for (const name of ['one', 'two']) mkdirSync(join(root, name))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

/** No directory can be made here, not even by root. */
const nowhere = '/proc/none/state'
const url = 'postgres://db.example.org/certcache'
const chosen = async (directory: string, more: { readonly url?: string } = { url }) =>
  spoolDirectory({ directory, cluster: 'c', ...more }, uid, [join(root, 'one'), join(root, 'two')])
const inBase = (base: string): string => join(root, base, `certcache-c-${uid}`)

test('in the state directory, whatever that is, when the state is in files', async () => {
  expect(await chosen(nowhere, {})).toBe(join(nowhere, 'refresh-spool'))
})

test('in the state directory too when the state is in a database and it can be written', async () => {
  const path = join(root, 'state', 'refresh-spool')
  expect(await chosen(join(root, 'state'))).toBe(path)
  expect((lstatSync(path).mode & 0o777).toString(8)).toBe('700')
})

test('else in the first base that can be written', async () => {
  expect(await chosen(nowhere)).toBe(inBase('one'))
  expect((lstatSync(inBase('one')).mode & 0o777).toString(8)).toBe('700')
})

test.for([
  [
    'a directory that others can reach',
    (path: string) => (mkdirSync(path), chmodSync(path, 0o777)),
  ],
  ['a link', (path: string) => symlinkSync(join(root, 'elsewhere'), path)],
  ['a link to a directory', (path: string) => symlinkSync(join(root, 'two'), path)],
] as const)('%s of that name is passed over', async ([, make]) => {
  make(inBase('one'))
  expect(await chosen(nowhere)).toBe(inBase('two'))
})

test('where none can be, the state directory is named', async () => {
  for (const base of ['one', 'two']) {
    mkdirSync(inBase(base))
    chmodSync(inBase(base), 0o755)
  }
  expect(await chosen(nowhere)).toBe(join(nowhere, 'refresh-spool'))
})
