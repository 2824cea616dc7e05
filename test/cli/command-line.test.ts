import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { expect, test } from 'vitest'
import { runCommandLine } from '../../src/cli/command-line.ts'

async function runThrowing(work: () => unknown): Promise<{ code: number; notes: string[] }> {
  const notes: string[] = []
  const program = new Command('tts').exitOverride()
  program.command('work').action(() => void work())
  const code = await runCommandLine(program, ['work'], (line) => notes.push(line))
  return { code, notes }
}

function systemError(code: string, path?: string): Error {
  return Object.assign(new Error(`${code}: secret`), {
    code,
    ...(path === undefined ? {} : { path }),
  })
}

test('an error of a file that no code explained is explained here', async () => {
  const { code, notes } = await runThrowing(() => readFileSync('/nonexistent/file'))
  expect(code).toBe(2)
  expect(notes).toEqual([
    'tts: /nonexistent/file cannot be used: the file or its directory does not exist',
    '  what to do: Correct the path, or create the directory.',
  ])
})

test('a full disk is not wrong usage', async () => {
  const { code, notes } = await runThrowing(() => {
    throw systemError('ENOSPC', '/data/file')
  })
  expect(code).toBe(1)
  expect(notes).toEqual([
    'tts: /data/file cannot be used: the disk is full',
    '  what to do: Free space on the disk.',
  ])
})

test.for([systemError('ECONNREFUSED'), systemError('ERR_X', '/file'), new Error('why')])(
  'any other error stays unexpected: %s',
  async (error) => {
    const { code, notes } = await runThrowing(() => {
      throw error
    })
    expect(code).toBe(1)
    expect(notes).toEqual([`tts: unexpected error: ${error.message}`])
  },
)
