import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  readInputFile,
  readInputFileSync,
  type InputFileOptions,
} from '../../src/files/input-file.ts'
import { programPath } from '../support/programs.ts'

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-input-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))
const path = (name: string): string => join(directory, name)

const ways = [
  ['readInputFile', readInputFile],
  [
    'readInputFileSync',
    async (file: string, options: InputFileOptions) => readInputFileSync(file, options),
  ],
] as const

describe.for(ways)('%s', ([, read]) => {
  test.for([0, 1, 65_536, 200_000])('a file of %i bytes', async (bytes) => {
    writeFileSync(path('file'), Buffer.alloc(bytes, 0x61))
    expect(await read(path('file'), { maxBytes: 200_000 })).toEqual(Buffer.alloc(bytes, 0x61))
  })

  test('a file that is too long, and a device without an end', async () => {
    writeFileSync(path('file'), 'too long')
    for (const file of [path('file'), '/dev/zero'])
      await expect(read(file, { maxBytes: 7 })).rejects.toThrow(`${file} is longer than 7 bytes`)
    expect(await read('/dev/null', { maxBytes: 7 })).toHaveLength(0)
  })

  test('a pipe without a writer is given up', async () => {
    execFileSync('mkfifo', [path('pipe')])
    await expect(read(path('pipe'), { maxBytes: 7, timeoutMs: 50 })).rejects.toMatchObject({
      code: 'invalid_request',
      message: `${path('pipe')} is a pipe that does not end in time`,
    })
  })

  test('waiting for a pipe takes no memory', async () => {
    execFileSync('mkfifo', [path('pipe')])
    const before = process.memoryUsage().arrayBuffers
    await expect(read(path('pipe'), { maxBytes: 7, timeoutMs: 600 })).rejects.toThrow('in time')
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(512 * 1024)
  })

  test('a command that prints nothing, as in `<(command)`, is empty at once', () => {
    const name = read === readInputFile ? 'readInputFile' : 'readInputFileSync'
    const script = `import { ${name} as read } from '${programPath('src/files/input-file.ts')}'
      console.log((await read('/dev/stdin', { maxBytes: 7 })).length)`
    const shell = 'true | "$0" --input-type=module -e "$1"'
    const words = ['-c', shell, process.execPath, script]
    expect(execFileSync('sh', words, { encoding: 'utf8', timeout: 5000 })).toBe('0\n')
  })

  test.for(['pipe', 'link'])('a %s whose writer starts late is read to its end', async (name) => {
    execFileSync('mkfifo', [path('pipe')])
    symlinkSync(path('pipe'), path('link'))
    const script = `sleep 0.1; (printf one; sleep 0.1; printf two) > '${path('pipe')}'`
    const writer = spawn('sh', ['-c', script], { stdio: 'ignore' })
    const ended = once(writer, 'exit')
    expect((await read(path(name), { maxBytes: 100 })).toString()).toBe('onetwo')
    await ended
  })

  test.for(['directory', 'none', 'socket'])('%s cannot be read', async (name) => {
    mkdirSync(path('directory'))
    const server = createServer().listen(path('socket'))
    await once(server, 'listening')
    const code = { directory: 'EISDIR', none: 'ENOENT', socket: 'ENXIO' }[name]
    await expect(read(path(name), { maxBytes: 7 })).rejects.toMatchObject({ code })
    server.close()
  })
})
