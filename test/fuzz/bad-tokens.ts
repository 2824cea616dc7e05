/**
 * Tokens that must never get anything: broken ones, forged ones, and ones of the provider's own key with one fault
 * each.
 */
import { createHmac, createPublicKey, generateKeyPairSync, sign } from 'node:crypto'
import { AUDIENCE } from '../support/service.ts'
import type { Target } from '../attacks/support.ts'
import type { Random } from './random.ts'

type Claims = Record<string, unknown>

const base64url = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
const now = (): number => Math.floor(Date.now() / 1000)

/** Claims each of which makes a token bad, whatever else it says. */
const faults: readonly ((random: Random) => Claims)[] = [
  () => ({ aud: 'https://other.example.org' }),
  () => ({ aud: [] }),
  () => ({ aud: `${AUDIENCE}.evil.example` }),
  () => ({ aud: `x ${AUDIENCE}` }),
  () => ({ aud: { [AUDIENCE]: true } }),
  () => ({ exp: now() - 3600 }),
  () => ({ exp: '9999999999' }),
  () => ({ exp: undefined }),
  () => ({ exp: null }),
  () => ({ exp: 1e300 }),
  () => ({ nbf: now() + 3600 }),
  () => ({ iat: now() + 3600 }),
  () => ({ sub: undefined }),
  () => ({ sub: '' }),
  () => ({ sub: 7 }),
  () => ({ sub: ['alice'] }),
  (random) => ({ sub: 'x'.repeat(1025 + random.integer(100)) }),
  () => ({ iss: 'https://evil.example.org' }),
  () => ({ typ: 'ID' }),
  () => ({ typ: 'Refresh' }),
  () => ({ typ: 'Logout' }),
  () => ({ events: {} }),
  () => ({ cnf: { jkt: 'x' } }),
  () => ({ 'wlcg.ver': '2.0' }),
  () => ({ groups: undefined }),
  () => ({ groups: ['notcms'] }),
  () => ({ groups: { cms: true } }),
  () => ({ groups: ['cm', 's'] }),
]

/** Harmless claims beside the fault, so that no two tokens are alike. */
function noise(random: Random): Claims {
  return Object.fromEntries(
    Array.from({ length: random.integer(4) }, () => [
      random.pick(['jti', 'name', 'email', 'acr', 'x', '__proto__', 'constructor', 'toString']),
      random.pick<unknown>([random.text(20), random.integer(1e9), null, true, [], {}, [[1]]]),
    ]),
  )
}

const foreignKey = generateKeyPairSync('rsa', { modulusLength: 2048 })

/** One bad token. */
export function badToken(target: Target, random: Random): string {
  const good = target.token('alice', { jti: String(random.integer(1e9)) })
  const [header = '', payload = '', signature = ''] = good.split('.')
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Claims
  const forge = (alg: string, by: (text: string) => Buffer): string => {
    const text = `${base64url({ alg, kid: kidOf(header), typ: 'at+jwt' })}.${payload}`
    return `${text}.${by(text).toString('base64url')}`
  }
  return random.pick<() => string>([
    () => target.token('alice', { ...noise(random), ...random.pick(faults)(random) }),
    () => target.token('alice', { ...random.pick(faults)(random), ...random.pick(faults)(random) }),
    () => target.token('bob', noise(random)),
    () => `${header}.${payload}.${flip(signature, random)}`,
    () => `${header}.${flip(payload, random)}.${signature}`,
    () => `${flip(header, random)}.${payload}.${signature}`,
    () => `${header}.${base64url({ ...claims, sub: 'root', ...noise(random) })}.${signature}`,
    () => forge('RS256', (text) => sign('sha256', Buffer.from(text), foreignKey.privateKey)),
    () => forge('none', () => Buffer.alloc(0)),
    () => forge('HS256', (text) => hmacByPublicKey(text)),
    () =>
      forge(random.pick(['RS512', 'PS256', 'ES256', 'EdDSA', 'dir', '']), () => random.bytes(256)),
    () => good.slice(0, random.integer(good.length)),
    () => `${good}${random.pick(['.', '.x', 'x', ' x', '%', '\u00e9'])}`,
    () =>
      [header, payload, signature, payload, signature]
        .slice(0, random.pick([1, 2, 4, 5]))
        .join('.'),
    () => random.bytes(1 + random.integer(300)).toString('base64url'),
    () => `tts_renew_${random.bytes(32).toString('base64url')}`,
    () => Array.from({ length: random.integer(6) }, () => base64url(random.text(30))).join('.'),
    () => `${base64url({ alg: 'RS256', crit: ['x'], x: 1 })}.${payload}.${signature}`,
    () => `${base64url('{"a":'.repeat(500) + '1' + '}'.repeat(500))}.${payload}.${signature}`,
    () => 'x'.repeat(16_000 + random.integer(2000)),
  ])()
}

function kidOf(header: string): unknown {
  return (JSON.parse(Buffer.from(header, 'base64url').toString()) as Claims)['kid']
}

function hmacByPublicKey(text: string): Buffer {
  const key = createPublicKey(foreignKey.privateKey).export({ type: 'spki', format: 'pem' })
  return createHmac('sha256', key).update(text).digest()
}

/** Another letter somewhere but in the last four, whose low bits may mean nothing. */
function flip(part: string, random: Random): string {
  const index = random.integer(Math.max(1, part.length - 4))
  const other = random.pick([...'ABCDwxyz0189-_'].filter((letter) => letter !== part[index]))
  return `${part.slice(0, index)}${other}${part.slice(index + 1)}`
}
