/** Checks of single values that would otherwise fail at the first request instead of at the start. */
import { isIP } from 'node:net'
import { checkAuthorityName } from '../../ca/authority.ts'
import { type DistinguishedName, startsWithName } from '../../ca/name.ts'
import { formatSlashDn, parseSlashDn } from '../../ca/name-text.ts'
import { oidBytes } from '../../ca/oid.ts'

/** Whether a CA may have this slash-DN. */
export function isAuthorityName(text: string): boolean {
  return succeeds(() => checkAuthorityName(parseSlashDn(text)))
}

/** Whether users may stand under this slash-DN: not empty, and one that signing_policy files can say. */
export function isUserBase(text: string): boolean {
  const name = readSlashDn(text)
  return (
    name !== undefined &&
    name.length > 0 &&
    /^[\x20-\x7e]+$/.test(formatSlashDn(name)) &&
    !/['"\\*]/.test(text)
  )
}

/** Whether a name stands below another, or is it; false for what is no slash-DN. */
export function standsUnder(text: string, above: string): boolean {
  const [name, prefix] = [readSlashDn(text), readSlashDn(above)]
  return name !== undefined && prefix !== undefined && startsWithName(name, prefix)
}

/** Whether a slash-DN has one part only, so that nothing is left when its last part is taken away. */
export function hasOnePart(text: string): boolean {
  return readSlashDn(text)?.length === 1
}

/** Whether a text is a dotted object identifier that can be encoded. */
export function isObjectIdentifier(text: string): boolean {
  return succeeds(() => oidBytes(text))
}

/** An address, a network in CIDR form, or a name that Express knows for some networks. */
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

/** Host, perhaps a port, and a path of letters that mean themselves in links, cookies and redirect URIs. */
const SITE_URL = /^https?:\/\/[^/?#%\\@\s]+(\/[\w~-][\w.~-]*)*\/?$/i

/** Whether people and programs can be sent there, and a path of ours put behind it. */
export function isSiteUrl(text: string): boolean {
  return SITE_URL.test(text) && URL.canParse(text)
}
