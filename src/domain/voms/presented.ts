/** The attributes in a presented proxy, which new ones for its holder must not exceed. */
import type { Certificate } from '../../../ca/certificate.ts'
import { CaError } from '../../../ca/errors.ts'
import { type Fqan, formatFqan, parseFqan } from '../../../ca/voms/fqan.ts'
import { attributeCertificatesOf } from '../../../ca/voms/read-attributes.ts'
import { TtsError } from '../../base/errors.ts'

/** By VO the FQANs, in their order. */
export type PresentedAttributes = ReadonlyMap<string, readonly Fqan[]>

/**
 * Returns the attributes in the proxies of a chain, also those that have ended: otherwise the holder of a proxy with
 * few of them would only have to wait. Signatures are not checked: attributes only take rights away here.
 *
 * @throws {TtsError} `invalid_token`, check `voms_attributes` (they cannot be read)
 */
export function presentedAttributes(certificates: readonly Certificate[]): PresentedAttributes {
  const found = new Map<string, readonly Fqan[]>()
  for (const { vo, fqans } of certificates.flatMap(read)) {
    const before = found.get(vo)
    const given = fqans.flatMap(readOne)
    // Of several certificates of one VO, the new attributes must be in each.
    found.set(vo, before === undefined ? given : given.filter((fqan) => includes(before, fqan)))
  }
  return found
}

/** Whether the list has this FQAN. */
export function includes(list: readonly Fqan[], fqan: Fqan): boolean {
  const text = formatFqan(fqan)
  return list.some((other) => formatFqan(other) === text)
}

function read(certificate: Certificate) {
  try {
    return attributeCertificatesOf(certificate)
  } catch (error) {
    if (!(error instanceof CaError)) throw error
    throw new TtsError('invalid_token', 'the VOMS attributes in the proxy cannot be read', {
      check: 'voms_attributes',
    })
  }
}

/** Those that could not be issued here are left out: nobody can get them here. */
function readOne(text: string): readonly Fqan[] {
  try {
    return [parseFqan(text)]
  } catch {
    return []
  }
}
