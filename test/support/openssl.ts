/** Real `openssl` as a second judge. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Certificate } from '../../ca/certificate.ts'
import { toPem } from '../../ca/pem.ts'

const run = promisify(execFile)

/** What one call of openssl said. */
export interface OpensslAnswer {
  readonly ok: boolean
  readonly stdout: Buffer
  /** Both outputs as text. */
  readonly text: string
}

/** Runs openssl with a deadline, in a directory of its own that holds `files` by name. */
export async function openssl(
  args: readonly string[],
  files: Readonly<Record<string, string | Buffer>> = {},
): Promise<OpensslAnswer> {
  const directory = await mkdtemp(join(tmpdir(), 'tts-openssl-'))
  try {
    for (const [name, content] of Object.entries(files))
      await writeFile(join(directory, name), content)
    const options = { cwd: directory, timeout: 10_000, encoding: 'buffer' } as const
    const answer = (ok: boolean, stdout: Buffer, stderr: Buffer): OpensslAnswer => ({
      ok,
      stdout,
      text: Buffer.concat([stdout, stderr]).toString(),
    })
    return await run('openssl', args, options).then(
      ({ stdout, stderr }) => answer(true, stdout, stderr),
      (error: { stdout?: Buffer; stderr?: Buffer }) =>
        answer(false, error.stdout ?? Buffer.alloc(0), error.stderr ?? Buffer.from('no answer')),
    )
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** Bytes as openssl prints key identifiers. */
export function colons(bytes: Buffer): string {
  return bytes
    .toString('hex')
    .toUpperCase()
    .replace(/(..)(?=.)/g, '$1:')
}

export interface OpensslRequest {
  readonly leaf: Certificate
  readonly untrusted: readonly Certificate[]
  readonly anchors: readonly Certificate[]
  /** DER; `-crl_check_all` when given. */
  readonly crls?: readonly Buffer[]
  readonly now: Date
  readonly allowProxies?: boolean
}

/** What `openssl verify -x509_strict -allow_proxy_certs` says: undefined when it accepts, else its words. */
export async function opensslRefusal(request: OpensslRequest): Promise<string | undefined> {
  const directory = await mkdtemp(join(tmpdir(), 'tts-openssl-'))
  const put = async (name: string, label: string, ders: readonly Buffer[]): Promise<string> => {
    const path = join(directory, name)
    await writeFile(path, ders.map((der) => toPem(label, der)).join(''))
    return path
  }
  const der = (certificates: readonly Certificate[]): Buffer[] => certificates.map((one) => one.der)
  try {
    const leaf = await put('leaf.pem', 'CERTIFICATE', [request.leaf.der])
    const anchors = await put('anchors.pem', 'CERTIFICATE', der(request.anchors))
    const options = ['-x509_strict', '-attime', String(Math.floor(request.now.getTime() / 1000))]
    if (request.allowProxies !== false) options.push('-allow_proxy_certs')
    if (request.untrusted.length > 0)
      options.push('-untrusted', await put('untrusted.pem', 'CERTIFICATE', der(request.untrusted)))
    if (request.crls) {
      options.push('-crl_check_all')
      if (request.crls.length > 0)
        options.push('-CRLfile', await put('crls.pem', 'X509 CRL', request.crls))
    }
    const args = ['verify', '-no-CApath', '-no-CAstore', '-CAfile', anchors, ...options, leaf]
    return await run('openssl', args, { timeout: 10_000 }).then(
      () => undefined,
      (error: { stderr?: string }) => error.stderr ?? 'openssl failed',
    )
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}
