/** Compares the key identifiers of a certificate and its issuer. */
import { childrenOf, contentOf, decode, hasContextTag } from '../asn1-read.ts'
import type { Certificate } from '../certificate.ts'
import { CaError } from '../errors.ts'
import { extensionOids } from '../extensions.ts'

function valueOf({ extensions }: Certificate, oid: string): Buffer | undefined {
  return extensions.find((extension) => extension.oid === oid)?.value
}

/**
 * Whether a certificate says that it was signed by another key than that of a CA of the right name: its
 * authorityKeyIdentifier differs from the CA's subjectKeyIdentifier.
 *
 * @see RFC 5280 section 4.2.1.1
 */
export function namesOtherKey(certificate: Certificate, issuer: Certificate): boolean {
  const authority = valueOf(certificate, extensionOids.authorityKeyIdentifier)
  const own = valueOf(issuer, extensionOids.subjectKeyIdentifier)
  if (authority === undefined || own === undefined) return false
  try {
    const [keyId] = childrenOf(decode(authority, 'key identifier'), 'key identifier')
    return (
      hasContextTag(keyId, 0) &&
      !contentOf(keyId, 'key identifier').equals(contentOf(decode(own, 'key'), 'key'))
    )
  } catch (error) {
    if (error instanceof CaError) return false
    throw error
  }
}
