/** From an identity to what the certificate says of it: the principal that sshd lets in, and the key id that it logs. */
import { createHash } from 'node:crypto'
import { principalPattern } from '../../ca/ssh/certificate.ts'
import { type PluginCaller, PluginError } from '../plugin.ts'
import {
  DEFAULT_PRINCIPAL_CLAIM,
  DEFAULT_PRINCIPAL_PATTERN,
  type SshCertificateSettings,
} from './settings.ts'

type Identity = Pick<PluginCaller, 'issuer' | 'sub'>

/** Longest value of a claim that is matched. */
const MAX_CLAIM_CHARACTERS = 64
/** Hex digits: 112 bits. */
const DIGEST_CHARACTERS = 28
const MAX_KEY_ID_ISSUER_CHARACTERS = 256

/**
 * Stands for an identity where its sub does not fit. An operator gets the same by
 * `printf '%s\n%s' "$issuer" "$sub" | sha256sum | cut -c1-28`.
 *
 * @throws {PluginError} `refused` for an issuer with a line end: there would be two identities of one digest
 */
export function identityDigest({ issuer, sub }: Identity): string {
  if (issuer.includes('\n')) throw new PluginError('refused', 'the issuer of this token is no URL')
  return createHash('sha256').update(`${issuer}\n${sub}`).digest('hex').slice(0, DIGEST_CHARACTERS)
}

/**
 * The account or role that the identity may log in as.
 *
 * @throws {PluginError} `refused`
 */
export function principalOf(caller: PluginCaller, settings: SshCertificateSettings): string {
  const { principal_template: template, forbidden_principals: forbidden } = settings
  const principal =
    template === undefined
      ? claimedPrincipal(caller, settings)
      : template.replace('{digest}', identityDigest(caller))
  if (forbidden.some((name) => name.toLowerCase() === principal.toLowerCase())) {
    throw new PluginError('refused', `nobody gets a certificate for the account ${principal} here`)
  }
  return principal
}

function claimedPrincipal(caller: PluginCaller, settings: SshCertificateSettings): string {
  const { principal_issuer: issuer, principal_claim: claim = DEFAULT_PRINCIPAL_CLAIM } = settings
  if (issuer !== undefined && withoutSlash(issuer) !== withoutSlash(caller.issuer)) {
    throw new PluginError(
      'refused',
      'account names of your identity provider are not believed here; log in with another one',
    )
  }
  // The claims are data from outside: nothing that an object inherits is a claim.
  const value = Object.hasOwn(caller.claims, claim) ? caller.claims[claim] : undefined
  if (typeof value !== 'string' || value === '') {
    throw new PluginError(
      'refused',
      `your identity provider did not tell your account name (the claim ${claim}); ask for the scope that brings it, often profile`,
    )
  }
  const pattern = new RegExp(settings.principal_pattern ?? DEFAULT_PRINCIPAL_PATTERN, 'u')
  // The second pattern holds whatever the first one lets through.
  if (
    value.length > MAX_CLAIM_CHARACTERS ||
    !principalPattern.test(value) ||
    !pattern.test(value)
  ) {
    throw new PluginError(
      'refused',
      `what your identity provider tells as your account name (the claim ${claim}) is no account name here`,
    )
  }
  return value
}

/** Issuers are known here without the slash that IAM's end with, and operators write what they see. */
function withoutSlash(issuer: string): string {
  return issuer.replace(/\/$/, '')
}

/** What sshd logs at each login: which credential, and whose. One word of safe characters. */
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
