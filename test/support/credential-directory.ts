/** A proxy file and its trust anchors on disk, as the service leaves them, for tools to read. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createCrl, type CrlEntry } from '../../ca/crl.ts'
import { trustAnchorFiles } from '../../ca/trust-anchors.ts'
import { writeTrustAnchorDirectory } from '../../src/files/trust-anchor-directory.ts'
import {
  asAuthority,
  baseName,
  buildChain,
  type BuiltChain,
  type ChainPlan,
} from './certificate-builder.ts'
import type { CredentialFiles } from './grid-site.ts'

export interface CredentialDirectory extends CredentialFiles {
  readonly directory: string
  readonly chain: BuiltChain
  /** Writes the trust anchors again, with CRLs; revokes the EEC when asked to. */
  writeCrls(options: { readonly revoke: boolean; readonly ended?: boolean }): Promise<void>
  close(): Promise<void>
}

const HOUR = 3_600_000

/** Makes a chain that is valid now and writes its files. */
export async function openCredentialDirectory(plan: ChainPlan = {}): Promise<CredentialDirectory> {
  const chain = await buildChain({ now: new Date(), ...plan })
  const directory = await mkdtemp(join(tmpdir(), 'tts-credential-'))
  const proxyPath = join(directory, 'gwms_proxy')
  const trustAnchorDir = join(directory, 'trust-anchors')
  const write = (crls: readonly Buffer[]): Promise<void> => {
    const certificates = chain.anchors.toReversed()
    const settings = { alias: 'tts', crlUrl: undefined, userNamespace: baseName }
    return writeTrustAnchorDirectory(
      trustAnchorDir,
      trustAnchorFiles({ ...settings, certificates, crls }),
    )
  }
  await writeFile(proxyPath, chain.text, { mode: 0o600 })
  await write([])
  return {
    directory,
    proxyPath,
    trustAnchorDir,
    chain,
    writeCrls: async ({ revoke, ended = false }) => {
      const revokedAt = new Date(Date.now() - HOUR)
      const { serial } = chain.endEntity.certificate
      const entries: readonly CrlEntry[] = revoke
        ? [{ serial, revokedAt, reason: 'keyCompromise' }]
        : []
      const thisUpdate = new Date(Date.now() - 2 * HOUR)
      const nextUpdate = new Date(Date.now() + (ended ? -HOUR : HOUR))
      const request = { number: 1, thisUpdate, nextUpdate }
      const issuing = chain.intermediate ?? chain.authority
      const crls = [await createCrl(asAuthority(issuing), { ...request, entries })]
      if (chain.intermediate)
        crls.push(await createCrl(asAuthority(chain.authority), { ...request, entries: [] }))
      await write(crls)
    },
    close: () => rm(directory, { recursive: true, force: true }),
  }
}
