/** An attribute authority for tests, of the CA of a credential, and what relying parties need to trust it. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Authority } from '../../ca/authority.ts'
import { type Certificate, readCertificate } from '../../ca/certificate.ts'
import type { FurtherExtension } from '../../ca/further-extensions.ts'
import { issueHostCertificate } from '../../ca/host-certificate.ts'
import { createSigner } from '../../ca/key.ts'
import { formatSlashDn } from '../../ca/name-text.ts'
import { nestedValidity } from '../../ca/validity.ts'
import {
  type AttributeAuthority,
  attributesExtension,
  issueAttributeCertificate,
} from '../../ca/voms/attribute-certificate.ts'
import { parseFqan } from '../../ca/voms/fqan.ts'
import { baseName, testKey } from './certificate-builder.ts'

export const VOMS_HOST = 'voms.example.org'

export interface VomsPlan {
  readonly fqans: readonly string[]
  /** Default: 12 hours. */
  readonly lifetimeSeconds?: number
  readonly targets?: readonly string[]
}

/** Issues the certificate of an attribute authority. */
export async function makeAttributeAuthority(
  authority: Authority,
  now: Date,
): Promise<AttributeAuthority> {
  const signer = createSigner(await testKey('attribute authority'))
  const der = await issueHostCertificate(authority, {
    base: baseName,
    host: VOMS_HOST,
    publicKey: signer.publicKey,
    validity: nestedValidity(now, 30 * 86_400, authority.certificate.validity),
    serial: Buffer.from('4d0123456789abcdef0123456789abcd', 'hex'),
    crlUrl: undefined,
  })
  return { certificate: readCertificate(der), signer }
}

/** The extension of a proxy under this EEC. */
export async function vomsExtension(
  authority: Authority,
  holder: Certificate,
  plan: VomsPlan & { readonly now: Date },
): Promise<FurtherExtension> {
  const { now, fqans, targets = [], lifetimeSeconds = 12 * 3600 } = plan
  const attributeAuthority = await makeAttributeAuthority(authority, now)
  const read = fqans.map(parseFqan)
  const der = await issueAttributeCertificate(attributeAuthority, {
    holder,
    server: { vo: read[0]?.groups[0] ?? '', host: VOMS_HOST, port: 15_000 },
    fqans: read,
    targets,
    validity: nestedValidity(now, lifetimeSeconds, holder.validity),
    serial: Buffer.from('4e0123456789abcdef0123456789abcd', 'hex'),
  })
  return attributesExtension([der])
}

/** Writes the vomsdir of a relying party that trusts the attribute authority of this CA for a VO. */
export async function writeVomsDirectory(
  directory: string,
  vo: string,
  authority: Authority,
): Promise<void> {
  await mkdir(join(directory, vo), { recursive: true })
  const issuer = formatSlashDn(authority.certificate.subject)
  const subject = `${formatSlashDn(baseName)}/CN=${VOMS_HOST}`
  await writeFile(join(directory, vo, `${VOMS_HOST}.lsc`), `${subject}\n${issuer}\n`)
}
