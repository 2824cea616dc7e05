/** Derives from an identity the principal that sshd accepts and the key id that sshd logs. */
import { createHash } from 'node:crypto'
import { principalPattern } from '../../ca/ssh/certificate.ts'
import { type PluginCaller, PluginError } from '../plugin.ts'
import {
  DEFAULT_PRINCIPAL_CLAIM,
  DEFAULT_PRINCIPAL_PATTERN,
  type SshCertificateSettings,
} from './settings.ts'

type Identity = Pick<PluginCaller, 'issuer' | 'sub'>

/** A longer claim is refused before it is matched. */
const MAX_CLAIM_CHARACTERS = 64
/** Number of hex digits: 112 bits. */
const DIGEST_CHARACTERS = 28
const MAX_KEY_ID_ISSUER_CHARACTERS = 256

/**
 * Returns a digest that represents an identity where its sub cannot be used. An operator gets the same by
 * `printf '%s\n%s' "$issuer" "$sub" | sha256sum | cut -c1-28`.
 *
 * @throws {PluginError} `refused` (the issuer contains a line end: two identities could have the same digest)
 */
export function identityDigest({ issuer, sub }: Identity): string {
  if (issuer.includes('\n'))
    throw new PluginError('refused', 'the issuer of this token is not a URL')
  return createHash('sha256').update(`${issuer}\n${sub}`).digest('hex').slice(0, DIGEST_CHARACTERS)
}

/**
 * Returns the account or role that the identity may log in as.
 *
 * @throws {PluginError} `refused` (forbidden account, other issuer, or a claim that is missing or does not match the
 * pattern)
 */
export function principalOf(caller: PluginCaller, settings: SshCertificateSettings): string {
  const { principal_template: template, forbidden_principals: forbidden } = settings
  const principal =
    template === undefined
      ? claimedPrincipal(caller, settings)
      : template.replace('{digest}', identityDigest(caller))
  if (forbidden.some((name) => name.toLowerCase() === principal.toLowerCase())) {
    throw new PluginError(
      'refused',
      `certificates for the account ${principal} are not issued here`,
    )
  }
  return principal
}

function claimedPrincipal(caller: PluginCaller, settings: SshCertificateSettings): string {
  const { principal_issuer: issuer, principal_claim: claim = DEFAULT_PRINCIPAL_CLAIM } = settings
  if (issuer !== undefined && withoutSlash(issuer) !== withoutSlash(caller.issuer)) {
    throw new PluginError(
      'refused',
      'account names from your identity provider are not accepted here; log in with another provider',
    )
  }
  // Claims are data from outside: inherited properties of the object must not count as claims.
  const value = Object.hasOwn(caller.claims, claim) ? caller.claims[claim] : undefined
  if (typeof value !== 'string' || value === '') {
    throw new PluginError(
      'refused',
      `your identity provider did not send your account name (claim ${claim}); request the scope that includes it, often profile`,
    )
  }
  const pattern = new RegExp(settings.principal_pattern ?? DEFAULT_PRINCIPAL_PATTERN, 'u')
  // A configured pattern cannot widen what `principalPattern` permits.
  if (
    value.length > MAX_CLAIM_CHARACTERS ||
    !principalPattern.test(value) ||
    !pattern.test(value)
  ) {
    throw new PluginError(
      'refused',
      `your account name at the identity provider (claim ${claim}) is not a valid account name here`,
    )
  }
  return value
}

/** INDIGO IAM's issuers end with a slash, which operators may leave out. */
function withoutSlash(issuer: string): string {
  return issuer.replace(/\/$/, '')
}

/** Returns the key id, which sshd logs at each login: credential and identity, in one word of safe characters. */
export function keyIdOf(caller: Identity, credentialId: string): string {
  const issuer = safe(caller.issuer).slice(0, MAX_KEY_ID_ISSUER_CHARACTERS)
  return `credential=${safe(credentialId).slice(0, 64)},sub=${identityDigest(caller)},issuer=${issuer}`
}

function safe(text: string): string {
  const octet = (byte: number): string => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  return text.replaceAll(/[^A-Za-z0-9_.:/~-]/gu, (character) =>
    [...Buffer.from(character, 'utf8')].map(octet).join(''),
  )
}
