import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createLineFiles, readLineFiles } from '../../src/files/line-files.ts'

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tts-lines-'))
})
afterEach(async () => {
  await rm(directory, { recursive: true, force: true })
})

const november = (): Date => new Date('2026-11-30T23:59:59.999Z')

async function linesOf(path: string): Promise<string[]> {
  const lines: string[] = []
  for await (const line of readLineFiles(path)) lines.push(line)
  return lines
}

test('lines of one month follow each other in one file, and the next month has another', async () => {
  let now = november()
  const files = createLineFiles(directory, () => now)
  await files.append('a\n')
  await files.append('b\nc\n')
  now = new Date('2026-12-01T00:00:00.000Z')
  await files.append('d\n')
  const names = (await readdir(directory)).toSorted()
  expect(names.map((name) => name.slice(0, 8))).toEqual(['2026-11-', '2026-12-'])
  expect(await readFile(join(directory, names[0]!), 'utf8')).toBe('a\nb\nc\n')
  expect(await linesOf(directory)).toEqual(['a', 'b', 'c', 'd'])
})

test('two writers never share a file', async () => {
  const writers = [createLineFiles(directory, november), createLineFiles(directory, november)]
  await Promise.all(writers.map(async (files, index) => files.append(`${index}\n`)))
  expect(await readdir(directory)).toHaveLength(2)
})

test('a file to which lines could not be added is never continued', async () => {
  const files = createLineFiles(directory, november)
  await files.append('a\n')
  const [name] = await readdir(directory)
  await rm(join(directory, name!))
  await mkdir(join(directory, name!))
  await expect(files.append('b\n')).rejects.toMatchObject({ code: 'configuration' })
  await rm(join(directory, name!), { recursive: true })
  await files.append('c\n')
  expect(await readdir(directory)).not.toContain(name)
  expect(await linesOf(directory)).toEqual(['c'])
})

test('files are read in the order of their names, whatever the pieces in which they arrive', async () => {
  // Longer than what is read at once, with characters of more than one byte at the borders.
  const long = 'é'.repeat(100_000)
  await writeFile(join(directory, '2026-11-b.jsonl'), `${long}\n${long}x\n\nlast without its end`)
  await writeFile(join(directory, '2026-10-a.jsonl'), 'first\n')
  await writeFile(join(directory, 'notes.txt'), 'not a record\n')
  expect(await linesOf(directory)).toEqual(['first', long, `${long}x`, '', 'last without its end'])
})

test('a directory that is not there is said to be missing', async () => {
  await expect(linesOf(join(directory, 'none'))).rejects.toMatchObject({ code: 'not_found' })
})
