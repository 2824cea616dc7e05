/**
 * The trust-anchor directory that relying parties install: for each CA its certificate, signing_policy, namespaces,
 * info and crl_url under its alias, links to them under both subject hashes, and its CRL.
 */
import { createHash } from 'node:crypto'
import type { Certificate } from './certificate.ts'
import { CaError, type CaErrorReason } from './errors.ts'
import { readCrlOutline } from './crl.ts'
import { type DistinguishedName, startsWithName } from './name.ts'
import { canonicalName, subjectHash, subjectHashOld } from './name-hash.ts'
import { formatSlashDn } from './name-text.ts'
import { toPem } from './pem.ts'
import { verifyCrl } from './chain-revocation.ts'

/** One entry of the directory. Entries must be written in order: a link comes after its target. */
export type TrustAnchorFile =
  | { readonly name: string; readonly content: string }
  | { readonly name: string; readonly linkTo: string }

export interface TrustAnchorRequest {
  /** The issuing CA first, then those above it, the root last. */
  readonly certificates: readonly Certificate[]
  /** CRLs in DER, at most one for each CA. */
  readonly crls: readonly Buffer[]
  /** File name of the issuing CA without suffix; those above it get `-2`, `-3`, …, the root `-root`. */
  readonly alias: string
  /** URL of the issuing CA's CRL; undefined: no `crl_url` file. */
  readonly crlUrl: string | undefined
  /** URL of a description of the CA, for `info`. */
  readonly url?: string
  /** E-mail address of the CA's operators, for `info`. */
  readonly email?: string
  /** Common prefix of the names of all EECs of the issuing CA. */
  readonly userNamespace: DistinguishedName
}

/** Valid aliases: an alias is a file name. */
export const trustAnchorAliasPattern = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$/

/**
 * Returns the files of the directory that relying parties install, each link after its target.
 *
 * @throws {CaError} `bad_request` for an alias or URL that cannot be written, a CRL of none of the CAs, or names that
 *   policy files cannot express
 * @see RFC 5280 section 7.1 (names are hashed in the form in which they are compared)
 * @example
 * const userNamespace = parseSlashDn('/C=EU/O=Example')
 * const certificates = [authority.certificate]
 * const files = trustAnchorFiles({ certificates, crls: [], alias: 'example', crlUrl: undefined, userNamespace })
 * files[0].name // => 'example.pem'
 */
export function trustAnchorFiles(request: TrustAnchorRequest): readonly TrustAnchorFile[] {
  checkRequest(request)
  const { certificates } = request
  const taken = new Map<string, number>()
  const files = certificates.flatMap((certificate, index) => {
    const hashes = hashesOf(certificate)
    // Two CAs of one name, as after a change of key, count up: HASH.0, HASH.1.
    const number = taken.get(hashes[0] ?? '') ?? 0
    for (const hash of hashes) taken.set(hash, number + 1)
    return authorityFiles(request, index, number)
  })
  return [...files, ...crlFiles(request)]
}

function hashesOf({ subjectNode }: Certificate): readonly string[] {
  return [...new Set([subjectHash(subjectNode), subjectHashOld(subjectNode)])]
}

function authorityFiles(
  request: TrustAnchorRequest,
  index: number,
  number: number,
): readonly TrustAnchorFile[] {
  const { certificates, crlUrl } = request
  const certificate = certificates[index]
  if (certificate === undefined) return []
  const alias = aliasOf(request, index)
  const subject = formatSlashDn(certificate.subject)
  const permitted = permittedNames(request, index)
  const real: readonly TrustAnchorFile[] = [
    { name: `${alias}.pem`, content: toPem('CERTIFICATE', certificate.der) },
    { name: `${alias}.signing_policy`, content: signingPolicy(subject, permitted) },
    { name: `${alias}.namespaces`, content: namespaces(subject, permitted) },
    { name: `${alias}.info`, content: information(request, index) },
    ...(index === 0 && crlUrl !== undefined
      ? [{ name: `${alias}.crl_url`, content: `${crlUrl}\n` }]
      : []),
  ]
  const links = hashesOf(certificate).flatMap((hash) => [
    { name: `${hash}.${number}`, linkTo: `${alias}.pem` },
    // One policy file a name: of two CAs of one name the first one's serves both.
    ...(number > 0
      ? []
      : [
          { name: `${hash}.signing_policy`, linkTo: `${alias}.signing_policy` },
          { name: `${hash}.namespaces`, linkTo: `${alias}.namespaces` },
        ]),
  ])
  return [...real, ...links]
}

function aliasOf({ alias, certificates }: TrustAnchorRequest, index: number): string {
  if (index === 0) return alias
  return index === certificates.length - 1 ? `${alias}-root` : `${alias}-${index + 1}`
}

/**
 * Returns the names that a CA signs: its own (required by grid-cert-diagnostics), that of the CA below it, or those
 * of users.
 */
function permittedNames(
  { certificates, userNamespace }: TrustAnchorRequest,
  index: number,
): readonly string[] {
  const own = formatSlashDn(certificates[index]?.subject ?? [])
  const below = certificates[index - 1]
  if (below !== undefined) return [...new Set([own, formatSlashDn(below.subject)])]
  const users = `${formatSlashDn(userNamespace)}/*`
  const covered = startsWithName(certificates[index]?.subject ?? [], userNamespace)
  return covered ? [users] : [users, own]
}

/** Writes three directives. Globus requires a newline at the end and single outer quotes. */
function signingPolicy(subject: string, permitted: readonly string[]): string {
  const patterns = permitted.map((name) => `"${name}"`).join(' ')
  return [
    `access_id_CA   X509    '${subject}'`,
    'pos_rights     globus  CA:sign',
    `cond_subjects  globus  '${patterns}'`,
    '',
  ].join('\n')
}

/** Writes the same as POSIX regular expressions, one statement for each. */
function namespaces(subject: string, permitted: readonly string[]): string {
  const statements = permitted.map((name) => {
    const pattern = name.replace(/[.()+?^$[\]{}|\\]/g, '\\$&').replace(/\*$/, '.*')
    return `TO Issuer "${subject}" \\\n  PERMIT Subject "${pattern}"\n`
  })
  return `#NAMESPACES-VERSION: 1.0\n\n${statements.join('\n')}`
}

/** Writes only keys that the IGTF bundle uses: dCache refuses files with others. */
function information(request: TrustAnchorRequest, index: number): string {
  const { certificates, crlUrl, url, email } = request
  const certificate = certificates[index]
  if (certificate === undefined) return ''
  const sha1 = createHash('sha1').update(certificate.der).digest('hex').toUpperCase()
  const lines = [
    `alias = ${aliasOf(request, index)}`,
    'version = 1.0',
    'status = unaccredited',
    ...(url === undefined ? [] : [`url = ${url}`]),
    ...(index === 0 && crlUrl !== undefined ? [`crl_url = ${crlUrl}`] : []),
    ...(email === undefined ? [] : [`email = ${email}`]),
    `sha1fp.0 = ${sha1.match(/../g)?.join(':')}`,
    `subjectdn = "${formatSlashDn(certificate.subject)}"`,
    ...(index + 1 < certificates.length ? [`requires = ${aliasOf(request, index + 1)}`] : []),
  ]
  return `${lines.join('\n')}\n`
}

/**
 * CRLs are real files under both hashes, because fetch-crl overwrites them, and in PEM, because Globus does not read
 * DER.
 */
function crlFiles({ certificates, crls }: TrustAnchorRequest): readonly TrustAnchorFile[] {
  return crls.flatMap((der) => {
    const crl = readCrlOutline(der)
    const issuer = certificates.find((certificate) => verifyCrl(crl, certificate))
    if (issuer === undefined)
      throw badRequest(
        'crls',
        'a CRL must be signed by one of the CAs of the trust anchors',
        'not_verified',
      )
    const sameName = certificates.filter((other) =>
      canonicalName(other.subjectNode).equals(canonicalName(issuer.subjectNode)),
    )
    const content = toPem('X509 CRL', der)
    return hashesOf(issuer).map((hash) => ({
      name: `${hash}.r${sameName.indexOf(issuer)}`,
      content,
    }))
  })
}

function badRequest(field: string, message: string, reason: CaErrorReason): CaError {
  return new CaError('bad_request', message, { field, reason })
}

function checkRequest({ certificates, alias, ...request }: TrustAnchorRequest): void {
  if (!trustAnchorAliasPattern.test(alias))
    throw badRequest(
      'alias',
      'the alias of trust anchors must have 1 to 64 letters, digits and . _ -, and begin and end with a letter or digit',
      'bad_value',
    )
  if (certificates.length === 0)
    throw badRequest('certificates', 'there is no CA certificate', 'missing')
  for (const field of ['crlUrl', 'url', 'email'] as const) {
    const text = request[field]
    if (text !== undefined && !/^[\x21-\x7e]{1,1024}$/.test(text))
      throw badRequest(
        field,
        `${field} of trust anchors must have 1 to 1024 visible ASCII characters`,
        'bad_value',
      )
  }
  const names = [...certificates.map(({ subject }) => subject), request.userNamespace]
  for (const name of names.map(formatSlashDn)) {
    if (name === '' || !/^[\x20-\x7e]+$/.test(name) || /['"\\*]/.test(name))
      throw badRequest(
        'name',
        `policy files have no form for the name "${name.slice(0, 80)}"; use ASCII without quotes, backslash, asterisk, slash or plus in a value`,
        'bad_value',
      )
  }
}
