/** Somebody with a proxy of a test service and the files of its VOMS servers, as downloaded. */
import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CredentialFiles } from './grid-site.ts'
import type { TestService } from './service.ts'

export interface VomsUser extends CredentialFiles {
  readonly vomsDir: string
  readonly vomses: string
  readonly directory: string
  /** Of the tools. */
  readonly environment: Readonly<Record<string, string>>
  /** Writes a proxy for a token with these claims to `proxyPath`. */
  login(claims: Record<string, unknown>, query?: string): Promise<void>
  close(): Promise<void>
}

/** Downloads trust anchors and VOMS files. */
export async function openVomsUser(service: TestService): Promise<VomsUser> {
  const directory = await mkdtemp(join(tmpdir(), 'tts-voms-user-'))
  const path = (name: string): string => join(directory, name)
  const unpack = async (archive: string, target: string): Promise<void> => {
    await mkdir(target, { recursive: true })
    const response = await fetch(`${service.url}/ca/${archive}`)
    if (!response.ok) throw new Error(await response.text())
    execFileSync('tar', ['xz', '-C', target], { input: Buffer.from(await response.arrayBuffer()) })
  }
  await unpack('trust-anchors.tar.gz', path('certificates'))
  await unpack('voms.tar.gz', directory)
  const proxyPath = path('proxy')
  return {
    directory,
    proxyPath,
    trustAnchorDir: path('certificates'),
    vomsDir: path('vomsdir'),
    vomses: path('vomses'),
    environment: {
      HOME: directory,
      X509_USER_PROXY: proxyPath,
      X509_CERT_DIR: path('certificates'),
      X509_VOMS_DIR: path('vomsdir'),
    },
    async login(claims, query = '') {
      const response = await fetch(`${service.url}/v1/proxies?${query}`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${service.token('alice', claims)}` },
      })
      const text = await response.text()
      if (!response.ok) throw new Error(text)
      await writeFile(proxyPath, text, { mode: 0o600 })
    },
    close: () => rm(directory, { recursive: true, force: true }),
  }
}
