/** PKCS#12 files are read by OpenSSL and, where its tools are installed, by NSS, which browsers use. */
import { execFileSync, spawnSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readPem } from '../../ca/pem.ts'
import { pkcs12File, PKCS12_ITERATIONS } from '../../ca/pkcs12.ts'
import { describeWithTools, findProgram } from '../support/grid-tools.ts'

let directory = ''
let keyPem = ''
let ownPem = ''
let caPem = ''
const password = 'tr0ub4dor & 3: "x"'

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-p12-'))
  const at = (name: string): string => join(directory, name)
  const openssl = (...words: string[]): string =>
    execFileSync('openssl', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  caPem = openssl(...made, '-subj', '/CN=CA', '-keyout', at('ca.key'))
  writeFileSync(at('ca.pem'), caPem)
  const issuer = ['-CA', at('ca.pem'), '-CAkey', at('ca.key')]
  ownPem = openssl(...made, '-subj', '/O=Grid/CN=alice', '-keyout', at('own.key'), ...issuer)
  keyPem = openssl('pkey', '-in', at('own.key'))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const der = (pem: string): Buffer => readPem(pem, 'test')[0]?.der ?? Buffer.alloc(0)
const content = () => ({
  privateKey: createPrivateKey(keyPem),
  certificates: [der(ownPem), der(caPem)],
  friendlyName: 'alice',
})

function openssl(file: string, pass: string, ...words: readonly string[]) {
  const args = ['pkcs12', '-in', file, '-passin', `pass:${pass}`, ...words]
  const { status, stdout, stderr } = spawnSync('openssl', args, { encoding: 'utf8' })
  return { status, stdout, stderr }
}

describe('read by OpenSSL', () => {
  test.for([undefined, 1, 2048])('with %s iterations', async (iterations) => {
    const file = join(directory, 'file.p12')
    const options = { password, ...(iterations === undefined ? {} : { iterations }) }
    writeFileSync(file, await pkcs12File(content(), options))
    const key = openssl(file, password, '-nocerts', '-noenc')
    expect(key.status, key.stderr).toBe(0)
    expect(createPrivateKey(key.stdout).equals(createPrivateKey(keyPem))).toBe(true)
    const own = openssl(file, password, '-clcerts', '-nokeys').stdout
    expect(new X509Certificate(own).subject).toBe('O=Grid\nCN=alice')
    const above = openssl(file, password, '-cacerts', '-nokeys').stdout
    expect(new X509Certificate(above).subject).toBe('CN=CA')
    const { stderr } = openssl(file, password, '-info', '-noout')
    const count = iterations ?? PKCS12_ITERATIONS
    const scheme = `PBES2, PBKDF2, AES-256-CBC, Iteration ${count}, PRF hmacWithSHA256`
    expect(stderr).toContain(`MAC: sha256, Iteration ${count}\n`)
    expect(stderr.split(scheme)).toHaveLength(3)
  })

  test('not with another password, and not after a change', async () => {
    const file = join(directory, 'bad.p12')
    const made = await pkcs12File(content(), { password, iterations: 10 })
    writeFileSync(file, made)
    expect(openssl(file, `${password} `, '-noout').stderr).toContain('Mac verify error')
    const changed = Buffer.from(made)
    changed[200] = (changed[200] ?? 0) ^ 1
    writeFileSync(file, changed)
    expect(openssl(file, password, '-noout').status).not.toBe(0)
  })
})

test('each file has salts of its own, and nothing in the clear', async () => {
  const options = { password, iterations: 10 }
  const [one, other] = await Promise.all([
    pkcs12File(content(), options),
    pkcs12File(content(), options),
  ])
  expect(one.equals(other)).toBe(false)
  for (const part of [der(ownPem).subarray(-40), der(keyPem).subarray(-40)])
    expect(one.includes(part)).toBe(false)
})

test.for([
  ['empty', ''],
  ['not ASCII', 'pässword'],
  ['a line end', 'pass\nword'],
  ['257 characters', 'x'.repeat(257)],
])('a password is refused: %s', async ([, bad = '']) => {
  await expect(pkcs12File(content(), { password: bad })).rejects.toMatchObject({
    code: 'bad_request',
    message: 'the password must be 1 to 256 printable ASCII characters',
  })
})

test('without a certificate there is no file', async () => {
  await expect(
    pkcs12File({ ...content(), certificates: [] }, { password, iterations: 1 }),
  ).rejects.toMatchObject({ code: 'bad_request' })
})

test('it pauses, so that other work has its turn', async () => {
  let pauses = 0
  const pause = async (): Promise<void> => {
    pauses += 1
  }
  await pkcs12File(content(), { password, iterations: 10_001, pause })
  expect(pauses).toBe(5)
})

describeWithTools('NSS, which Firefox and Chromium use', ['libnss3-tools'], () => {
  test('imports it', async () => {
    const file = join(directory, 'nss.p12')
    writeFileSync(file, await pkcs12File(content(), { password }))
    const database = `sql:${directory}`
    const certutil = findProgram('certutil') ?? ''
    execFileSync(certutil, ['-N', '-d', database, '--empty-password'])
    execFileSync(findProgram('pk12util') ?? '', ['-i', file, '-d', database, '-W', password])
    expect(execFileSync(certutil, ['-K', '-d', database], { encoding: 'utf8' })).toMatch(/alice/)
  })
})
