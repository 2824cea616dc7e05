/** A proxy file and its trust anchors on disk, as the service leaves them, for tools to read. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Authority } from '../../ca/authority.ts'
import { createCrl, type CrlEntry } from '../../ca/crl.ts'
import { trustAnchorFiles } from '../../ca/trust-anchors.ts'
import { writeTrustAnchorDirectory } from '../../src/files/trust-anchor-directory.ts'
import { type CredentialOptions, makeCredential } from './authority.ts'
import {
  asAuthority,
  baseName,
  buildChain,
  type ChainPlan,
  testKey,
} from './certificate-builder.ts'
import type { CredentialFiles } from './grid-site.ts'
import { writeVomsDirectory } from './voms.ts'

export interface CredentialDirectory extends CredentialFiles {
  readonly directory: string
  /** Trusts the attribute authority of the CA for the VO `cms`. */
  readonly vomsDir: string
  /** Text of the proxy file. */
  readonly text: string
  /** Writes the trust anchors again, with CRLs; revokes the EEC when asked to. */
  writeCrls(options: { readonly revoke: boolean; readonly ended?: boolean }): Promise<void>
  close(): Promise<void>
}

/** The files of a credential that the library issues, valid now. */
export async function openIssuedCredential(
  options: CredentialOptions = {},
): Promise<CredentialDirectory> {
  const { authority, endEntity, text } = await makeCredential({ now: new Date(), ...options })
  return openDirectory({ authority, serial: endEntity.serial, text })
}

/** The files of a chain that need not be good. */
export async function openPlannedCredential(plan: ChainPlan): Promise<CredentialDirectory> {
  const chain = await buildChain({ now: new Date(), ...plan })
  const own = chain.intermediate ?? chain.authority
  const above = chain.intermediate ? [chain.authority.certificate] : []
  const { serial } = chain.endEntity.certificate
  return openDirectory({ authority: asAuthority(own, above), serial, text: chain.text })
}

const HOUR = 3_600_000

async function openDirectory(credential: {
  readonly authority: Authority
  readonly serial: string
  readonly text: string
}): Promise<CredentialDirectory> {
  const { authority, serial, text } = credential
  const directory = await mkdtemp(join(tmpdir(), 'tts-credential-'))
  const proxyPath = join(directory, 'gwms_proxy')
  const trustAnchorDir = join(directory, 'trust-anchors')
  const write = (crls: readonly Buffer[]): Promise<void> => {
    const certificates = [authority.certificate, ...authority.chain]
    const settings = { alias: 'tts', crlUrl: undefined, userNamespace: baseName }
    const files = trustAnchorFiles({ ...settings, certificates, crls })
    return writeTrustAnchorDirectory(trustAnchorDir, files)
  }
  await writeFile(proxyPath, text, { mode: 0o600 })
  await write([])
  const vomsDir = join(directory, 'vomsdir')
  await writeVomsDirectory(vomsDir, 'cms', authority)
  return {
    directory,
    vomsDir,
    proxyPath,
    trustAnchorDir,
    text,
    writeCrls: async ({ revoke, ended = false }) => {
      const revokedAt = new Date(Date.now() - HOUR)
      const entries: readonly CrlEntry[] = revoke
        ? [{ serial, revokedAt, reason: 'keyCompromise' }]
        : []
      const thisUpdate = new Date(Date.now() - 2 * HOUR)
      const nextUpdate = new Date(Date.now() + (ended ? -HOUR : HOUR))
      const request = { number: 1, thisUpdate, nextUpdate }
      const crls = [await createCrl(authority, { ...request, entries })]
      const [root] = authority.chain
      if (root) {
        // The root of an intermediate is the builder's.
        const above = { certificate: root, privateKey: await testKey('authority0') }
        crls.push(await createCrl(asAuthority(above), { ...request, entries: [] }))
      }
      await write(crls)
    },
    close: () => rm(directory, { recursive: true, force: true }),
  }
}
