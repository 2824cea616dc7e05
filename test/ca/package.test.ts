/** `ca/` as a package: what its README and comments promise runs, and its public API is what it says. */
import { execFile } from 'node:child_process'
import {
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as ca from '../../ca/index.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const read = (path: string): string => readFileSync(join(root, path), 'utf8')

interface PackageFile {
  readonly name: string
  readonly exports: Readonly<Record<string, string>>
  readonly dependencies: Readonly<Record<string, string>>
}
const own = JSON.parse(read('ca/package.json')) as PackageFile

/** A project beside this one that has the package installed. */
let project: string
beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), 'tts-ca-package-'))
  mkdirSync(join(project, 'node_modules', own.name, '..'), { recursive: true })
  symlinkSync(join(root, 'ca'), join(project, 'node_modules', own.name))
})
afterAll(() => {
  rmSync(project, { recursive: true, force: true })
})

/** Runs a TypeScript program of that project and answers its output. */
async function runProgram(name: string, source: string): Promise<string> {
  writeFileSync(join(project, name), source)
  const { stdout } = await run(process.execPath, [name], { cwd: project, timeout: 60_000 })
  return stdout
}

/** What tsc says against it, in strict mode. */
async function typeErrors(name: string): Promise<string> {
  const options = ['--noEmit', '--strict', '--skipLibCheck', '--allowImportingTsExtensions']
  const modules = ['--module', 'nodenext', '--target', 'es2024', '--types', 'node']
  const types = ['--typeRoots', join(root, 'node_modules/@types')]
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const forge = join(root, 'ca/node-forge-asn1.d.ts')
  const args = [tsc, ...options, ...modules, ...types, name, forge]
  return run(process.execPath, args, { cwd: project, timeout: 60_000 }).then(
    () => '',
    (error: { stdout?: string }) => error.stdout ?? 'tsc failed',
  )
}

test('the example of the README runs, and has no type errors', async () => {
  const [, example = ''] = /```ts\n([\s\S]*?)```/.exec(read('ca/README.md')) ?? []
  expect(await runProgram('readme.mts', example)).toBe(
    '/C=EU/O=Example/CN=Alice: RFC 3820 compliant impersonation proxy, 43200 s\n',
  )
  expect(await typeErrors('readme.mts')).toBe('')
})

/** The doc comment before each exported function of ca/, by name. */
function docComments(): ReadonlyMap<string, string> {
  const functions = /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\nexport (?:async )?function (\w+)/g
  const found = globSync('ca/**/*.ts', { cwd: root }).flatMap((path) =>
    [...read(path).matchAll(functions)].map(
      ([, comment = '', name = '']) => [name, comment.replace(/^ \* ?/gm, '')] as const,
    ),
  )
  return new Map(found)
}

const publicFunctions = Object.entries(ca)
  .filter(([name, value]) => typeof value === 'function' && name !== 'CaError')
  .map(([name]) => name)

/** What examples may use: a CA, Alice's EEC with its key, a proxy of 12 hours, her VOMS attributes, an SSH CA. */
const prelude = `
import { deepEqual } from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { ${Object.keys(ca).join(', ')} } from '${own.name}'

const now = new Date(Math.floor(Date.now() / 1000) * 1000)
const privateKey = await generatePrivateKey('ec-p256')
const days = (count: number) => new Date(now.getTime() + count * 86_400_000)
const authority = await (async () => {
  const subject = parseSlashDn('/C=EU/O=Example/CN=Example CA')
  const validity = { notBefore: days(-1), notAfter: days(3650) }
  const der = await createRootCertificate({ subject, privateKey, validity, serial: Buffer.of(1) })
  return openAuthority(toPem('CERTIFICATE', der), privateKey)
})()
const signer = createSigner(await generatePrivateKey('rsa-2048'))
const endEntity = {
  signer,
  certificate: readCertificate(
    await issueEndEntity(authority, {
      subject: parseSlashDn('/C=EU/O=Example/CN=Alice'),
      publicKey: signer.publicKey,
      validity: nestedValidity(now, 11 * 86_400, authority.certificate.validity),
      serial: Buffer.of(2),
      profile: { crlUrl: undefined, policyOids: [] },
    }),
  ),
}
const proxyKey = await generatePrivateKey('rsa-2048')
const publicKey = importPublicKey(proxyKey)
const proxy = readCertificate(
  await issueProxy(endEntity, {
    type: 'impersonation',
    pathLength: undefined,
    publicKey,
    validity: nestedValidity(now, 12 * 3600, endEntity.certificate.validity),
    serial: Buffer.of(3),
  }),
)
const validity = nestedValidity(now, 3600, endEntity.certificate.validity)
const serial = Buffer.of(4)
const attributeAuthority = await (async () => {
  const base = parseSlashDn('/C=EU/O=Example')
  const host = { base, host: 'voms.example.org', publicKey: signer.publicKey, crlUrl: undefined }
  const der = await issueHostCertificate(authority, { ...host, validity, serial })
  return { certificate: readCertificate(der), signer }
})()
const attributes = await issueAttributeCertificate(attributeAuthority, {
  holder: endEntity.certificate,
  server: { vo: 'cms', host: 'voms.example.org', port: 15000 },
  fqans: [parseFqan('/cms')],
  validity,
  serial,
})
const sshAuthority = openSshAuthority(await generateSshAuthorityKey('ed25519'))
const sshPublicKey = sshAuthority.publicKey
`

describe('the public functions', () => {
  const comments = docComments()

  test('are the ones that we know of', () => {
    expect(publicFunctions.length).toBeGreaterThan(35)
  })

  test.for(publicFunctions)('%s says its RFC, its errors by code, and has an example', (name) => {
    const comment = comments.get(name) ?? ''
    expect(comment).toMatch(/^@see RFC \d+ section \d/m)
    for (const [, codes = ''] of comment.matchAll(/^@throws \{CaError\} (.*)/gm))
      expect(codes).toMatch(/^`[a-z_]+`/)
    expect(comment).toMatch(/^@example\n/m)
    const lines = (comment.split('@example\n')[1] ?? '').trim().split('\n')
    expect(lines.length).toBeLessThanOrEqual(6)
    expect(lines.some((line) => line.includes('// => '))).toBe(true)
  })

  test('have examples that run, with the values that they show', async () => {
    const examples = publicFunctions.map((name) => {
      const example = (comments.get(name) ?? '').split('@example\n')[1] ?? ''
      const code = example.replace(/^(.*\S) +\/\/ => (.*)$/gm, 'deepEqual($1, $2)')
      return `{ // ${name}\n${code}}\nconsole.log('${name}')\n`
    })
    const output = await runProgram('examples.mts', prelude + examples.join(''))
    expect(output.trim().split('\n')).toEqual(publicFunctions)
  })
})

test('no public type mentions node-forge', async () => {
  const out = join(project, 'types')
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const configuration = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: {
      rootDir: root,
      outDir: out,
      typeRoots: [join(root, 'node_modules/@types')],
      noEmit: false,
      declaration: true,
      emitDeclarationOnly: true,
    },
    include: [join(root, 'ca')],
  }
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify(configuration))
  await run(process.execPath, [tsc, '-p', project], { cwd: root })
  const files = globSync('ca/**/*.d.ts', { cwd: out })
  expect(files).toContain('ca/index.d.ts')
  for (const file of files) {
    const declarations = readFileSync(join(out, file), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '')
    expect(declarations, file).not.toMatch(/forge/i)
  }
})

test('its dependencies are what it imports, in the version of the service', () => {
  const imports = globSync('ca/**/*.ts', { cwd: root, exclude: ['**/*.d.ts'] }).flatMap((path) =>
    [...read(path).matchAll(/^(?:import|export) .*?from '([^']+)'|^\} from '([^']+)'/gm)].map(
      ([, one, other]) => one ?? other ?? '',
    ),
  )
  const packages = new Set(imports.filter((name) => !/^(\.|node:)/.test(name)))
  expect([...packages].map((name) => name.split('/')[0])).toEqual(Object.keys(own.dependencies))
  expect(new Set(imports.filter((name) => name.startsWith('node:')))).toEqual(
    new Set(['node:crypto', 'node:util']),
  )
  const { devDependencies } = JSON.parse(read('package.json')) as {
    devDependencies: Readonly<Record<string, string>>
  }
  expect(devDependencies).toMatchObject(own.dependencies)
  expect(own.exports).toEqual({ '.': './index.ts' })
})
