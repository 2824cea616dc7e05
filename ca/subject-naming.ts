/**
 * Assigns subject names: `CN=<sub>@<alias>` under the base name if the sub fits, otherwise a CN made of a digest.
 *
 * No two identities may ever share a name, whatever a provider puts into `sub`. So the rule has three parts:
 * 1. A sub is used unchanged in the CN only if it consists of `A-Z a-z 0-9 . _ - @`, which every relying party prints
 *    and compares in the same way, if the CN has at most 64 characters (RFC 5280, ub-common-name), and if it does not
 *    look like a digest.
 * 2. Every other sub becomes `h-` + 40 characters of base32(SHA-256(issuer, sub)): 200 bits.
 * 3. Relying parties compare names without letter case (RFC 5280 section 7.1), so the store keeps names unique in
 *    that form; of two subs that differ only in case, the second one gets its digest name.
 * The alias has no `@`, so the last `@` of a CN always separates sub and alias.
 */
import { createHash } from 'node:crypto'
import { CaError } from './errors.ts'
import type { DistinguishedName } from './name.ts'
import { withCommonName } from './name.ts'

/** Longest CN (RFC 5280 appendix A.1, ub-common-name). */
const MAX_COMMON_NAME_LENGTH = 64
const DIGEST_CHARACTERS = 40

/** Valid aliases: with the digest form the CN must not exceed 64 characters. */
export const aliasPattern = /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,19}[A-Za-z0-9])?$/

const fittingSub = /^[A-Za-z0-9._@-]+$/
const digestLike = /^h-[a-z2-7]{40}$/i

/**
 * Returns the candidate names of an identity, best first.
 *
 * @param base common prefix of all EECs' names, for example `/C=EU/O=INDIGO/OU=TTS`
 * @throws {CaError} `bad_name` (an alias that does not match `aliasPattern`, or an empty issuer or sub)
 */
export function subjectCandidates(
  base: DistinguishedName,
  identity: { readonly issuer: string; readonly sub: string; readonly alias: string },
): readonly DistinguishedName[] {
  const { issuer, sub, alias } = identity
  if (!aliasPattern.test(alias)) {
    throw new CaError(
      'bad_name',
      'an alias must have 1 to 21 letters, digits, dots and hyphens, and begin and end with a letter or digit',
      { field: 'alias', reason: 'bad_value' },
    )
  }
  if (issuer === '' || sub === '')
    throw new CaError('bad_name', 'an identity must have an issuer and a sub', {
      field: issuer === '' ? 'issuer' : 'sub',
      reason: 'missing',
    })
  const digestName = withCommonName(base, `h-${digest(issuer, sub)}@${alias}`)
  return subFits(sub, alias) ? [withCommonName(base, `${sub}@${alias}`), digestName] : [digestName]
}

function subFits(sub: string, alias: string): boolean {
  return (
    sub.length + 1 + alias.length <= MAX_COMMON_NAME_LENGTH &&
    fittingSub.test(sub) &&
    !digestLike.test(sub)
  )
}

/**
 * Base32 (RFC 4648 section 6, lower case) of SHA-256 over both strings, each preceded by its length so that different
 * pairs never give the same input.
 */
function digest(issuer: string, sub: string): string {
  const hash = createHash('sha256')
  // UTF-16 code units, not UTF-8: lone surrogates, which JSON can carry, all become the same UTF-8 replacement
  // character.
  for (const part of [issuer, sub])
    hash.update(`${part.length}:`).update(Buffer.from(part, 'utf16le'))
  return base32(hash.digest()).slice(0, DIGEST_CHARACTERS)
}

function base32(bytes: Buffer): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  return (bits.match(/.{5}/g) ?? [])
    .map((five) => 'abcdefghijklmnopqrstuvwxyz234567'[Number.parseInt(five, 2)])
    .join('')
}

/**
 * Returns the form of a slash-DN in which names are compared and must be unique: letter case, runs of spaces and
 * spaces around a value are ignored (RFC 5280 section 7.1, like OpenSSL and Globus).
 */
export function comparableName(slashDn: string): string {
  return slashDn
    .replace(/ +/g, ' ')
    .replace(/(=) | (?=[/+]|$)/g, '$1')
    .toLowerCase()
}
