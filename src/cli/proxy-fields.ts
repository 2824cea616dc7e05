/** The output of `tts proxy info` for single facts, as scripts of grid-proxy-info read them. */
import { X509Certificate } from 'node:crypto'
import type { ProxyFile } from '../../ca/proxy-file.ts'
import type { ProxyFacts } from '../../ca/proxy-info.ts'

/** The facts, in the order in which they are printed. */
export const proxyFields = [
  'subject',
  'issuer',
  'identity',
  'type',
  'strength',
  'path',
  'timeleft',
  'vo',
  'fqan',
  'actimeleft',
] as const

/** Options that select facts. */
export type FieldOptions = { readonly [Field in (typeof proxyFields)[number]]?: boolean }

/** Returns the selected facts, one a line and without labels; undefined when none is selected. */
export function formatFields(facts: ProxyFacts, options: FieldOptions): string | undefined {
  const selected = proxyFields.filter((field) => options[field])
  if (selected.length === 0) return undefined
  const values = {
    subject: facts.subject,
    issuer: facts.issuer,
    identity: facts.identity,
    type: facts.type,
    strength: String(facts.strengthBits),
    path: facts.path,
    timeleft: String(facts.timeLeftSeconds),
    vo: facts.attributes.map(({ vo }) => vo).join('\n'),
    fqan: facts.attributes.flatMap(({ fqans }) => fqans).join('\n'),
    actimeleft: String(attributesLeft(facts)),
  }
  return selected.map((field) => `${values[field]}\n`).join('')
}

/** Seconds until the first of the VOMS attributes end; 0 without attributes. */
function attributesLeft({ attributes }: ProxyFacts): number {
  const left = attributes.map(({ timeLeftSeconds }) => timeLeftSeconds)
  return left.length === 0 ? 0 : Math.min(...left)
}

/** Describes each certificate of the file (`--text`, `--all`). */
export function formatCertificates({ certificates }: ProxyFile, facts: ProxyFacts): string {
  return certificates
    .map(({ der }, index) => {
      const { serialNumber, fingerprint256 } = new X509Certificate(der)
      const lifetime = facts.certificates[index]
      if (lifetime === undefined) return ''
      return [
        '',
        `certificate ${index + 1}: ${lifetime.kind}`,
        `  subject     : ${lifetime.subject}`,
        `  serial      : ${serialNumber}`,
        `  valid from  : ${lifetime.notBefore.toISOString()}`,
        `  valid until : ${lifetime.notAfter.toISOString()}`,
        `  SHA-256     : ${fingerprint256}`,
        '',
      ].join('\n')
    })
    .join('')
}
