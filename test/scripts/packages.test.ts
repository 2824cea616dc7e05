/** `npm run packages`: what it makes is installed as its users do, and used. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { Ajv } from 'ajv'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { programPath } from '../support/programs.ts'
import { asScript, scriptProblem } from '../tutorials/as-script.ts'
import { withFreePorts } from '../tutorials/markdown.ts'
import { blocksAfterInstallation, installCommand } from '../tutorials/operator-tutorial.ts'

const run = promisify(execFile)
let directory = ''
const packages = (): string => join(directory, 'packages')
const made = (pattern: RegExp): string => {
  const name = readdirSync(packages()).find((each) => pattern.test(each))
  if (name === undefined) throw new Error(`there is no ${pattern}`)
  return join(packages(), name)
}
const versionLine =
  /^\d+\.\d+\.\d+ \(commit [0-9a-f]{40}(-dirty)?, built \S+Z, Node\.js v24\.\S+\)\n$/

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'tts-packages-test-'))
  const words = [programPath('scripts/packages/main.ts'), '--fast', '--out', packages()]
  await run(process.execPath, words)
}, 180_000)
afterAll(() => rmSync(directory, { recursive: true, force: true }))

test('there are packages, a bill of materials for each, and checksums of all', async () => {
  const { version } = JSON.parse(readFileSync(programPath('package.json'), 'utf8')) as {
    version: string
  }
  const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64'
  const names = [
    'SHA256SUMS',
    `certcache_${version}_${architecture}.cdx.json`,
    `certcache_${version}_${architecture}.deb`,
    `token-translation-service-${version}.cdx.json`,
    `token-translation-service-${version}.tgz`,
    `tts-${version}-linux-${process.arch}`,
    `tts-${version}-linux-${process.arch}.cdx.json`,
    `tts_${version}_${architecture}.cdx.json`,
    `tts_${version}_${architecture}.deb`,
  ]
  expect(readdirSync(packages()).toSorted()).toEqual(names.toSorted())
  const { stdout } = await run('sha256sum', ['--check', 'SHA256SUMS'], { cwd: packages() })
  expect(stdout.match(/: OK$/gm)).toHaveLength(names.length - 1)
})

test('a directory that exists is not written into', async () => {
  const words = [programPath('scripts/packages/main.ts'), '--only', 'npm', '--out', packages()]
  await expect(run(process.execPath, words)).rejects.toThrow(/EEXIST/)
  const mistyped = [programPath('scripts/packages/main.ts'), '--only', 'rpm']
  await expect(run(process.execPath, mistyped)).rejects.toThrow(
    '--only: "rpm" must be of npm, debian, single-file',
  )
})

describe('the bill of materials', () => {
  interface Bill {
    readonly components: readonly {
      readonly name: string
      readonly version: string
      readonly purl?: string
      readonly hashes?: readonly { readonly content: string }[]
      readonly components?: readonly { readonly name: string }[]
    }[]
  }
  const read = (pattern: RegExp): Bill => JSON.parse(readFileSync(made(pattern), 'utf8')) as Bill

  test.for([/^token.*cdx/, /x64\.cdx|arm64\.cdx/, /^tts_.*cdx/, /^certcache_.*cdx/])(
    '%s is valid CycloneDX 1.6',
    (pattern) => {
      const library = createRequire(import.meta.url).resolve('@cyclonedx/cyclonedx-library')
      const schema = (name: string): object =>
        JSON.parse(
          readFileSync(
            join(library.replace(/\/dist\..*/, ''), `res/schema/${name}.SNAPSHOT.schema.json`),
            'utf8',
          ),
        ) as object
      const ajv = new Ajv({ strict: false, validateFormats: false })
      ajv.addSchema(schema('spdx'), 'http://cyclonedx.org/schema/spdx.SNAPSHOT.schema.json')
      ajv.addSchema(schema('jsf-0.82'), 'http://cyclonedx.org/schema/jsf-0.82.SNAPSHOT.schema.json')
      const isValid = ajv.compile(schema('bom-1.6'))
      expect([isValid(read(pattern)), isValid.errors]).toEqual([true, null])
      expect(isValid({ bomFormat: 'CycloneDX', specVersion: '1.6', components: [{}] })).toBe(false)
    },
  )

  test('has what is in the programs, with the digests of package-lock.json, and no tool of ours', () => {
    const { components } = read(/^token.*cdx/)
    const forge = components.find(({ name }) => name === 'node-forge')
    const lock = JSON.parse(readFileSync(programPath('package-lock.json'), 'utf8')) as {
      packages: Record<string, { integrity: string }>
    }
    const [, digest = ''] = lock.packages['node_modules/node-forge']?.integrity.split('-') ?? []
    expect(forge?.hashes?.[0]?.content).toBe(Buffer.from(digest, 'base64').toString('hex'))
    const names = components.map(({ name }) => name)
    expect(names).toEqual(expect.arrayContaining(['express', 'pino', 'pg', 'zod', 'jose']))
    expect(names).not.toContain('vitest')
    expect(names).not.toContain('node')
  })

  test('names Node and its OpenSSL where they are in the package', () => {
    for (const pattern of [/^tts_.*cdx/, /^certcache_.*cdx/, /x64\.cdx|arm64\.cdx/]) {
      const node = read(pattern).components.find(({ name }) => name === 'node')
      expect(node?.version).toBe(process.versions.node)
      expect(node?.components?.map(({ name }) => name)).toContain('openssl')
    }
  })
})

test('npm install -g: an empty prefix has both programs, also with the Node of the machine', async () => {
  const prefix = join(directory, 'prefix')
  const npm = { cwd: packages(), env: { ...process.env, npm_config_prefix: prefix } }
  await run('sh', ['-c', `${installCommand(/^npm /)} --no-audit --no-fund`], npm)
  expect(readdirSync(join(prefix, 'lib/node_modules'))).toEqual(['token-translation-service'])
  for (const path of [dirname(process.execPath), '/usr/bin:/bin'])
    for (const name of ['tts', 'certcache']) {
      const env = { PATH: path, HOME: directory }
      // A machine without any Node has nothing to begin with.
      const isThere = await run('node', ['-v'], { env }).then(
        () => true,
        () => false,
      )
      if (!isThere) continue
      const { stdout } = await run(join(prefix, 'bin', name), ['version'], { env })
      expect(stdout).toMatch(versionLine)
    }

  // Signals reach the program, whichever Node it began with, and its end is the end of what was started.
  const began = spawn(join(prefix, 'bin', 'tts'), ['serve'], {
    // That of the machine first, if it has one.
    env: {
      PATH: `/usr/bin:/bin:${dirname(process.execPath)}`,
      HOME: join(directory, 'home'),
      TTS_LISTEN__PORT: '0',
    },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  let said = ''
  began.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const ended = once(began, 'close')
  await expect.poll(() => said).toContain('"service.started"')
  began.kill('SIGTERM')
  expect(await ended).toEqual([0, null])

  // The tutorial of operators, from its second step on.
  const bin = join(prefix, 'bin')
  symlinkSync(programPath('demo/main.ts'), join(bin, 'tts-demo'))
  const blocks = await withFreePorts(blocksAfterInstallation(), freePort)
  const place = join(directory, 'tutorial')
  mkdirSync(place)
  const env = { PATH: `${bin}:${dirname(process.execPath)}:/usr/bin:/bin`, HOME: place }
  const script = ['exec 2>&1', asScript(blocks)].join('\n')
  const { stdout } = await run('timeout', ['100', 'bash', '-c', script], { cwd: place, env })
  expect(scriptProblem(blocks, stdout)).toBeUndefined()
}, 240_000)

test('the single executable file is tts and certcache, without any other Node', async () => {
  const bin = join(directory, 'bin')
  mkdirSync(bin)
  const tts = join(bin, 'tts')
  copyFileSync(made(/linux-(x64|arm64)$/), tts)
  symlinkSync('tts', join(bin, 'certcache'))
  const options = { env: { PATH: bin, HOME: directory }, cwd: directory }
  for (const words of [['tts'], ['tts', 'certcache'], ['certcache']]) {
    const [program = '', ...more] = words
    const { stdout } = await run(program, [...more, 'version'], options)
    expect(stdout).toMatch(versionLine)
  }
  await expect(run('tts', ['proxy', 'info', 'none'], options)).rejects.toMatchObject({ code: 5 })
  await expect(run('certcache', ['status'], options)).rejects.toMatchObject({ code: 3 })
})
