/** Checks of single values, so that errors appear at start and not at the first request. */
import { isIP } from 'node:net'
import { checkAuthorityName } from '../../ca/authority.ts'
import { type DistinguishedName, startsWithName } from '../../ca/name.ts'
import { formatSlashDn, parseSlashDn } from '../../ca/name-text.ts'
import { oidBytes } from '../../ca/oid.ts'

/** Returns whether a CA may have this slash-DN. */
export function isAuthorityName(text: string): boolean {
  return succeeds(() => checkAuthorityName(parseSlashDn(text)))
}

/** Returns whether this slash-DN may be the prefix of user names: not empty, and possible in signing_policy files. */
export function isUserBase(text: string): boolean {
  const name = readSlashDn(text)
  return (
    name !== undefined &&
    name.length > 0 &&
    /^[\x20-\x7e]+$/.test(formatSlashDn(name)) &&
    !/['"\\*]/.test(text)
  )
}

/** Returns whether a name begins with another or equals it; false for text that is not a slash-DN. */
export function standsUnder(text: string, above: string): boolean {
  const [name, prefix] = [readSlashDn(text), readSlashDn(above)]
  return name !== undefined && prefix !== undefined && startsWithName(name, prefix)
}

/** Returns whether a slash-DN has only one part, so that it is empty without its last part. */
export function hasOnePart(text: string): boolean {
  return readSlashDn(text)?.length === 1
}

/** Returns whether a text is a dotted object identifier that can be encoded. */
export function isObjectIdentifier(text: string): boolean {
  return succeeds(() => oidBytes(text))
}

/** Returns whether a text is an address, a network in CIDR form, or a network name of Express. */
export function isNetwork(text: string): boolean {
  if (['loopback', 'linklocal', 'uniquelocal'].includes(text)) return true
  const [address = '', prefix, ...rest] = text.split('/')
  const bits = { 4: 32, 6: 128 }[isIP(address)]
  if (bits === undefined || rest.length > 0) return false
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= bits)
}

function readSlashDn(text: string): DistinguishedName | undefined {
  try {
    return parseSlashDn(text)
  } catch {
    return undefined
  }
}

function succeeds(check: () => unknown): boolean {
  try {
    check()
    return true
  } catch {
    return false
  }
}

/** Host, optional port, and a path of characters that need no escaping in links, cookies and redirect URIs. */
const SITE_URL = /^https?:\/\/[^/?#%\\@\s]+(\/[\w~-][\w.~-]*)*\/?$/i

/** Returns whether a text is an origin as browsers send it: https (http for this machine), no path, no default port. */
export function isOrigin(text: string): boolean {
  if (!isSiteUrl(text)) return false
  const { origin, protocol, hostname } = new URL(text)
  const isLoopback = ['127.0.0.1', 'localhost', '[::1]'].includes(hostname)
  return origin === text && !text.includes('*') && (protocol === 'https:' || isLoopback)
}

/** Returns whether a URL can be the public URL, to which paths of this service are appended. */
export function isSiteUrl(text: string): boolean {
  return SITE_URL.test(text) && URL.canParse(text)
}
